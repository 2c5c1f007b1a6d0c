"""`reprolib train`, `segmenter`, `verify`: training runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from reprolib.commands.shared import MINI, Accelerator, Jobs, Profile, Root, Workers

app = typer.Typer()


@app.command()
def train(
    targets: Annotated[list[str], typer.Argument(
        metavar="RUN|SYSTEM...", help="Runs of the profile, or systems: on --dataset, or all that the profile has.")],
    dataset: Annotated[str | None, typer.Option(help="Dataset to train on.")] = None,
    profile: Profile = MINI,
    root: Root = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on where a stopped run was; a finished one stays.")] = False,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimisation steps, instead of the profile's.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Batch size, instead of the profile's.")] = None,
    crop: Annotated[int | None, typer.Option(min=1, help="Crop in pixels, instead of the profile's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    precision: Annotated[str | None, typer.Option(help="32-true or bf16-mixed.")] = None,
    recipe: Annotated[str | None, typer.Option(help="common (the profile's) or published (the authors').")] = None,
    start: Annotated[Path | None, typer.Option("--from", help="Weights to start from, ours or published.")] = None,
    accelerator: Accelerator = "auto",
    workers: Workers = 0,
    jobs: Jobs = None,
) -> None:
    """Train runs; killed at any moment, --resume goes on to the same result.

    A run with other settings than the profile's has a folder of its own, runs/PROFILE/NAME-FINGERPRINT. Under
    `torchrun -m reprolib train ...` several processes share each batch.
    """
    from reprolib import distributed, models
    from reprolib.runs.concurrent import side_by_side
    from reprolib.runs.digests import training_entries
    from reprolib.runs.profile import read_profile, select
    from reprolib.runtime import preload
    from reprolib.training.run import train as run
    from reprolib.training.run import train_system

    changes = {"seed": seed, "steps": steps, "batch": batch, "crop": crop, "learning_rate": learning_rate,
               "precision": precision, "recipe": recipe}
    plain = dataset is None and root is None and start is None and not any(v is not None for v in changes.values())
    known = read_profile(profile)
    if len(targets) == 1 and plain and resume and targets[0] in known.systems:  # the pipeline's stage
        system = targets[0]
        group = known.of_system(system)
        preload(name for r in group for name in training_entries(r))
        found = train_system(system, group, profile, jobs=jobs, accelerator=accelerator)
        if not models.get(system).trained:
            print(f"{system}: a prior, nothing to train")
    else:
        chosen = select(profile, targets, dataset, **changes)
        preload(name for r in chosen for name in training_entries(r))
        work = partial(run, resume=resume, data_root=root, accelerator=accelerator, workers=workers, init=start,
                       again=not resume)
        found = side_by_side(work, chosen, jobs, accelerator, dataset is None)
    for at in found:
        if distributed.rank() == 0:
            score = f"{at.best:.2f} dB" if models.get(at.run.system).task == "dehazing" else f"distance {-at.best:.2f}"
            print(f"{at.run.id}: best validation {score} at step {at.best_step} of {at.steps}; {at.folder}" if at.fresh
                  else f"{at.run.id}: trained already; {at.folder}")


@app.command()
def segmenter(
    profile: Profile = MINI,
    imagenet: Annotated[Path | None, typer.Option(help="The released ImageNet classifier to start from.")] = None,
    accelerator: Accelerator = "auto",
) -> None:
    """Train the networks that score a profile's label-to-photo translation; finished ones stay."""
    from reprolib.runtime import preload

    preload(["reprolib.training.segmentation"])
    from reprolib.training.segmentation import train_segmenters

    found = train_segmenters(profile, accelerator=accelerator, imagenet=imagenet)
    for at in found:
        print(f"{at.run.id}: best validation mean IoU {at.best:.1f} %; {at.folder}" if at.fresh
              else f"{at.run.id}: trained already; {at.folder}")
    if not found:
        print("no label maps in this profile")
