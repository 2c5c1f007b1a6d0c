"""`reprolib report`: tables, ledger files and notebooks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from reprolib.commands.console import Jobs, Profile

app = typer.Typer(no_args_is_help=True, help="Tables, ledger files and notebooks (stages of the pipeline).")


@app.command("ledger")
def report_ledger(profile: Profile = None) -> None:
    """Write the ledger and the tables of a profile."""
    from reprolib.runs.experiment import active_profile
    from reprolib.report.stages import write_ledger

    write_ledger(profile or active_profile())


@app.command("cost")
def report_cost(profile: Profile = None) -> None:
    """Time a step of every translator in one run."""
    from reprolib.runs.experiment import active_profile
    from reprolib.report.cost import write_costs

    write_costs(profile or active_profile())


@app.command("protocols")
def report_protocols(profile: Profile = None) -> None:
    """Measure the same pictures under every protocol."""
    from reprolib.runs.experiment import active_profile
    from reprolib.report.stages import write_protocols

    write_protocols(profile or active_profile())


@app.command("notebook")
def report_notebook(
    names: Annotated[list[str], typer.Argument(metavar="NAME...")],
    profile: Profile = None,
    jobs: Jobs = None,
) -> None:
    """Execute notebooks, side by side, into results/<profile>/notebooks; bench, of no profile, into results/bench."""
    if names == ["bench"]:
        from reprolib.report.bench import write_notebook

        print(write_notebook())
        return
    from reprolib.runs.code import preload
    from reprolib.runs.experiment import active_profile
    from reprolib.runs.concurrent import side_by_side
    from reprolib.report.stages import run_notebook

    preload(["papermill"])
    side_by_side(partial(run_notebook, profile=profile or active_profile()), names, jobs, accelerator="cpu",
                 always=True)


@app.command("dcp")
def report_dcp(
    dataset: Annotated[str, typer.Argument(help="Dataset of pairs.")] = "sots-indoor",
    root: Annotated[Path | None, typer.Option(help="Folder of the dataset, instead of the registered one.")] = None,
    limit: Annotated[int, typer.Option(help="Pairs, each of another scene.")] = 12,
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
    root: Annotated[Path | None, typer.Option(help="Folder of the dataset, instead of the registered one.")] = None,
    count: Annotated[int, typer.Option(help="Pictures shown.")] = 4,
) -> None:
    """Compare any systems and weights on pictures of a real dataset, in a notebook."""
    from reprolib.report.stages import run_pictures

    run_pictures(dataset, system, output, root, count)


@app.command("times")
def report_times(profile: Profile = None) -> None:
    """Run `dvc repro` and keep how long each stage took, if all of them ran (results/<profile>/times.json)."""
    from reprolib.runs.experiment import active_profile
    from reprolib.report.times import watch

    print(f"{watch(profile or active_profile())} stages ran")


@app.command("summary")
def report_summary(profile: Profile = None, readme: bool = False) -> None:
    """Write results/<profile>/README.md; with --readme also the results part of the project's README."""
    from reprolib.runs.experiment import active_profile
    from reprolib.report.summary import write_summary

    write_summary(profile or active_profile())
    if readme:
        from reprolib.report.readme import write_readme

        write_readme(profile or active_profile())
