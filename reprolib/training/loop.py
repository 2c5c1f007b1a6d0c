"""One training loop for every task: steps, schedule, validation, checkpoints, and resuming after a kill.

Nothing here is drawn from a running random stream: the batch of a step, the samples of its contrast and the learning
rate are functions of (seed, step). The state of a run is therefore the weights, the optimisers' moments, the step and
the global random state, and a resumed run is bit-identical to an unbroken one on the same CPU. How many processes share
a batch is no part of it: a run goes on with another number of them.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from reprolib import distributed
from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.progress import line
from reprolib.runs.places import Places
from reprolib.training.checkpoint import Origin, Progress, Trainable, keep_weights, read_state, restore, save_state
from reprolib.training.optimisation import learning_rate_factor, set_rates

LOG_ROWS = 500
"""A log holds at most about this many rows, however long the run."""

PATIENCE = 60
"""Seconds after which a process that loads batches counts as dead or stuck."""


class Task(Trainable, Protocol):
    """What a task brings to the loop."""

    def begin(self, batches: Any) -> None:
        """What has to be measured before the first step; not called when a run is resumed."""

    def step(self, fabric: Fabric, batch: Any, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Optimisation step number `step`, from 0; returns detached terms, 'loss' among them."""

    def validate(self) -> float:
        """Score on the validation split; higher is better."""

    def observe(self) -> dict[str, float]:
        """Further values worth a column in the log."""


def fit(task: Task, batches: Dataset, origin: Origin, fabric: Fabric, places: Places, workers: int = 0) -> Progress:
    """Train until `run.steps`, continuing from the run's state if it is there.

    Of several processes each takes its rows of a batch, the first one reads, validates and writes.

    Args:
        task: networks, optimisers and one step.
        batches: `batches[step]` is the batch of that step; for several processes, `batches.rows` chooses of it.
        origin: the run, and what it is bound to.
        places: where state, weights and log go. The state is written every `save_every` steps and before each
            validation, which may fail where a step cannot.
        workers: processes that load batches.

    Raises:
        UserError: the loss is no longer finite; the state is none; or a worker died.
    """
    run = origin.run
    rates = {name: [g["lr"] for g in o.param_groups] for name, o in task.optimisers.items()}
    saved = distributed.on_first(lambda: read_state(places.state, origin))
    progress = Progress() if saved is None else restore(task, saved)
    if progress.step == 0:
        task.begin(batches)
    if distributed.count() > 1:
        shared: Any = batches
        shared.rows = distributed.rows(run.batch)
        distributed.share_weights({**task.networks, **task.extras})
    loader = DataLoader(batches, batch_size=None, sampler=range(progress.step, run.steps), num_workers=workers,
                        pin_memory=fabric.device.type == "cuda", timeout=PATIENCE if workers else 0)
    every = max(1, run.steps // LOG_ROWS)
    careful = 1 if fabric.device.type == "cpu" else every  # reading the loss waits for a GPU
    started, before = time.perf_counter(), progress.seconds
    with line(run.id, run.steps, progress.step) as update:
        for step, batch in zip(range(progress.step, run.steps), _loaded(loader), strict=True):
            set_rates(task.optimisers, rates, learning_rate_factor(run.schedule, step, run.steps))
            generator = torch.Generator().manual_seed(mix(run.seed, step))
            terms = task.step(fabric, fabric.to_device(batch), step, generator)
            progress.step, last = step + 1, step + 1 == run.steps
            validating = progress.step % run.validate_every == 0 or last
            saving = progress.step % run.save_every == 0 or last
            if step % careful == 0 or saving:
                terms = distributed.mean_terms(terms)
                _require_finite(terms, progress.step, places.state)
            if step % every == 0 or last:
                lr = next(iter(task.optimisers.values())).param_groups[0]["lr"]
                values = {k: v.item() for k, v in terms.items()}
                progress.log.append({"step": float(progress.step), "lr": lr, **values, **task.observe()})
            if validating:
                score = distributed.on_first(task.validate)
                if score > progress.best:
                    progress.best, progress.best_step = score, progress.step
                    progress.best_weights = {k: v.detach().to("cpu", copy=True) for k, v in task.weights().items()}
                progress.log[-1]["validation"] = score
            progress.seconds = before + time.perf_counter() - started
            if saving:
                distributed.on_first(lambda: save_state(places.state, task, progress, origin))
            update(progress.step, f"loss {progress.log[-1]['loss']:.4f}")
    distributed.on_first(lambda: _finish(places.checkpoint, task, progress, origin))
    return progress


def _loaded(loader: DataLoader) -> Any:
    """Batches; a worker that died or is stuck is one line.

    Raises:
        UserError: likewise.
    """
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader" not in str(error):
            raise
        raise UserError("a process that loads batches died or is stuck", where="--workers",
                        fix="use --workers 0, or give more shared memory (docker run --shm-size 2g); the last saved "
                            "state goes on with --resume") from error


def _finish(folder: Path, task: Task, progress: Progress, origin: Origin) -> None:
    keep_weights(folder / "last.safetensors", task.weights(), origin, progress.step)
    keep_weights(folder / "best.safetensors", progress.best_weights, origin, progress.best_step)
    write_text(folder / "log.csv", log_csv(progress.log))


def mix(seed: int, step: int) -> int:
    """One 64-bit seed out of two numbers."""
    return (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + 1) % 2**63


def _require_finite(terms: Mapping[str, Tensor], step: int, state: Path) -> None:
    if math.isfinite(terms["loss"].item()):
        return
    words = ", ".join(f"{k} {v.item():g}" for k, v in terms.items())
    good = f"the last good state is {state}" if state.is_file() else "no good state was saved yet"
    raise UserError(f"the loss is not finite at step {step}: {words}", where=good,
                    fix="lower learning_rate or set clip, then train again")


def log_csv(rows: list[dict[str, float]]) -> str:
    """The log as a table, eight digits a number."""
    columns = list(dict.fromkeys(k for row in rows for k in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({k: f"{v:.8g}" for k, v in row.items()} for row in rows)
    return text.getvalue()
