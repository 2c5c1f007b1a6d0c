"""Training a run, whatever its task: what it is bound to, whose folder it is, what it cost."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import torch
from lightning_fabric import Fabric

from reprolib import distributed, models
from reprolib.data.copies import Copy
from reprolib.data.identity import Identity, dataset_identity, file_identity
from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.models.weights import read_header
from reprolib.progress import say
from reprolib.runs.concurrent import side_by_side
from reprolib.runs.digests import TRAINING, training_digest
from reprolib.runs.environment import environment, peak_resident
from reprolib.runs.inputs import reads
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun
from reprolib.runs.run import Run
from reprolib.runs.standing import WEIGHTS
from reprolib.training.beginnings import Beginning, shared_beginnings
from reprolib.training.checkpoint import (
    Origin,
    Progress,
    State,
    difference,
    find_state,
    is_finished,
    put_aside,
    read_state,
    save_state,
    states,
)
from reprolib.training.fabric import open_fabric
from reprolib.training.loading import Batches
from reprolib.training.lock import alone
from reprolib.training.loop import Task, advance, fit
from reprolib.training.start import in_turn, starting_weights

KEPT = ("last.safetensors", "best.safetensors", "log.csv")
"""What a finished run has in its folder."""


class Opener(Protocol):
    """Makes the task and the batches of a run; before any step, it refuses what could not be finished."""

    def __call__(self, fabric: Fabric, /) -> tuple[Task, Batches]: ...


class TaskModule(Protocol):
    """A module of `TRAINING`."""

    def open_run(self, run: Run, fabric: Fabric, data_root: Path | None, init: Path | None,
                 leaks: Sequence[Copy]) -> tuple[Task, Batches]: ...


@dataclass(frozen=True)
class Trained:
    """What a finished training says."""

    run: Run
    """The run that was trained: another one than was asked for, if it starts from given weights or goes on."""
    steps: int
    best: float
    """Best validation score; NaN if the run was finished before."""
    best_step: int
    folder: Path
    """Of last.safetensors, best.safetensors and log.csv."""
    seconds: float = 0.0
    """All sittings together."""
    fresh: bool = True
    """False if the run was finished already, and nothing was done."""


def train(run: TaskRun, *, resume: bool = False, root: Path = Path(), data_root: Path | None = None,
          accelerator: str = "auto", workers: int = 0, init: Path | None = None, again: bool = True,
          events: bool = False, after: Path | None = None) -> Trained:
    """Train one run into its folder (`reprolib.runs.places`).

    Under torchrun all processes call it, share each batch and do together what one would do; process 0 writes.

    Args:
        resume: go on where this very run was stopped, or where one was that differs in its number of steps alone, if
            that is no run of the pipeline; without it an unfinished state is put aside.
        data_root: folder of the dataset, instead of the registered one. With other pictures than those, a run of the
            pipeline becomes one of its own.
        init: weights to start from, ours or published: another run, with their digest among its settings.
        again: train a finished run again; otherwise, and with `resume`, it stays as it is.
        events: write the log for TensorBoard, too (`reprolib.training.events`); the run is the same one.
        after: state of a beginning that it shares with other runs, to go on from if it has none of its own.

    Raises:
        UserError: missing data, wrong settings, nothing to train, a loss that is not finite, or a run that another
            process is training.
    """
    origin = originate(run, root, data_root, init)
    if resume and not origin.run.own:
        origin = _extended(origin, root)

    def open_run(fabric: Fabric, /) -> tuple[Task, Batches]:
        return open_task(origin, fabric, data_root, init or starting_weights(run, root))

    return train_task(origin, open_run, resume=resume, root=root, accelerator=accelerator, workers=workers, again=again,
                      events=events, after=after)


def open_task(origin: Origin, fabric: Fabric, data_root: Path | None, init: Path | None) -> tuple[Task, Batches]:
    """The task and the batches of a run; one task's code is no part of another's (`reprolib.runs.digests`).

    Raises:
        UserError: missing data, or settings that do not fit them.
    """
    module = cast(TaskModule, import_module(TRAINING[models.get(origin.run.system).task]))
    return module.open_run(origin.run, fabric, data_root, init, origin.leaks)


def originate(run: TaskRun, root: Path, data_root: Path | None, init: Path | None) -> Origin:
    """What a training is bound to; other weights to start from, or other pictures, make another run.

    Raises:
        UserError: missing data or weights, or nothing to train.
    """
    spec = models.get(run.system)
    if run.weights_of:
        raise UserError(f"'{run.id}' measures the checkpoint of '{run.trained_as}'",
                        fix=f"run `reprolib train {run.trained_as}`")
    if not spec.trained or run.steps < 1:
        raise UserError(f"'{run.id}' has nothing to train", where=f"steps {run.steps}",
                        fix=f"run `reprolib measure {run.id}`" if not spec.trained else "give 1 step or more")
    data = {f"{run.dataset}/{split}": dataset_identity(run.dataset, split, data_root) for split in ("train", "val")}
    if data_root is not None and run.own and not _registered(run.dataset, data):
        run = run.changed()
    for name in reads(run):
        if name in WEIGHTS and (root / WEIGHTS[name]).is_file():
            data[name] = file_identity(root / WEIGHTS[name])
    if start := init or starting_weights(run, root):
        data["init"] = Identity({"weights": next(iter(file_identity(start).files.values()))})
    if init is not None:
        run = run.changed(init=data["init"].digest)
    return Origin.apart(run, training_digest(run), data, data_root)


def train_task(origin: Origin, open_run: Opener, *, resume: bool, root: Path = Path(), accelerator: str = "auto",
               workers: int = 0, again: bool = True, events: bool = False, after: Path | None = None) -> Trained:
    """As `train`, for any task."""
    run, places = origin.run, Places(origin.run, root)
    if (resume or not again) and _is_kept(places, origin):
        with suppress(UserError), alone(places.work, run.id):  # somebody may be training it again
            _sweep(places)
        return Trained(run, run.steps, math.nan, 0, places.checkpoint, fresh=False)
    fabric = open_fabric(run, accelerator)
    with alone(places.work, run.id) if distributed.rank() == 0 else nullcontext():
        distributed.on_first(lambda: _sweep(places))
        start = distributed.on_first(lambda: _choose_state(places, origin, resume) or after)
        torch.manual_seed(run.seed)
        task, batches = open_run(fabric)
        state = distributed.on_first(lambda: None if start is None else read_state(start))
        progress = fit(task, batches, origin, fabric, places, state, workers, events)
        distributed.on_first(lambda: write_text(places.cost, _cost(progress, fabric.device)))
    return Trained(run, progress.step, progress.best, progress.best_step, places.checkpoint, progress.seconds)


def train_system(system: str, runs: Iterable[TaskRun], profile: str, *, jobs: int | None = None, root: Path = Path(),
                 accelerator: str = "auto", events: bool = False) -> list[Trained]:
    """The pipeline's runs of a system, side by side; finished ones stay, unfinished ones go on.

    Folders of runs that the profile no longer has are removed first. Runs that start from the weights of others wait
    for these.
    """
    runs, folder = [run for run in runs if not run.weights_of], root / "checkpoints" / profile / system
    order = {run.id: number for number, run in enumerate(runs)}
    if not models.get(system).trained:
        write_text(folder / "README", f"{system} is a prior: nothing is trained.\n")
        return []
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and path.name not in order:
            shutil.rmtree(path)
    done = [trained for group in in_turn(runs) for trained in _train_group(group, jobs, root, accelerator, events)]
    return sorted(done, key=lambda trained: order[trained.run.id])


def _train_group(runs: list[TaskRun], jobs: int | None, root: Path, accelerator: str, events: bool) -> list[Trained]:
    """Runs of a system that wait for none of each other. Beginnings that they share are trained once."""
    sharing = {name for beginning in shared_beginnings(runs) for name in beginning.shared_by}
    beginnings = shared_beginnings(run for run in runs if run.id in sharing and not _is_kept(
        Places(run, root), originate(run, root, None, None)))
    after = {name: beginning.state(root) for beginning in beginnings for name in beginning.shared_by}
    work = partial(_train_piece, root=root, accelerator=accelerator, events=events)
    first: list[Piece] = [*beginnings, *((run, None) for run in runs if run.id not in after)]
    then: list[Piece] = [(run, after[run.id]) for run in runs if run.id in after]
    done = [trained for pieces in (first, then)
            for trained in side_by_side(work, pieces, jobs, accelerator, always=True) if trained is not None]
    for beginning in beginnings:
        beginning.remove(root)
    return done


Piece = Beginning | tuple[TaskRun, Path | None]
"""What is trained in one process: a beginning, or a run, perhaps from the state of its beginning on."""


def _train_piece(piece: Piece, *, root: Path, accelerator: str, events: bool) -> Trained | None:
    if isinstance(piece, Beginning):
        _begin(piece, root, accelerator)
        return None
    run, after = piece
    return train(run, resume=True, root=root, accelerator=accelerator, again=False, events=events, after=after)


def _begin(beginning: Beginning, root: Path, accelerator: str) -> None:
    """Train a beginning to its last step, from where it was stopped, and leave its state."""
    origin = originate(beginning.run, root, None, None)
    run, places = origin.run, Places(origin.run, root)
    with alone(places.work, run.id):
        start, _ = find_state(places, origin)
        state = None if start is None else read_state(start)
        if state is not None and state["progress"]["step"] > beginning.steps:  # the term joined later then
            state = None
        fabric = open_fabric(run, accelerator)
        torch.manual_seed(run.seed)
        task, batches = open_task(origin, fabric, None, starting_weights(beginning.run, root))
        progress = advance(task, batches, origin, fabric, places, state, stop=beginning.steps)
        save_state(places.state, task, progress, origin)


def _registered(dataset: str, data: dict[str, Identity]) -> bool:
    """Whether these are the pictures that the pipeline would read."""
    try:
        return all(dataset_identity(dataset, name.rpartition("/")[2]).digest == found.digest
                   for name, found in data.items())
    except UserError:
        return False


def _is_kept(places: Places, origin: Origin) -> bool:
    """Whether the checkpoint of the finished run is there."""
    headers = [read_header(places.checkpoint / name) for name in KEPT[:2]]
    return (places.checkpoint / KEPT[2]).is_file() and all(map(origin.matches, headers)) and \
        headers[0].step == origin.run.steps


def _sweep(places: Places) -> None:
    """What a killed process left of a file that it was writing; nobody else writes here."""
    for folder, names in ((places.checkpoint, KEPT), (places.work, ("state.pt", "cost.json"))):
        for name in names:
            for path in folder.glob(f".{name}.*") if folder.is_dir() else ():
                path.unlink(missing_ok=True)


def _choose_state(places: Places, origin: Origin, resume: bool) -> Path | None:
    """The state to go on from. A present state of anything else is put aside, and one line says why.

    Raises:
        UserError: to be resumed, but no training state.
    """
    if not resume:
        if places.state.is_file() and not _would_come_again(places.state, origin):
            say(f"an unfinished state of '{origin.run.id}' was there, kept as {put_aside(places.state)}: "
                "--resume continues it")
        return None
    if origin.run.extends and not places.state.is_file():
        return _shorter(origin, places.root)
    own, reason = find_state(places, origin)
    if own != places.state and places.state.is_file():
        kept = put_aside(places.state)
        told = "going on with its own" if own else "starting anew"
        say(f"the state of '{origin.run.id}' was one of {reason or 'another run'}: kept as {kept}, {told}")
    if own is not None and own != places.state:
        own.replace(places.state)
    return places.state if own is not None else None


def _would_come_again(path: Path, origin: Origin) -> bool:
    """Whether a state is that of the very run, and finished: training gives the same."""
    try:
        state = read_state(path, glance=True)
    except UserError:
        return False
    return is_finished(state) and difference(state, origin) is None


LENGTH = ("steps", "extends")


def _extended(origin: Origin, root: Path) -> Origin:
    """The run that goes on from the longest one that differs in its number of steps alone; else `origin` itself."""
    run, places = origin.run, Places(origin.run, root)
    if run.extends or _is_kept(places, origin) or find_state(places, origin)[0] is not None:
        return origin
    best: tuple[int, Run] | None = None
    for _, state in _alike(origin, root):
        done, total = state["progress"]["step"], state["run"]["steps"]
        before = tuple((int(of), int(at)) for of, at in state["run"]["extends"])
        if total == run.steps and before:  # it went on already
            return replace(origin, run=run.changed(extends=before))
        if 0 < done < run.steps and total != run.steps and (best is None or done > best[0]):
            best = done, run.changed(extends=(*before, (total, done)))
    if best is None:
        return origin
    total, done = best[1].extends[-1]
    say(f"'{best[1].id}' goes on after {done} of {total} steps, from there with the schedule of {run.steps}")
    return replace(origin, run=best[1])


def _shorter(origin: Origin, root: Path) -> Path | None:
    """The state that an extended run goes on from."""
    *before, (total, done) = origin.run.extends
    for path, state in _alike(origin, root):
        if (state["run"]["steps"], state["progress"]["step"]) == (total, done) and \
                [tuple(part) for part in state["run"]["extends"]] == before:
            return path
    return None


def _alike(origin: Origin, root: Path) -> Iterator[tuple[Path, State]]:
    """States of the same settings, code and data, of whatever length."""
    name = origin.run.name
    for folder in sorted(Places(origin.run, root).work.parent.glob("*")):
        if folder.name.startswith(name):
            yield from ((path, state) for path, state in states(folder) if difference(state, origin, LENGTH) is None)


def _cost(progress: Progress, device: torch.device) -> str:
    """What the training took, as JSON."""
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_resident()
    cost = {"seconds": round(progress.seconds, 1), "steps": progress.step, "processes": distributed.count(),
            "peak_memory_mb": peak // 2**20,
            "best_validation": round(progress.best, 4) if math.isfinite(progress.best) else None,
            "best_step": progress.best_step, "environment": environment(str(device))}
    return json.dumps(cost, indent=1, sort_keys=True) + "\n"
