"""How far a run is, told from its files alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from reprolib import models
from reprolib.errors import UserError
from reprolib.models.weights import Header, read_header
from reprolib.runs.digests import training_digest
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun
from reprolib.training.checkpoint import State, read_state
from reprolib.training.lock import is_held


@dataclass(frozen=True)
class Status:
    """Of one run."""

    run: TaskRun
    state: str
    """'not begun', 'unfinished', 'in training', 'trained', 'stale', or 'nothing to train' of a prior."""
    step: int
    """Steps that are done: of the state of an unfinished run, otherwise of the weights that are there."""
    records: str
    """'none', 'measured', or 'stale'."""
    why: str = ""
    """What is stale."""
    seconds_left: float = math.nan
    """Of an unfinished run, at its pace so far; NaN if that is not known."""


def status_of(run: TaskRun, root: Path = Path()) -> Status:
    """What the files of a run say; those of its weights and its state are opened, not read."""
    places = Places(run, root)
    header, why = _header(run, places.weights)
    records = _records(run, places.records, header)
    if not models.get(run.system).trained:
        return Status(run, "nothing to train", 0, records, why)
    held = is_held(places.work)
    if header is not None and not why and not held:
        return Status(run, "trained", header.step, records)
    unfinished, fault = _state(run, places.state)
    if unfinished is not None:
        step, seconds = unfinished["progress"]["step"], unfinished["progress"]["seconds"]
        left = seconds / step * (run.steps - step) if step else math.nan
        return Status(run, "in training" if held else "unfinished", step, records, why, left)
    if held:
        return Status(run, "in training", 0, records, why)
    if why or fault:
        return Status(run, "stale", header.step if header else 0, records, why or fault)
    return Status(run, "not begun", 0, records)


def _state(run: TaskRun, path: Path) -> tuple[State | None, str]:
    """The state that the run would go on from, as far as settings and code tell; or why the present one is not it."""
    if not path.is_file():
        return None, ""
    try:
        state = read_state(path, glance=True)
    except UserError:
        return None, "unreadable state"
    if state["fingerprint"] != run.fingerprint:
        return None, "an unfinished state of other settings"
    return (state, "") if state.get("code") == training_digest(run) else (None, "an unfinished state of other code")


def _header(run: TaskRun, weights: Path) -> tuple[Header | None, str]:
    """What weights say of themselves, and why the present run would not make them."""
    if not weights.is_file():
        return None, ""
    try:
        header = read_header(weights, run.system)
        made_by = type(run).of(header.run)
    except (UserError, ValidationError) as error:
        return None, f"unreadable weights: {' '.join(str(error).split())[:60]}"
    if made_by.fingerprint != run.fingerprint:
        return header, "other settings"
    return header, "" if header.code == training_digest(run) else "other code"


def _records(run: TaskRun, path: Path, header: Header | None) -> str:
    if not path.is_file():
        return "none"
    try:
        rows: list[Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        same = all(row["fingerprint"] == run.fingerprint and
                   (header is None or row["training_code"] == header.code) for row in rows)
    except (ValueError, KeyError, TypeError):
        same = False
    return "measured" if same else "stale"
