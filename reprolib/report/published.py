"""A table of the authors' own weights on real pictures, from the records in results/published."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reprolib import models
from reprolib.evaluation.record import PUBLISHED, read_records


def published_weights(root: Path = Path()) -> pd.DataFrame:
    """One row a system and dataset: input, result, protocol, and which weights on how many pictures."""
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for r in read_records(PUBLISHED, root):
        row = rows.setdefault((r.system, r.dataset), {
            "system": models.get(r.system).label, "dataset": r.dataset, "pictures": r.n, "protocol": r.protocol})
        row[f"{r.metric} input"], row[r.metric] = r.input_value, r.value
        row["weights"] = r.note
    return pd.DataFrame(list(rows.values()))
