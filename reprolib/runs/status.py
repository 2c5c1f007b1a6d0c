"""How far a run is, told from its files alone."""

from __future__ import annotations

import json
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


@dataclass(frozen=True)
class Status:
    """Of one run."""

    run: TaskRun
    state: str
    """'not begun', 'unfinished', 'trained', 'stale', or 'nothing to train' of a prior."""
    step: int
    """Steps of the weights that are there."""
    records: str
    """'none', 'measured', or 'stale'."""
    why: str = ""
    """What is stale."""


def status_of(run: TaskRun, root: Path = Path()) -> Status:
    """What the files of a run say."""
    places = Places(run, root)
    header, why = _header(run, places.weights)
    if not models.get(run.system).trained:
        state = "nothing to train"
    elif why:
        state = "stale"
    elif header is None:
        state = "unfinished" if places.state.is_file() else "not begun"
    else:
        state = "trained"
    return Status(run, state, header.step if header else 0, _records(run, places.records, header), why)


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
