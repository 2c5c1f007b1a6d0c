"""Optimisers, schedules, and the one call that turns gradients into a step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from reprolib import distributed
from reprolib.runs.run import Optimiser, Schedule


def build_optimiser(settings: Optimiser, learning_rate: float, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """The optimiser that a run asks for."""
    if settings.kind == "adam":
        return adam(parameters, learning_rate, settings.betas, settings.weight_decay)
    held = list(parameters)
    if settings.kind == "adamw":
        return AdamW(held, lr=learning_rate, betas=settings.betas, weight_decay=settings.weight_decay,
                     fused=_fused(held))
    return SGD(held, lr=learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay,
               fused=_fused(held))


def adam(parameters: Iterable[nn.Parameter], learning_rate: float, betas: tuple[float, float],
         weight_decay: float = 0.0) -> Adam:
    """Adam, every one of this package."""
    held = list(parameters)
    return Adam(held, lr=learning_rate, betas=betas, weight_decay=weight_decay, fused=_fused(held))


def _fused(parameters: Sequence[nn.Parameter]) -> bool | None:
    """On a GPU one kernel takes a step of all parameters, instead of some for each operation. None leaves the CPU to
    torch's own choice, with which the recorded numbers were made."""
    return True if all(p.device.type == "cuda" for p in parameters) else None


def keep_form(optimiser: Optimizer, state: dict[str, Any]) -> None:
    """Load moments; how a step is computed stays what suits this device, whatever the state was saved on."""
    forms = [(group.get("fused"), group.get("foreach")) for group in optimiser.param_groups]
    optimiser.load_state_dict(state)
    for group, (fused, foreach) in zip(optimiser.param_groups, forms, strict=True):
        group["fused"], group["foreach"] = fused, foreach


def take_step(optimiser: Optimizer, clip: float | None = None) -> None:
    """Average gradients over the processes of the run, limit their norm if asked to, and step.

    Every optimiser of every task steps here, after its backward pass. In one process averaging is nothing.

    Args:
        clip: largest norm of all gradients of this optimiser together; None leaves them alone.
    """
    distributed.average_gradients(optimiser)
    if clip is not None:
        nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], clip)
    optimiser.step()


def learning_rate_factor(schedule: Schedule, step: int, steps: int) -> float:
    """Factor on the learning rate in step number `step`, from 0, of `steps`."""
    share = step / steps
    rise = min(1.0, (step + 1) / (schedule.warmup * steps)) if schedule.warmup else 1.0
    if schedule.kind == "cosine":  # AECR-Net, FFA-Net: half a cosine
        return _towards(schedule.end, rise, rise * 0.5 * (1.0 + math.cos(math.pi * share)))
    if schedule.kind == "linear":  # CycleGAN, CUT: constant, then straight down
        if share <= schedule.start:
            return rise
        return _towards(schedule.end, rise, rise * (1.0 - share) / (1.0 - schedule.start))
    if schedule.kind == "step":  # GridDehazeNet, MSBDN, MUNIT
        return rise * float(schedule.factor ** _falls(schedule, step, steps))
    return rise


def _towards(end: float, rise: float, factor: float) -> float:
    """A factor that falls to 0, so stretched that it falls to `end`."""
    return end * rise + (1.0 - end) * factor


def _falls(schedule: Schedule, step: int, steps: int) -> int:
    """How often a 'step' schedule has fallen by this step.

    Rounded before it is cut off: in binary fractions 0.6 / 0.2 lies below 3, and the third fall came a step late.
    """
    if schedule.milestones:
        return sum(step >= round(milestone * steps) for milestone in schedule.milestones)
    return int(round(step / (schedule.every * steps), 9))


def set_rates(optimisers: Mapping[str, Optimizer], rates: Mapping[str, list[float]], factor: float) -> None:
    """Set every group's learning rate to its first one, times `factor`."""
    for name, optimiser in optimisers.items():
        for group, rate in zip(optimiser.param_groups, rates[name], strict=True):
            group["lr"] = rate * factor
