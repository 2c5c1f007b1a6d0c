"""Training one experiment, whatever its task: where its files lie, what code it runs, what it cost."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.utils.data import Dataset

from reprolib import distributed, models
from reprolib.runs.code import TRAINING, training_hash
from reprolib.runs.experiment import Experiment
from reprolib.files import write_text
from reprolib.runs.provenance import environment
from reprolib.training.loop import Progressed, Task, fit
from reprolib.training.processes import open_fabric


def state_file(experiment: Experiment, root: Path = Path()) -> Path:
    """Where an unfinished run keeps its state; outside the pipeline's outputs, so that DVC never deletes it."""
    return root / "runs" / experiment.profile / f"{experiment.id}.pt"


def cost_file(experiment: Experiment, root: Path = Path()) -> Path:
    """Where the cost of a run goes: the pipeline's own runs, of seed 0, have a place among the results."""
    place = root / "results" / experiment.profile if experiment.seed == 0 else state_file(experiment, root).parent
    return place / "cost" / f"{experiment.id}.json"


def train(experiment: Experiment, *, resume: bool = False, data_root: Path | None = None, root: Path = Path(),
          accelerator: str = "auto", workers: int = 0, keep_state: bool = False) -> Progressed:
    """Train one experiment; writes checkpoints/, and what it cost (`cost_file`).

    Under torchrun all processes call it, share each batch and do together what one would do; process 0 writes.

    Args:
        resume: go on where a killed run stopped.
        keep_state: leave the state of the finished run behind, with which a group of runs that is killed later does
            not train this one again (`forget`).

    Raises:
        UserError: missing data, wrong settings, a loss that is not finite, or a state that belongs to another run.
    """
    module: Any = import_module(TRAINING[models.get(experiment.system).task])
    at = run(experiment, module.open_run, training_hash(experiment), resume=resume, data_root=data_root, root=root,
             accelerator=accelerator, workers=workers)
    if not keep_state:
        forget(experiment, root)
    return at


def forget(experiment: Experiment, root: Path = Path()) -> None:
    """Remove the state of a finished run."""
    state_file(experiment, root).unlink(missing_ok=True)


def run(experiment: Experiment, open_run: Callable[[Experiment, Fabric, Path | None], tuple[Task, Dataset]], code: str,
        *, resume: bool, data_root: Path | None, root: Path, accelerator: str, workers: int) -> Progressed:
    """Seed, device, loop and cost of a run of any task; `code` is the hash of what it runs."""
    state, keep = state_file(experiment, root), experiment.folder(root)
    fabric = open_fabric(experiment, accelerator)
    if not resume:
        distributed.on_first(lambda: state.unlink(missing_ok=True))
    torch.manual_seed(experiment.seed)
    task, batches = open_run(experiment, fabric, data_root)
    at = fit(task, batches, experiment, fabric, state, keep, workers=workers, code=code)
    cost = {
        "seconds": round(at.seconds, 1),
        "steps": at.step,
        "steps_per_second": round(at.step / max(at.seconds, 1e-9), 2),
        "peak_memory_mb": _peak_memory(fabric.device),
        "best_validation": round(at.best, 4),
        "best_step": at.best_step,
        "environment": environment(str(fabric.device)),
    }
    if distributed.count() > 1:
        cost["processes"] = distributed.count()
    text = json.dumps(cost, indent=1, sort_keys=True) + "\n"
    distributed.on_first(lambda: write_text(cost_file(experiment, root), text))
    return at


def _peak_memory(device: torch.device) -> int:
    """Peak memory in MB: of the device on a GPU, resident on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
