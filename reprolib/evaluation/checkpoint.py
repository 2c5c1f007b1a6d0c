"""What a checkpoint says of the training that made it; records repeat it, whatever the profile says by now.

The last checkpoint fills the tables, and dehazes or translates by default. What is best on a handful of validation
pictures is kept beside it, but a term that joins late (contrast, in short runs) or a GAN would be judged by when it
looked best, not by what it does. None is ever chosen on test pictures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import nn

from reprolib import models
from reprolib.data.identity import LEFT_OUT
from reprolib.data.notes import note_of, sample_note, training_note
from reprolib.errors import UserError
from reprolib.evaluation.networks import count, device, load_network
from reprolib.models.weights import read_header
from reprolib.runs.digests import measuring_digest, training_digest
from reprolib.runs.environment import environment
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun, build_objective
from reprolib.runs.rows import full_size_options
from reprolib.runs.run import APART, DehazingRun

SHOWN = 3
"""How many settings an error names."""


@dataclass(frozen=True)
class Trained:
    """How the weights came about."""

    run: TaskRun
    """The run that made them."""
    steps: int
    code: str
    """Digest of the code that trained."""
    data: Mapping[str, str] = field(default_factory=dict)
    """Identity of what the training read."""
    verified: Sequence[Mapping[str, Any]] = ()
    """As the checkpoint's header says."""


def training_of(run: TaskRun, root: Path = Path()) -> Trained:
    """What the last checkpoint of a run says; of a prior, that nothing was trained.

    Raises:
        UserError: no checkpoint, or one of another run; the message names the settings that differ.
    """
    if not models.get(run.system).trained:
        return Trained(run, 0, training_digest(run))
    path = Places(run, root).weights
    fix = f"run `reprolib train {run.name} --profile {run.profile}`" if run.own \
        else "run `reprolib train` with these settings"
    if not path.is_file():
        raise UserError(f"no checkpoint of '{run.id}'", where=path, fix=fix)
    header = read_header(path, run.system)
    if not header.run:
        raise UserError("a checkpoint that does not say which run made it", where=path, fix=fix)
    try:
        made_by = type(run).model_validate_json(json.dumps(dict(header.run)))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"a checkpoint of a run that this version does not know ({first['loc'][-1]}: {first['msg']})",
                        where=path, fix=fix) from error
    if made_by.fingerprint != run.fingerprint:
        raise UserError(f"the checkpoint of '{run.id}' was trained with other settings: {_difference(made_by, run)}",
                        where=path, fix=fix)
    return Trained(made_by, header.step, header.code, header.data, header.verified)


def network_of(run: DehazingRun, root: Path = Path()) -> nn.Module:
    """The network of a dehazer's last checkpoint, of the size that its training says, on the device; a prior's own.

    Raises:
        UserError: as `training_of`.
    """
    system = models.get(run.system)
    weights = Places(run, root).weights if system.trained else None
    return load_network(system, weights, **training_of(run, root).run.network).to(device())


def common_fields(run: TaskRun, trained: Trained, n: int, n_real: int = 0) -> Mapping[str, Any]:
    """What every record of a run holds, whatever was measured: who it stands for from the run, the rest from training.

    A prior has neither batch nor crop nor loss.

    Args:
        n, n_real: pictures that were measured, and real ones that they were measured against.
    """
    learns = models.get(run.system).trained
    made_by = trained.run
    built = count(run.system, made_by.network)
    contrast = made_by.contrast if isinstance(made_by, DehazingRun) and learns else None
    notes = [run.note, *map(note_of, dict.fromkeys([run.measured_on, *([run.dataset] if learns else [])])),
             training_note(run.dataset) if learns else "",
             "copies of test or validation pictures were left out of training" if LEFT_OUT in trained.data else "",
             sample_note(run.measured_on, "test", n, n_real)]
    return {
        "profile": run.profile, "experiment": run.name, "system": run.system, "rows": run.rows,
        "dataset": run.measured_on, "n": n, "n_real": n_real, "note": "; ".join(filter(None, notes)),
        "seed": made_by.seed, "recipe": made_by.recipe, "precision": made_by.precision,
        "steps": trained.steps, "batch": made_by.batch if learns else 0, "crop": made_by.crop if learns else 0,
        "network": dict(made_by.network), "reduced": built < count(run.system, full_size_options(run)),
        "params": models.full_size_count(run.system), "params_built": built,
        "objective": _objective(made_by) if learns else {},
        "contrast": made_by.settings["contrast"] if contrast else None,
        "features": contrast.features if contrast else None,
        "fingerprint": made_by.fingerprint, "data": dict(trained.data), "training_code": trained.code,
        "verified": tuple(trained.verified),
        "code_hash": measuring_digest(run, trained.code), "environment": environment(str(device())),
    }


def _objective(run: TaskRun) -> dict[str, Any]:
    if isinstance(run, DehazingRun):
        return {"loss": dict(run.loss)}
    return dict(json.loads(json.dumps(asdict(build_objective(run)))))  # lists, as a record's file has them


def _difference(made_by: TaskRun, run: TaskRun) -> str:
    """Settings of two runs that differ, as 'steps 300, now 500'."""
    was, now = made_by.settings, run.settings
    found = [f"{key} {_text(was[key])}, now {_text(now[key])}" for key in was
             if key not in APART and was[key] != now[key]]
    return "; ".join(found[:SHOWN] + ["..."] * (len(found) > SHOWN))


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else "null" if value is None else str(value)
