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
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor

from reprolib import distributed
from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.progress import line
from reprolib.runs.places import Places
from reprolib.runtime import to_device
from reprolib.training.checkpoint import Origin, Progress, State, Trainable, keep_weights, restore, save_state
from reprolib.training.events import Events
from reprolib.training.loading import Batch, Batches, load
from reprolib.training.optimisation import learning_rate_factor, set_rates

LOG_ROWS = 500
"""A log holds at most about this many rows, however long the run."""


class Task(Trainable, Protocol):
    """What a task brings to the loop."""

    def begin(self, batches: Any) -> None:
        """What has to be measured before the first step; not called when a run is resumed."""

    def step(self, fabric: Fabric, batch: Batch, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Optimisation step number `step`, from 0; returns detached terms, 'loss' among them."""

    def validate(self, pictures: int | None = None) -> float:
        """Score on the validation split, or on its first pictures alone; higher is better."""

    def observe(self) -> dict[str, float]:
        """Further values worth a column in the log."""


def fit(task: Task, batches: Batches, origin: Origin, fabric: Fabric, places: Places, state: State | None = None,
        workers: int = 0, events: bool = False) -> Progress:
    """Train until `run.steps`, and write the checkpoint.

    Of several processes each takes its rows of a batch, the first one validates and writes.

    Args:
        task: networks, optimisers and one step.
        batches: of all steps of the run.
        origin: the run, and what it is bound to.
        places: where state, weights and log go. The state is written every `save_every` steps; and before each
            validation, which may fail where a step cannot.
        state: to go on from.
        workers: processes that load batches.
        events: write the log for TensorBoard, too.

    Raises:
        UserError: the loss is no longer finite, a picture cannot be read, or a worker died.
    """
    progress = advance(task, batches, origin, fabric, places, state, workers, events=events)
    distributed.on_first(lambda: keep(task, progress, origin, places))
    return progress


def advance(task: Task, batches: Batches, origin: Origin, fabric: Fabric, places: Places, state: State | None = None,
            workers: int = 0, stop: int | None = None, events: bool = False) -> Progress:
    """As `fit`, without the checkpoint, and perhaps only the first steps.

    Args:
        stop: step to stop after; the schedule is that of the whole run.
    """
    run = origin.run
    stop = run.steps if stop is None else min(stop, run.steps)
    rates = {name: [g["lr"] for g in o.param_groups] for name, o in task.optimisers.items()}
    distributed.on_first(lambda: rehearse(task))
    progress = Progress() if state is None else restore(task, state)
    if progress.step == 0:
        task.begin(batches)
    if distributed.count() > 1:
        batches.rows = distributed.rows(run.batch)
        distributed.share_weights({**task.networks, **task.extras})
    every = max(1, run.steps // LOG_ROWS)
    careful = 1 if fabric.device.type == "cpu" else every  # reading the loss waits for a GPU
    started, before = time.perf_counter(), progress.seconds

    def save() -> None:
        progress.seconds = before + time.perf_counter() - started
        distributed.on_first(lambda: save_state(places.state, task, progress, origin))

    def validate() -> None:
        score = distributed.on_first(task.validate)
        if score > progress.best:
            progress.best, progress.best_step = score, progress.step
            progress.best_weights = {k: v.detach().to("cpu", copy=True) for k, v in task.weights().items()}
        progress.log[-1]["validation"] = score
        progress.validated = progress.step
        seen.add({"step": float(progress.step), "validation": score})
        update(progress.step, f"loss {progress.log[-1]['loss']:.4f}",
               f"validation {score:.2f}, best {progress.best:.2f} at step {progress.best_step:,}"
               if math.isfinite(score) else "no validation score")

    first = distributed.rank() == 0
    shown = line(run.id, run.steps, progress.step) if first else nullcontext(_say_nothing)
    with shown as update, Events(places.events if events and first else None, progress.log) as seen:
        if progress.validated < progress.step and _is_due(progress.step, run.validate_every, run.steps):
            validate()  # where a state was saved before a validation that failed
            save()
        coming = load(batches, range(progress.step, stop), workers)
        for step in range(progress.step, stop):
            set_rates(task.optimisers, rates, learning_rate_factor(run.schedule, step, run.steps))
            try:
                one, other = next(coming)
                batch = to_device(one, fabric.device), to_device(other, fabric.device)
            except UserError:
                if step > 0 and math.isfinite(progress.log[-1]["loss"]) and distributed.count() == 1:
                    save()
                raise
            generator = torch.Generator().manual_seed(mix(run.seed, step))
            terms = task.step(fabric, batch, step, generator)
            progress.step, last = step + 1, step + 1 == run.steps
            validating = _is_due(progress.step, run.validate_every, run.steps)
            saving = _is_due(progress.step, run.save_every, run.steps)
            if step % careful == 0 or saving or validating:
                terms = distributed.mean_terms(terms)
                _require_finite(terms, progress.step, places)
            if step % every == 0 or last:
                lr = next(iter(task.optimisers.values())).param_groups[0]["lr"]
                values = {k: v.item() for k, v in terms.items()}
                progress.log.append({"step": float(progress.step), "lr": lr, **values, **task.observe()})
                seen.add(progress.log[-1])
            if validating:
                save()
                validate()
            if saving:
                save()
            update(progress.step, f"loss {progress.log[-1]['loss']:.4f}")
    progress.seconds = before + time.perf_counter() - started
    return progress


def rehearse(task: Task) -> None:
    """Validate on next to nothing before the first step: whatever a validation lacks is told now, not after hours.

    Raises:
        UserError: as the validation.
    """
    with torch.random.fork_rng():
        task.validate(pictures=2)


def keep(task: Task, progress: Progress, origin: Origin, places: Places) -> None:
    """Write the checkpoint of a finished run; the weights of its last step come last, since they show that it is."""
    folder = places.checkpoint
    if not progress.best_weights:  # never validated, or never with a number
        progress.best_weights, progress.best_step = task.weights(), progress.step
    write_text(folder / "log.csv", log_csv(progress.log))
    keep_weights(folder / "best.safetensors", progress.best_weights, origin, progress.best_step)
    keep_weights(folder / "last.safetensors", task.weights(), origin, progress.step)


def _say_nothing(done: int, note: str, told: str = "") -> None:
    """For processes beside the first one."""


def _is_due(step: int, every: int, steps: int) -> bool:
    """Whether what is done every so many steps, and at the end, is done after `step` steps."""
    return step % every == 0 or step == steps


def mix(seed: int, step: int) -> int:
    """One 64-bit seed out of two numbers."""
    return (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + 1) % 2**63


def _require_finite(terms: Mapping[str, Tensor], step: int, places: Places) -> None:
    if math.isfinite(terms["loss"].item()):
        return
    words = ", ".join(f"{k} {v.item():g}" for k, v in terms.items())
    good = f"the last good state is {places.state}" if places.state.is_file() else "no good state was saved yet"
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
