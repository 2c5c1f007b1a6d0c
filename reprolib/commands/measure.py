"""`reprolib measure` and `reprolib verify`: checkpoints become records, and are held to the present code."""

from __future__ import annotations

from typing import Annotated

import typer

from reprolib.commands.caches import drop_damaged_features
from reprolib.commands.console import show
from reprolib.commands.options import LARGEST, MINI, Accelerator, Direction, Jobs, Json, Profile, Seed, Targets, refuse
from reprolib.commands.project import require_own_package

UNUSABLE = {"non-finite": "answers with numbers that are not finite; its pictures show nothing, no value is recorded",
            "collapsed": "answers with one colour everywhere; its pictures show nothing, no value is recorded"}
"""What a record's status means for whoever looks at the pictures."""


def measure(
    targets: Targets,
    profile: Profile = MINI,
    seed: Seed = None,
    direction: Direction = None,
    again: Annotated[bool, typer.Option("--again", help="Also what was measured already.")] = False,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Measure runs of a profile: each one's checkpoint on its test pictures; writes pictures and records.

    Records stand that would come out the same, and those of real pictures that are not on this machine. A system's
    name means all its runs of the profile.
    What is measured from B to A is no part of the tables, and lies in runs/PROFILE/RUN/ba.
    Given weights on a given dataset are measured by `reprolib evaluate`.
    """
    from functools import partial

    from reprolib import models
    from reprolib.evaluation.run import forget, measure_run
    from reprolib.progress import say
    from reprolib.runs.concurrent import side_by_side
    from reprolib.runs.digests import measuring_entries
    from reprolib.runs.profile import read_profile, select
    from reprolib.runtime import preload

    require_own_package()
    drop_damaged_features()
    chosen = select(profile, targets, seed=seed)
    for system in dict.fromkeys(run.system for run in chosen):
        if models.get(system).task == "dehazing":
            refuse(f"{system}, which is no translator", direction=direction)
    preload(["reprolib.evaluation.run", *(name for run in chosen for name in measuring_entries(run))])
    for system in targets:
        if seed is None and direction is None and (whole := read_profile(profile)).of_system(system):
            forget(whole, system)
    work = partial(measure_run, direction=direction or "ab", again=again)
    measured = side_by_side(work, chosen, jobs, always=True)
    rows = [{"run": run.id, "dataset": r.dataset, "metric": r.metric, "value": r.value, "input": r.input_value,
             "n": r.n, "status": r.status, "checkpoint": r.checkpoint}
            for run, records in zip(chosen, measured, strict=True) for r in records]
    for run, status in dict.fromkeys((row["run"], row["status"]) for row in rows if row["status"] in UNUSABLE):
        say(f"'{run}': {UNUSABLE[str(status)]}")
    # Translators have a second checkpoint, the best on validation, which no table takes.
    shown = rows if as_json else [row for row in rows if not str(row["checkpoint"]).startswith("best")]
    show(shown, as_json, ("run", "metric", "value", "input", "n"), in_files=True)


def verify(
    target: Annotated[str, typer.Argument(metavar="RUN", help="A run of the profile.")],
    profile: Profile = MINI,
    steps: Annotated[int | None, typer.Option(min=1, max=LARGEST, help="How many; by default 100 or more.")] = None,
    pictures: Annotated[int | None, typer.Option(min=1, max=LARGEST, help="Test pictures; by default all.")] = None,
    accelerator: Accelerator = "auto",
) -> None:
    """Train a run's first steps again and measure it; if nothing differs, it counts as made by the present code."""
    require_own_package()
    drop_damaged_features()
    from reprolib.evaluation.verify import verify_run
    from reprolib.runs.profile import find

    run = find(profile, target)
    verified = verify_run(run, steps, accelerator=accelerator, pictures=pictures)
    print(verified)
    if not verified.same:
        raise typer.Exit(1)
