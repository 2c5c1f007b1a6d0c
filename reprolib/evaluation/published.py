"""Records of the authors' own weights on real pictures: how near this code comes to what they published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reprolib import models
from reprolib.runs.code import EVALUATION
from reprolib.data.paired import open_split
from reprolib.data.registry import get_dataset
from reprolib.files import sha256
from reprolib.runs.provenance import code_hash, environment
from reprolib.evaluation.record import PUBLISHED, Record, records_folder, write_records

UNITS = {"psnr": "dB", "ssim": ""}


def record(result: dict[str, Any], weights: Path | None, data_root: Path | None = None, limit: int | None = None,
           root: Path = Path()) -> Path:
    """Keep what `reprolib.evaluation.dehazing.evaluate` returned as records in results/published/records/.

    Raises:
        UserError: the place cannot be written.
    """
    system, dataset = models.get(result["system"]), get_dataset(result["dataset"])
    pairs = open_split(dataset.name, result["split"], root=data_root, limit=limit)
    whole = dataset.splits[result["split"]].get("pairs")
    parts = [f"{weights.name}, sha256 {sha256(weights)[:16]}" if weights else "nothing learned",
             "" if len(pairs) == whole else f"a sample of {len(pairs)} of {whole} pairs"]
    common: dict[str, Any] = {
        "profile": PUBLISHED, "experiment": f"{system.name}-{dataset.name}", "system": system.name, "rows": (),
        "dataset": dataset.name, "n": result["n"], "seed": 0, "protocol": result["protocol"],
        "params": models.full_size_count(system.name), "params_built": models.full_size_count(system.name),
        "checkpoint": "published" if weights else "none", "note": "; ".join(p for p in parts if p),
        "data_hash": pairs.pixel_hash(), "environment": environment(),
        "code_hash": code_hash(EVALUATION["dehazing"], models.module_of(system.name)),
    }
    records = [Record(metric=metric, unit=unit, value=round(result[metric], 6),
                      input_value=round(result[f"hazy_{metric}"], 6), **common) for metric, unit in UNITS.items()]
    path = records_folder(PUBLISHED, root) / f"{system.name}-{dataset.name}.json"
    write_records(path, records)
    return path
