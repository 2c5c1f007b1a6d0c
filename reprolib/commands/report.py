"""`reprolib report`: what a person reads, drawn from records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reprolib.commands.shared import MINI, Jobs, Profile, Root

app = typer.Typer(no_args_is_help=True, help="Tables, figures, notebooks and pages, drawn from records.")


@app.command("ledger")
def report_ledger(profile: Profile = MINI) -> None:
    """Write the ledger and the tables of a profile."""
    from reprolib.report.ledger import write

    write(profile)


@app.command("notebooks")
def report_notebooks(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="By default all of the profile.")] = None,
    profile: Profile = MINI,
    jobs: Jobs = None,
) -> None:
    """Execute a profile's notebooks, side by side, into results/PROFILE; `bench`, of no profile, into results/bench."""
    if names == ["bench"]:
        from reprolib.report.bench import write_notebook

        print(write_notebook())
        return
    from reprolib.report.notebooks import write
    from reprolib.runtime import preload

    preload(["papermill"])
    for path in write(profile, names or None, jobs=jobs):
        print(path)


@app.command("summary")
def report_summary(profile: Profile = MINI) -> None:
    """Write results/PROFILE/README.md."""
    from reprolib.report.summary import write

    write(profile)


@app.command("readme")
def report_readme() -> None:
    """Write the part of the project's README that is drawn from records."""
    from reprolib.report.readme import write

    write()


@app.command("dcp")
def report_dcp(
    dataset: Annotated[str, typer.Argument(help="Dataset of pairs.")] = "sots-indoor",
    root: Root = None,
    limit: Annotated[int, typer.Option(min=1, help="Pairs, each of another scene.")] = 12,
) -> None:
    """Measure the documented variants of DCP; writes results/published/tables/dcp_variants.*."""
    from reprolib.evaluation.dcp_variants import choose_pictures, measure_variants
    from reprolib.report.dcp import write

    write(measure_variants(dataset, list(choose_pictures(dataset, limit, root))))


@app.command("pictures")
def report_pictures(
    dataset: Annotated[str, typer.Argument(help="Registered dataset of pairs.")],
    system: Annotated[list[str], typer.Option(help="NAME, or NAME=WEIGHTS; give it once for each system.")],
    output: Annotated[Path, typer.Option(help="The executed notebook; its figure goes beside it.")],
    root: Root = None,
    count: Annotated[int, typer.Option(min=1, help="Pictures shown.")] = 4,
) -> None:
    """Compare any systems and weights on pictures of a real dataset, in a notebook."""
    from reprolib.report.pictures import write

    print(write(dataset, system, output, root, count))
