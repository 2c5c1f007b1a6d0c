"""`reprolib train` and `reprolib segmenter`: runs become checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from reprolib.commands.caches import drop_damaged_features
from reprolib.commands.options import (
    LARGEST,
    MINI,
    Accelerator,
    Data,
    Jobs,
    Precision,
    Profile,
    Root,
    Seed,
    Steps,
    Targets,
    Workers,
    own_pictures,
    positive,
    refuse,
)
from reprolib.commands.project import require_own_package
from reprolib.errors import UserError

if TYPE_CHECKING:
    from reprolib.runs.profile import TaskRun
    from reprolib.training.run import Trained


def train(
    targets: Targets,
    dataset: Annotated[str | None, typer.Option(help="Dataset to train on.")] = None,
    profile: Profile = MINI,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a killed run stopped.")] = False,
    seed: Seed = None,
    steps: Steps = None,
    batch: Annotated[int | None, typer.Option(min=1, max=LARGEST, help="Batch, instead of the profile's.")] = None,
    crop: Annotated[int | None, typer.Option(min=1, max=LARGEST, help="Crop in pixels, instead of the profile's.")]
    = None,
    learning_rate: Annotated[float | None, typer.Option(callback=positive, help="Peak learning rate.")] = None,
    precision: Annotated[Precision | None, typer.Option(help="Of the arithmetic, instead of the profile's.")] = None,
    recipe: Annotated[Literal["common", "published"] | None, typer.Option(help="The profile's, or the authors'.")]
    = None,
    init: Annotated[Path | None, typer.Option(
        "--from", exists=True, dir_okay=False, help="Weights to start from, ours or published.")] = None,
    root: Root = None,
    data: Data = None,
    accelerator: Accelerator = "auto",
    workers: Workers = 0,
    jobs: Jobs = None,
    log: Annotated[Literal["tensorboard"] | None, typer.Option(
        help="Beside log.csv: event files in runs/PROFILE/RUN/events.")] = None,
) -> None:
    """Train runs; killed at any moment, --resume goes on to the same result.

    Under `torchrun -m reprolib train ...` several processes share each batch.
    """
    from functools import partial

    from reprolib import distributed, models
    from reprolib.data.identity import lacking
    from reprolib.runs.concurrent import side_by_side
    from reprolib.runs.digests import training_entries
    from reprolib.runs.profile import read_profile, select
    from reprolib.runtime import preload
    from reprolib.training import events
    from reprolib.training.run import train as run
    from reprolib.training.run import train_system
    from reprolib.training.start import in_turn

    require_own_package()
    drop_damaged_features()
    dataset = own_pictures(data, dataset, root)
    changes: dict[str, Any] = {
        "seed": seed, "steps": steps, "batch": batch, "crop": crop, "learning_rate": learning_rate,
        "precision": precision, "recipe": recipe}
    chosen = [r for r in select(profile, targets, dataset, **changes) if not r.weights_of or r.id in targets]
    for name in dict.fromkeys(r.system for r in chosen if not models.get(r.system).trained):
        refuse(f"{name}, which has nothing to train", dataset=dataset, **changes, root=root, init=init,
               log=log)
    if init is not None and len(chosen) > 1:
        raise UserError(f"--from is for one run, and {len(chosen)} are named", fix="name one run")
    if log is not None:
        events.require()
    refuse_unbuildable(chosen)
    preload(name for r in chosen for name in training_entries(r))

    whole = read_profile(profile)
    pipeline = resume and not any(value is not None for value in (dataset, *changes.values(), root, init))
    if pipeline and (absent := lacking(r.dataset for r in chosen if models.get(r.system).trained)):
        raise UserError(f"pictures to train on are not on this machine: {', '.join(absent)}",
                        where=f"profile '{profile}'", fix="run `dvc repro --pull` for a checkpoint that ships, or "
                        f"`reprolib data register {absent[0]} PATH`")
    alone = pipeline and workers == 0 and distributed.launched() == 1
    done: list[Trained] = []
    for system in [t for t in dict.fromkeys(targets) if whole.of_system(t) and (alone or not models.get(t).trained)]:
        own = whole.of_system(system)
        done += train_system(system, own, profile, jobs=jobs, accelerator=accelerator,
                             events=log is not None)
        chosen = [r for r in chosen if r.system != system]
        if not models.get(system).trained:
            print(f"{system}: nothing to train; checkpoints/{profile}/{system} says so")
    work = partial(run, resume=resume, again=not resume, data_root=root, accelerator=accelerator, workers=workers,
                   init=init, events=log is not None)
    for group in in_turn(chosen):
        done += side_by_side(work, group, jobs, accelerator, dataset is None)
    if distributed.rank() == 0:
        for trained in done:
            print(_line(trained))


def refuse_unbuildable(runs: Iterable[TaskRun]) -> None:
    """Stop before anything is read.

    Raises:
        UserError: a run's options are no network.
    """
    from reprolib.evaluation.networks import count

    for run in runs:
        try:
            count(run.system, run.network)
        except ValueError as error:
            raise UserError(str(error), where=f"run '{run.name}', network", fix="change it") from error


def segmenter(
    profile: Profile = MINI,
    imagenet: Annotated[Path | None, typer.Option(
        exists=True, dir_okay=False, help="The released ImageNet classifier to start from.")] = None,
    accelerator: Accelerator = "auto",
) -> None:
    """Train the networks that score label-to-photo translation; goes on where a killed run stopped."""
    from reprolib.training.segmentation import train_segmenters

    require_own_package()
    drop_damaged_features()
    found = train_segmenters(profile, accelerator=accelerator, imagenet=imagenet)
    for trained in found:
        print(_line(trained))
    if not found:
        print(f"no run of profile '{profile}' translates label maps: nothing to train")


def _line(trained: Trained) -> str:
    """What came of a training, in words."""
    from reprolib import models

    name, system = trained.run.id, trained.run.system
    if not trained.fresh:
        return f"{name}: finished before, at step {trained.steps}; {trained.folder}"
    if not math.isfinite(trained.best):
        return f"{name}: {trained.steps} steps; {trained.folder}"
    if system not in models.names():
        score = f"mean IoU {trained.best:.1f} %"
    elif models.get(system).task == "dehazing":
        score = f"{trained.best:.2f} dB"
    else:
        score = f"distance {-trained.best:.2f}"
    return f"{name}: best validation {score} at step {trained.best_step} of {trained.steps}; {trained.folder}"
