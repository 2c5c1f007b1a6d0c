"""Beginnings that runs share: until a contrastive term joins, runs that differ in it alone are one computation.

Batches, initial weights and learning rates are functions of seed and step. Where the term starts at a share of the
steps (`Contrast.start`), AECR-Net with CR, with CR*, at other rates and without any therefore take the same first
steps. These are taken once, and each run goes on from their state to what it would have become alone, bit by bit.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from reprolib.runs.places import Places
from reprolib.runs.run import DehazingRun, Run

FEWEST = 2
"""Runs that a beginning is worth its while for."""


@dataclass(frozen=True)
class Beginning:
    """The first steps of several runs."""

    run: DehazingRun
    """What they are before the term joins: one without it."""
    steps: int
    """How many."""
    shared_by: tuple[str, ...]
    """Ids of the runs."""

    def state(self, root: Path) -> Path:
        """Where its state is written."""
        return Places(self.run, root).state

    def remove(self, root: Path) -> None:
        """Once the runs are finished."""
        shutil.rmtree(Places(self.run, root).work, ignore_errors=True)


def shared_beginnings(runs: Iterable[Run]) -> list[Beginning]:
    """Beginnings that two or more of these runs have in common."""
    alike: dict[str, list[DehazingRun]] = {}
    for run in runs:
        if isinstance(run, DehazingRun):
            alike.setdefault(_without_contrast(run).fingerprint, []).append(run)
    return [Beginning(_without_contrast(members[0]), steps, tuple(run.id for run in members))
            for members in alike.values() if len(members) >= FEWEST and (steps := _steps(members)) > 0]


def _without_contrast(run: DehazingRun) -> DehazingRun:
    return run.changed(name="beginning", contrast=None, rows=(), note="", init=run.init)


def _steps(runs: Iterable[DehazingRun]) -> int:
    """Steps before the first of these runs' terms joins; 0 if none has a term."""
    return min((math.ceil(run.contrast.start * run.steps) for run in runs if run.contrast), default=0)
