"""`reprolib bench` and `bench-translators`: what a step costs, measured by hand and kept."""

from __future__ import annotations

from typing import Annotated

import typer

from reprolib.commands.shared import MINI, Accelerator, Json, Profile, show

app = typer.Typer()


@app.command()
def bench(
    system: Annotated[str, typer.Argument(help="A dehazer, cut or fastcut.")],
    task: Annotated[str, typer.Option(help="train: an optimisation step; evaluate: a whole picture.")] = "train",
    precision: Annotated[list[str] | None, typer.Option(
        help="32-true or bf16-mixed, or give both; by default what the device has.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Pictures of a batch; by default the target's.")] = None,
    crop: Annotated[int | None, typer.Option(min=1, help="Side of the pictures; by default the target's.")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Channels of the first layer; default the paper's.")] = None,
    rate: Annotated[str, typer.Option(help="positives:negatives of the contrastive term of a dehazer.")] = "1:1",
    repeats: Annotated[int, typer.Option(min=1, help="Turns that are timed.")] = 20,
    accelerator: Accelerator = "auto",
    as_json: Json = False,
) -> None:
    """Time a step beside the plain way of taking it, in one run; keeps results/bench/*.json."""
    from reprolib.bench.case import cases
    from reprolib.bench.run import bench as run
    from reprolib.bench.run import keep

    chosen = cases(system, task, precision, batch, crop, width, rate, accelerator)
    rows = [run(case, repeats) for case in chosen]
    paths = keep(rows)
    show(rows, as_json, ("system", "task", "precision", "step_seconds", "reference_seconds", "speedup",
                         "memory_ratio", "share_of_ceiling"))
    if not as_json:
        for verdict in (v for row in rows for v in row["targets"]):
            outcome = "met" if verdict["met"] else f"missed by {verdict['missed_by']:.0%}: {verdict['bound']}"
            print(f"{verdict['measure']} {verdict['value']:.2f}, target {verdict['target']}: {outcome}")
        print(f"written to {', '.join(map(str, paths))}")


@app.command("bench-translators")
def bench_translators(
    profile: Profile = MINI,
    crop: Annotated[int, typer.Option(min=1, help="Side of the pictures.")] = 128,
    warmup: Annotated[int, typer.Option(min=0, help="Steps before the first timed one.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Timed steps.")] = 4,
    accelerator: Accelerator = "auto",
) -> None:
    """Time a step of every translator of a profile in one run; keeps results/bench/translators_PROFILE.json."""
    from reprolib.bench.translators import write_costs

    print(write_costs(profile, crop, warmup, repeats, accelerator=accelerator))
