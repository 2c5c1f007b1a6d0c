"""How far the runs of a profile are, told from their files alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reprolib.models.weights import read_header
from reprolib.runs.digests import training_digest
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun, read_profile


@dataclass(frozen=True)
class RunProgress:
    """One run."""

    run: str
    system: str
    state: str
    """'trained', 'stale' (by other code or settings), 'unfinished' or 'not begun'."""
    step: int
    """Steps of the weights that are there."""
    steps: int


def progress(profile: str, root: Path = Path()) -> list[RunProgress]:
    """Every run of a profile, in the order of its file."""
    return [_of(run, root) for run in read_profile(profile, root).runs.values()]


def _of(run: TaskRun, root: Path) -> RunProgress:
    places = Places(run, root)
    header = read_header(places.weights)
    if header.run:
        same = type(run).of(header.run).fingerprint == run.fingerprint and header.code == training_digest(run)
        return RunProgress(run.id, run.system, "trained" if same else "stale", header.step, run.steps)
    return RunProgress(run.id, run.system, "unfinished" if places.state.is_file() else "not begun", 0, run.steps)
