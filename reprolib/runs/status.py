"""How far a run is: not begun, half trained, trained, or trained by code or settings that are not the present ones."""

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
from reprolib.runs.profile import TaskRun, find, read_profile


@dataclass(frozen=True)
class Status:
    """Of one run."""

    run: TaskRun
    training: str
    """'none', 'unfinished', 'trained', 'stale', or 'nothing' of a prior."""
    records: str
    """'none', 'measured', or 'stale'."""
    why: str = ""
    """What is stale."""


def status_of(run: TaskRun, root: Path = Path()) -> Status:
    """What the files of a run say."""
    places = Places(run, root)
    header, why = _header(run, places.weights)
    if not models.get(run.system).trained:
        training = "nothing"
    elif why:
        training = "stale"
    elif header is None:
        training = "unfinished" if places.state.is_file() else "none"
    else:
        training = "trained"
    return Status(run, training, _records(run, places.records, header), why)


def trained_weights(profile: str, system: str, dataset: str | None = None, seed: int | None = None,
                    root: Path = Path()) -> Path:
    """Weights of a system that a profile has trained.

    Args:
        dataset: what the run is measured on or, if no run of the profile is, was trained on; None takes the first run
            of the profile that has weights.

    Raises:
        UserError: there are none.
    """
    of_system = read_profile(profile, root).of_system(system)
    runs = [r for r in of_system if dataset in (None, r.measured_on)]
    if not runs and dataset is not None:
        runs = [find(profile, system, dataset, root)]
    if seed is not None:
        runs = [find(profile, r.id, None, root, seed=seed) if r.own else r.changed(seed=seed) for r in runs]
    for run in runs:
        if Places(run, root).weights.is_file():
            return Places(run, root).weights
    on = f" for {dataset}" if dataset else ""
    raise UserError(f"no trained {system}{on} in profile '{profile}'", where=f"checkpoints/{profile}/{system}",
                    fix=f"give --weights FILE, or run `reprolib train {system}"
                        f"{f' --dataset {dataset}' if dataset and not of_system else ''} --profile {profile}`")


def _header(run: TaskRun, weights: Path) -> tuple[Header | None, str]:
    """What weights say of themselves, and why the present run would not make them."""
    if not weights.is_file():
        return None, ""
    try:
        header = read_header(weights, run.system)
        made_by = type(run).model_validate_json(json.dumps(dict(header.run)))
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
