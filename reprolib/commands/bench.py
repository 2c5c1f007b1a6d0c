"""`reprolib bench` and `bench-translators`: what a step costs; run by hand, and kept."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from reprolib.commands.console import show
from reprolib.commands.options import LARGEST, Accelerator, Json, known_precisions, refuse
from reprolib.errors import unknown

Side = Annotated[int | None, typer.Option(min=1, max=LARGEST, help="Side of the pictures; by default the target's.")]


def bench(
    system: Annotated[str, typer.Argument(help="A dehazer, cut or fastcut.")],
    task: Annotated[Literal["train", "evaluate"], typer.Option(
        help="train: an optimisation step; evaluate: a whole picture.")] = "train",
    precision: Annotated[list[str] | None, typer.Option(
        callback=known_precisions, help="32-true or bf16-mixed, once for each.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, max=LARGEST, help="Pictures of a batch; by default the target's.")]
    = None,
    crop: Side = None,
    width: Annotated[int | None, typer.Option(min=1, max=LARGEST, help="Channels of the first layer, if reduced.")]
    = None,
    rate: Annotated[str | None, typer.Option(help="positives:negatives of CR, '1:1' by default.")] = None,
    against: Annotated[list[str] | None, typer.Option(
        help="Way beside the plain one, once for each: direct (ours without Winograd), untuned "
        "(malloc's own settings), compiled (takes minutes at first), bf16; all by default, plain for none.")] = None,
    repeats: Annotated[int, typer.Option(min=1, max=LARGEST, help="Turns that are timed.")] = 20,
    accelerator: Accelerator = "auto",
    as_json: Json = False,
) -> None:
    """Time a step beside the other ways of taking it, in one run; keeps results/bench/*.json."""
    from reprolib import models
    from reprolib.contrast.samples import Rate

    if task == "evaluate":
        refuse("evaluating whole pictures, one by one", batch=batch, crop=crop, rate=rate)
    if models.get(system).task == "translation":
        refuse("a translator", rate=rate)
    Rate.parse(rate or "1:1")

    from reprolib.bench.case import MODES, cases
    from reprolib.bench.run import bench as run
    from reprolib.bench.run import keep

    for way in against or ():
        if way not in MODES:
            raise unknown("way of taking a step", way, MODES)
    chosen = cases(system, task, precision or None, batch, crop, width, rate or "1:1", accelerator)
    rows = [run(case, repeats, against or MODES) for case in chosen]
    paths = keep(rows)
    show(rows, as_json, ("system", "task", "precision", "step_seconds", "reference_seconds", "speedup", "memory_ratio",
                       "share_of_ceiling"), in_files=True)
    if as_json:
        return
    for verdict in (v for row in rows for v in row["targets"]):
        outcome = "met" if verdict["met"] else f"missed by {verdict['missed_by']:.0%}: {verdict['bound']}"
        print(f"{verdict['measure']} {verdict['value']:.2f}, target {verdict['target']}: {outcome}")
    print(f"written to {', '.join(map(str, paths))}")


def bench_translators(
    crop: Annotated[int, typer.Option(min=8, max=LARGEST, help="Side of the pictures.")] = 256,
    repeats: Annotated[int, typer.Option(min=1, max=LARGEST, help="Steps that are timed.")] = 4,
    only_memory: Annotated[bool, typer.Option(
        "--only-memory", help="Count memory again and keep the seconds, which want an idle machine.")] = False,
    accelerator: Accelerator = "auto",
) -> None:
    """Time a step of every translator of CUT's table at full size; keeps results/bench/translators_paper.json."""
    from reprolib.bench.translators import write_costs

    print(write_costs(crop=crop, repeats=repeats, accelerator=accelerator, only_memory=only_memory))
