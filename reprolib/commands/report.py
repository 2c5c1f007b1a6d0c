"""`reprolib report`: what people read, drawn from records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reprolib.commands.console import counted
from reprolib.commands.options import LARGEST, MINI, Jobs, Profile, Root
from reprolib.commands.project import require_own_package

app = typer.Typer(no_args_is_help=True, help="Ledger, tables, notebooks and pages, drawn from records.",
                  callback=lambda: require_own_package())


@app.command("ledger")
def report_ledger(profile: Profile = MINI) -> None:
    """Write results/PROFILE/ledger.{json,csv,md} and the papers' tables."""
    from reprolib.report.ledger import statuses, write

    print(f"every cell of the papers' tables: {statuses(write(profile))}")


@app.command("plots")
def report_plots(profile: Profile = MINI) -> None:
    """Write what `dvc metrics show` and `dvc plots show` read: results/PROFILE/metrics and results/PROFILE/plots."""
    from reprolib.report.plots import write

    write(profile)


@app.command("notebooks")
def report_notebooks(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="By default all.")] = None,
    profile: Profile = MINI,
    jobs: Jobs = None,
) -> None:
    """Execute a profile's notebooks, concurrently, into results/PROFILE/notebooks.

    One that needs real pictures which are not on this machine is left as it was.
    """
    from reprolib.report.notebooks import write
    from reprolib.runs.places import make
    from reprolib.runtime import preload

    preload(["papermill"])
    done = write(profile, names or None, jobs=jobs)
    make(profile, "notebooks", "figures")
    print(f"{counted(len(done), 'notebook')} executed")


@app.command("summary")
def report_summary(profile: Profile = MINI) -> None:
    """Write results/PROFILE/README.md."""
    from reprolib.report.summary import write

    write(profile)


@app.command("readme")
def report_readme() -> None:
    """Write the results part of the project's README."""
    from reprolib.report.readme import write

    write()


@app.command("teaser")
def report_teaser() -> None:
    """Draw the README's first picture, docs/teaser.jpg, with the best trained networks."""
    from reprolib.report.teaser import write

    for whose in write():
        print(whose)


@app.command("twins")
def report_twins() -> None:
    """Draw docs/cr.jpg: one scene through AECR-Net trained without and with its contrastive term."""
    from reprolib.report.twins import write

    for whose in write():
        print(whose)


@app.command("bench")
def report_bench() -> None:
    """Execute the notebook of kept bench results into results/bench."""
    from reprolib.report.bench import write_notebook

    print(write_notebook())


@app.command("protocols")
def report_protocols(profile: Profile = MINI) -> None:
    """Measure the same pictures under every protocol, for the notebook that shows them.

    A table of real pictures that are not on this machine is left as it was.
    """
    from reprolib.data.identity import lacking
    from reprolib.evaluation.protocols import measure_protocols
    from reprolib.report.protocols import FOLDER, forget, runs_shown, write
    from reprolib.runs.places import make

    shown = runs_shown(profile)
    make(profile, FOLDER)
    forget(shown, profile)
    for name, runs in shown.items():
        if absent := lacking(run.measured_on for run in runs):
            print(f"{name}: left as it was, with {', '.join(absent)} not on this machine")
        else:
            write(name, measure_protocols(runs), profile)
    print(f"{counted(len(shown), 'table')} of protocols")


@app.command("dcp")
def report_dcp(
    dataset: Annotated[str, typer.Argument(help="Dataset of pairs.")] = "sots-indoor",
    root: Root = None,
    limit: Annotated[int, typer.Option(min=1, max=LARGEST, help="Pairs, of as many scenes as there are.")] = 12,
    choice: Annotated[list[str] | None, typer.Option(
        help="First words of a choice, once for each; by default all but soft matting, which is slow.")] = None,
) -> None:
    """Measure the documented variants of DCP; adds to results/published/tables/dcp_variants.*."""
    from reprolib.data.sample import choose_pictures
    from reprolib.evaluation.dcp_variants import choose_variants, measure_variants
    from reprolib.report.dcp import write

    variants = choose_variants(choice or ())
    write(measure_variants(dataset, list(choose_pictures(dataset, limit, root)), variants))


@app.command("deep")
def report_deep(
    dataset: Annotated[str, typer.Argument(help="Dataset of pairs.")] = "haze-homogeneous",
    profile: Profile = "indoor",
    root: Root = None,
    limit: Annotated[int, typer.Option(min=1, max=LARGEST, help="Pairs, of as many scenes as there are.")] = 8,
) -> None:
    """Tell whether the deep part of each AECR-Net of a profile is in use: its scores with it and without."""
    from reprolib.report.deep_part import printed, table

    print(printed(table(profile, dataset, limit, data_root=root)), end="")


@app.command("printed")
def report_printed(
    system: Annotated[list[str], typer.Argument(metavar="NAME=WEIGHTS...", help="Dehazers with the authors' weights.")],
    dataset: Annotated[str, typer.Option(help="Dataset of pairs.")] = "sots-indoor",
    root: Root = None,
) -> None:
    """Hold printed numbers against every protocol; adds to results/published/tables/protocols_published.*.

    Goes on where it was interrupted: scores of pictures are kept in runs/published/.
    """
    from reprolib.data.paired import open_split
    from reprolib.evaluation.printed import compare, measure_systems
    from reprolib.report.printed import write

    weights = {name: Path(file) if file else None for name, _, file in (text.partition("=") for text in system)}
    write(compare(measure_systems(weights, open_split(dataset, "test", root)), dataset))


@app.command("pictures")
def report_pictures(
    dataset: Annotated[list[str] | None, typer.Argument(
        metavar="NAME[=FOLDER]...", help="Real datasets of pairs; by default all that are at hand.")] = None,
    system: Annotated[list[str] | None, typer.Option(
        help="NAME, or NAME=WEIGHTS; give it once for each system. By default dcp and aecrnet.")] = None,
    output: Annotated[Path, typer.Option(
        dir_okay=False, help="The executed notebook; its figures go beside it.")] = Path("runs/gallery/gallery.ipynb"),
    profile: Annotated[str | None, typer.Option(
        help="Whose networks a NAME alone takes; by default the best of all.")] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Pictures of each dataset.")] = 2,
) -> None:
    """Make a gallery of real hazy pictures through any systems and weights: Figures 7 and 8 on the real datasets."""
    from reprolib.report.pictures import write

    print(write(dataset or (), system or ("dcp", "aecrnet"), output, profile, count))
