"""Training a run, whatever its task: what it is bound to, whose folder it is, what it cost."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import Dataset

from reprolib import distributed, models
from reprolib.data.identity import Identity, dataset_identity, file_identity
from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.models.weights import load_weights, read_header
from reprolib.progress import say
from reprolib.runs.concurrent import side_by_side
from reprolib.runs.digests import training_digest
from reprolib.runs.environment import environment
from reprolib.runs.inputs import WEIGHTS, reads
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun
from reprolib.runs.run import DehazingRun, Run
from reprolib.training.checkpoint import Origin, put_aside
from reprolib.training.dehazing.task import open_run as open_dehazing
from reprolib.training.fabric import open_fabric
from reprolib.training.loop import Task, fit
from reprolib.training.translation.task import open_run as open_translation

Opener = Callable[[Fabric], tuple[Task, Dataset]]
"""Makes the task and the batches of a run."""

TEMPORARY = ".*.safetensors.*"
"""What a killed process leaves of a file that it was writing."""


@dataclass(frozen=True)
class Trained:
    """What a finished training says."""

    run: Run
    steps: int
    best: float
    """Best validation score; NaN if the run was finished before."""
    best_step: int
    folder: Path
    fresh: bool = True
    """False if the run was finished already, and nothing was done."""


def train(run: TaskRun, *, resume: bool = False, root: Path = Path(), data_root: Path | None = None,
          accelerator: str = "auto", workers: int = 0, init: Path | None = None, again: bool = True) -> Trained:
    """Train one run into its folder (`reprolib.runs.places`).

    Under torchrun all processes call it, share each batch and do together what one would do; process 0 writes.

    Args:
        resume: go on where this very run was stopped; without it an unfinished state is put aside.
        data_root: folder of the dataset, instead of the registered one.
        init: weights to start from, ours or published; their identity is part of what the run is bound to.
        again: train a finished run again; otherwise it stays as it is.

    Raises:
        UserError: missing data, wrong settings, nothing to train, a loss that is not finite, or a run that another
            process is training.
    """
    spec = models.get(run.system)
    if not spec.trained or run.steps < 1:
        raise UserError(f"'{run.id}' has nothing to train", where=f"steps {run.steps}",
                        fix=f"run `reprolib measure {run.id}`" if not spec.trained else "give 1 step or more")
    origin = Origin(run, training_digest(run), _reads(run, data_root, root, init))

    def open_run(fabric: Fabric) -> tuple[Task, Dataset]:
        task, batches = _open(run, fabric, data_root)
        if init is not None:
            _start_from(task.networks["network"], spec, init)
        return task, batches

    return train_task(origin, open_run, resume=resume, root=root, accelerator=accelerator, workers=workers, again=again)


def train_task(origin: Origin, open_run: Opener, *, resume: bool, root: Path = Path(), accelerator: str = "auto",
               workers: int = 0, again: bool = True) -> Trained:
    """As `train`, for any task."""
    run, places = origin.run, Places(origin.run, root)
    if not again and origin.matches(read_header(places.weights)):
        return Trained(run, run.steps, math.nan, 0, places.checkpoint, fresh=False)
    fabric = open_fabric(run, accelerator)
    with _alone(places) if distributed.rank() == 0 else nullcontext():
        if not resume and distributed.rank() == 0 and places.state.is_file():
            kept = put_aside(places.state)
            say(f"an unfinished state of '{run.id}' was there: kept as {kept}; --resume continues one")
        torch.manual_seed(run.seed)
        task, batches = open_run(fabric)
        progress = fit(task, batches, origin, fabric, places, workers)
        cost = {"seconds": round(progress.seconds, 1), "steps": progress.step, "processes": distributed.count(),
                "peak_memory_mb": peak_memory(fabric.device), "best_validation": round(progress.best, 4),
                "best_step": progress.best_step, "environment": environment(str(fabric.device))}
        distributed.on_first(lambda: write_text(places.cost, json.dumps(cost, indent=1, sort_keys=True) + "\n"))
    return Trained(run, progress.step, progress.best, progress.best_step, places.checkpoint)


def train_system(system: str, runs: Iterable[TaskRun], profile: str, *, jobs: int | None = None, root: Path = Path(),
                 accelerator: str = "auto") -> list[Trained]:
    """The pipeline's runs of a system, side by side; finished ones stay, unfinished ones go on.

    What a killed process left of a file, and folders of runs that the profile no longer has, are swept first.
    """
    runs, folder = list(runs), root / "checkpoints" / profile / system
    if not models.get(system).trained:
        write_text(folder / "README", f"{system} is a prior: nothing is trained.\n")
        return []
    _sweep(folder, {run.id for run in runs})
    work = partial(train, resume=True, root=root, accelerator=accelerator, again=False)
    found = side_by_side(work, runs, jobs, accelerator, always=True)
    for run in runs:
        Places(run, root).state.unlink(missing_ok=True)  # the weights carry the run; a state is for unfinished ones
    return found


def _reads(run: TaskRun, data_root: Path | None, root: Path, init: Path | None) -> dict[str, Identity]:
    """Identity of everything that a training reads."""
    found = {f"{run.dataset}/{split}": dataset_identity(run.dataset, split, data_root) for split in ("train", "val")}
    for name in reads(run):
        if name in WEIGHTS and (root / WEIGHTS[name]).is_file():
            found[name] = file_identity(root / WEIGHTS[name])
    if init is not None:
        found["start"] = file_identity(init)
    return found


def _open(run: TaskRun, fabric: Fabric, data_root: Path | None) -> tuple[Task, Dataset]:
    if isinstance(run, DehazingRun):
        return open_dehazing(run, fabric, data_root)
    return open_translation(run, fabric, data_root)


def _start_from(network: nn.Module, spec: models.System, weights: Path) -> None:
    """Load the parts of a network that a file has: all of a dehazer, the generators of a translator."""
    read_header(weights, spec.name)
    load_weights(spec.part(network, *spec.inference), weights, spec.importer)


@contextmanager
def _alone(places: Places) -> Iterator[None]:
    """Hold the run's folder; the kernel lets go of it when this process dies.

    Raises:
        UserError: another process holds it.
    """
    places.work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(places.work / "lock", timeout=0)
    try:
        with lock:
            yield
    except Timeout as error:
        raise UserError(f"another process is training '{places.run.id}'", where=places.work,
                        fix="wait for it, or stop it") from error


def _sweep(folder: Path, known: set[str]) -> None:
    for path in folder.rglob(TEMPORARY):
        path.unlink(missing_ok=True)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and path.name not in known:
            shutil.rmtree(path)


def peak_memory(device: torch.device) -> int:
    """Peak memory in MB: of the device on a GPU, resident on a CPU; 0 where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 2**20 if sys.platform == "darwin" else peak // 2**10  # macOS counts bytes, Linux kilobytes
