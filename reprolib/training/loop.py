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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from reprolib import distributed
from reprolib.errors import UserError, unknown
from reprolib.runs.experiment import Experiment, Schedule
from reprolib.files import write_atomically, write_text
from reprolib.progress import line
from reprolib.models.weights import save_weights

LOG_ROWS = 500
"""A log holds at most about this many rows, however long the run."""


class Stateful(Protocol):
    """Anything that can be saved and brought back, as a module can."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


class Task(Protocol):
    """What a task brings to the loop."""

    networks: Mapping[str, nn.Module]
    """Everything with weights that are trained."""
    optimisers: Mapping[str, Optimizer]
    extras: Mapping[str, Stateful]
    """What else changes over a run and belongs into a checkpoint: image pools, memory banks, a frozen teacher."""

    def begin(self, batches: Any) -> None:
        """What has to be measured before the first step; not called when a run is resumed."""

    def step(self, fabric: Fabric, batch: Any, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Optimisation step number `step`, from 0; returns detached terms, 'loss' among them."""

    def validate(self) -> float:
        """Score on the validation split; higher is better."""

    def observe(self) -> dict[str, float]:
        """Further values worth a column in the log."""

    def weights(self) -> dict[str, Tensor]:
        """What is kept of the run."""


@dataclass
class Progressed:
    """How far a run is: all that is needed beside weights and moments to go on."""

    step: int = 0
    best: float = -math.inf
    best_step: int = 0
    seconds: float = 0.0
    log: list[dict[str, float]] = field(default_factory=list)


def learning_rate_factor(schedule: Schedule, step: int, steps: int) -> float:
    """Factor on the learning rate in step number `step`, from 0, of `steps`.

    Raises:
        UserError: no such schedule.
    """
    share = step / steps
    rise = min(1.0, (step + 1) / (schedule.warmup * steps)) if schedule.warmup else 1.0
    if schedule.kind == "cosine":  # AECR-Net, FFA-Net: half a cosine down to 0
        return rise * 0.5 * (1.0 + math.cos(math.pi * share))
    if schedule.kind == "linear":  # CycleGAN, CUT: constant, then straight to 0
        return rise if share <= schedule.start else rise * (1.0 - share) / (1.0 - schedule.start)
    if schedule.kind == "step":  # GridDehazeNet, MSBDN, MUNIT
        return rise * float(schedule.factor ** int(share / schedule.every))
    if schedule.kind == "constant":
        return rise
    raise unknown("schedule", schedule.kind, ("cosine", "linear", "step", "constant"))


def fit(task: Task, batches: Dataset, experiment: Experiment, fabric: Fabric, state: Path, keep: Path,
        workers: int = 0, code: str = "") -> Progressed:
    """Train until `experiment.steps`, continuing from `state` if it is there.

    Of several processes each takes its rows of a batch, the first one reads, validates and writes.

    Args:
        task: networks, optimisers and one step.
        batches: `batches[step]` is the batch of that step; for several processes, `batches.rows` chooses of it.
        state: file of the resumable state; written atomically every `save_every` steps and at the end, so that
            nothing is trained again if what comes after the last step is cut off.
        keep: folder that receives last.safetensors, best.safetensors and log.csv.
        code: hash of the code; a state of other code or another experiment is put aside, and training starts anew.

    Raises:
        UserError: the loss is no longer finite; or `state` is no training state.
    """
    rates = {name: [g["lr"] for g in o.param_groups] for name, o in task.optimisers.items()}
    saved = distributed.on_first(lambda: _read(state, experiment, code))
    at = Progressed() if saved is None else _restore(task, saved)
    if at.step == 0:
        task.begin(batches)
    if distributed.count() > 1:
        shared: Any = batches
        shared.rows = distributed.rows(experiment.batch)
        distributed.follow(task.optimisers, {**task.networks, **task.extras})
    loader = DataLoader(batches, batch_size=None, sampler=range(at.step, experiment.steps), num_workers=workers,
                        pin_memory=fabric.device.type == "cuda")
    every = max(1, experiment.steps // LOG_ROWS)
    careful = 1 if fabric.device.type == "cpu" else every
    started, before = time.perf_counter(), at.seconds
    with line(experiment.id, experiment.steps, at.step) as update:
        for step, batch in zip(range(at.step, experiment.steps), loader, strict=True):
            _set_rates(task, rates, learning_rate_factor(experiment.schedule, step, experiment.steps))
            batch = fabric.to_device(batch)
            generator = torch.Generator().manual_seed(_mix(experiment.seed, step))
            terms = task.step(fabric, batch, step, generator)
            at.step, last = step + 1, step + 1 == experiment.steps
            saving = at.step % experiment.save_every == 0 or last
            if step % careful == 0 or saving:
                terms = distributed.mean_terms(terms)
                _require_finite(terms, at.step, state)
            if step % every == 0 or last:
                lr = next(iter(task.optimisers.values())).param_groups[0]["lr"]
                row = {"step": float(at.step), "lr": lr, **{k: v.item() for k, v in terms.items()}, **task.observe()}
                at.log.append(row)
            if at.step % experiment.validate_every == 0 or last:
                score = distributed.on_first(task.validate)
                if score > at.best:
                    at.best, at.best_step = score, at.step
                    distributed.on_first(lambda: _keep_weights(keep / "best.safetensors", task, experiment))
                at.log[-1]["validation"] = score
            at.seconds = before + time.perf_counter() - started
            if saving:
                distributed.on_first(lambda: _save(state, task, at, experiment, code))
            update(at.step, f"loss {at.log[-1]['loss']:.4f}")
    distributed.on_first(lambda: _finish(keep, task, at, experiment))
    return at


def _finish(keep: Path, task: Task, at: Progressed, experiment: Experiment) -> None:
    _keep_weights(keep / "last.safetensors", task, experiment)
    write_text(keep / "log.csv", _csv(at.log))


def _mix(seed: int, step: int) -> int:
    """One 64-bit seed out of two numbers."""
    return (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + 1) % 2**63


def _set_rates(task: Task, rates: Mapping[str, list[float]], factor: float) -> None:
    for name, optimiser in task.optimisers.items():
        for group, rate in zip(optimiser.param_groups, rates[name], strict=True):
            group["lr"] = rate * factor


def _require_finite(terms: Mapping[str, Tensor], step: int, state: Path) -> None:
    if math.isfinite(terms["loss"].item()):
        return
    words = ", ".join(f"{k} {v.item():g}" for k, v in terms.items())
    good = f"the last good state is {state}" if state.is_file() else "no good state was saved yet"
    raise UserError(f"the loss is not finite at step {step}: {words}", where=good,
                    fix="lower learning_rate or set clip, then train again")


def _save(path: Path, task: Task, at: Progressed, experiment: Experiment, code: str) -> None:
    state = {
        "fingerprint": experiment.fingerprint,
        "code": code,
        "networks": {k: m.state_dict() for k, m in task.networks.items()},
        "optimisers": {k: o.state_dict() for k, o in task.optimisers.items()},
        "extras": {k: e.state_dict() for k, e in task.extras.items()},
        "random": {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()},
        "at": vars(at),
    }
    write_atomically(path, lambda stream: torch.save(state, stream))


def _read(path: Path, experiment: Experiment, code: str) -> dict[str, Any] | None:
    """The state of the unfinished run, if there is one of these settings and this code."""
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError("not a training state", where=path, fix="delete it to train from the start") from error
    if (state.get("fingerprint"), state.get("code")) != (experiment.fingerprint, code):
        aside = path.with_suffix(".old")
        path.replace(aside)
        Console(stderr=True).print(f"the unfinished run was of other settings or code: kept as {aside}, starting anew")
        return None
    return state


def _restore(task: Task, state: Mapping[str, Any]) -> Progressed:
    for name, network in task.networks.items():
        network.load_state_dict(state["networks"][name])
    for name, optimiser in task.optimisers.items():
        optimiser.load_state_dict(state["optimisers"][name])
    for name, extra in task.extras.items():
        extra.load_state_dict(state["extras"][name])
    torch.set_rng_state(state["random"]["cpu"])
    if state["random"]["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["random"]["cuda"][: torch.cuda.device_count()])
    return Progressed(**state["at"])


def _keep_weights(path: Path, task: Task, experiment: Experiment) -> None:
    save_weights(task.weights(), path, system=experiment.system, options=experiment.network)


def _csv(rows: list[dict[str, float]]) -> str:
    columns = list(dict.fromkeys(k for row in rows for k in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({k: f"{v:.8g}" for k, v in row.items()} for row in rows)
    return text.getvalue()
