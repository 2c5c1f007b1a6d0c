"""Tables about translators that the paper does not print: checkpoints side by side, and where negatives come from."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reprolib.results.ledger import NAMES
from reprolib.evaluation.record import Record, read_records

ABLATION = "negatives/"
"""Begins the rows that say where an experiment's negatives come from."""


def checkpoints(profile: str, root: Path = Path()) -> pd.DataFrame:
    """Each score of the last checkpoint and of the one that was best on the validation split."""
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for r in read_records(profile, root):
        if r.checkpoint not in ("last", "best on validation") or r.metric in ("psnr", "ssim"):
            continue
        row = rows.setdefault((r.experiment, r.metric), {"system": r.system, "dataset": r.dataset, "metric": _name(r)})
        row[r.checkpoint] = r.value
    return pd.DataFrame(list(rows.values()))


def external_negatives(profile: str, root: Path = Path()) -> pd.DataFrame:
    """One row for each source of negatives: scores of the last checkpoint."""
    rows: dict[str, dict[str, object]] = {}
    for r in read_records(profile, root):
        for name in (row.removeprefix(ABLATION) for row in r.rows if row.startswith(ABLATION)):
            if r.tabled:
                rows.setdefault(name, {"negatives": name, "dataset": r.dataset})[_name(r)] = r.value
    return pd.DataFrame([rows[name] for name in sorted(rows)])


def _name(record: Record) -> str:
    return NAMES.get(record.metric, record.metric)
