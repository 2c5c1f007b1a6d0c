"""Records of the authors' own weights on real pictures: how near this code comes to what they published."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from reprolib import metrics, models
from reprolib.data.notes import sample_note
from reprolib.data.paired import open_split
from reprolib.data.registry import get_dataset
from reprolib.errors import UserError
from reprolib.evaluation.networks import device
from reprolib.evaluation.record import PUBLISHED, Record, write_records
from reprolib.evaluation.result import Evaluation
from reprolib.files import sha256
from reprolib.runs.digests import evaluating_digest
from reprolib.runs.environment import environment
from reprolib.runs.places import records_folder


def record(result: Evaluation, weights: Path | None, root: Path | None = None, limit: int | None = None,
           project: Path = Path(), source: str = "") -> Path:
    """Keep what `reprolib.evaluation.evaluate` returned for a dehazer, as records.

    Args:
        weights, root, limit: as they were given to `evaluate`.
        project: whose results/published/records/ is written.
        source: of the weights, in words: whose they are, from which repository at which commit.

    Returns:
        The file that was written.

    Raises:
        UserError: a translator, or the place cannot be written.
    """
    system, dataset = models.get(result.system), get_dataset(result.dataset)
    if system.task != "dehazing":
        raise UserError("only records of dehazers are kept", where=system.name, fix="read what `evaluate` prints")
    pairs = open_split(dataset.name, result.split, root=root, limit=limit)
    parts = [f"{weights.name}, sha256 {sha256(weights)[:16]}" if weights else "nothing learned", source,
             sample_note(dataset.name, result.split, result.n)]
    size = models.full_size_count(system.name)
    common: dict[str, Any] = {
        "profile": PUBLISHED, "experiment": f"{system.name}-{dataset.name}", "system": system.name, "rows": (),
        "dataset": dataset.name, "n": result.n, "seed": 0, "protocol": result.protocol, "params": size,
        "params_built": result.params, "checkpoint": "published" if weights else "none",
        "note": "; ".join(p for p in parts if p), "data_hash": pairs.pixel_hash(),
        "environment": environment(str(device())),
        "code_hash": evaluating_digest(system.name, result.scores),
    }
    path = records_folder(PUBLISHED, project) / system.name / f"{system.name}-{dataset.name}.json"
    write_records(path, [_record(name, value, result.input_scores[name], common)
                         for name, value in result.scores.items()])
    return path


def _record(name: str, value: float, before: float, common: dict[str, Any]) -> Record:
    finite = math.isfinite(value)
    return Record(metric=name, unit=metrics.get(name).unit, status="ok" if finite else "non-finite",
                  value=round(value, 6) if finite else None,
                  input_value=round(before, 6) if math.isfinite(before) else None, **common)
