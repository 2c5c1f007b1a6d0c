"""What a step of each translator costs at the papers' size, as the bench kept it.

Measured by hand, on one machine for all systems, since seconds and memory differ from run to run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reprolib.errors import UserError
from reprolib.runs.places import translator_costs

PROFILE = "paper"
"""Whose settings were timed."""

TIMED = "sec_per_iter"
"""The metric whose noise the bench tells; memory is counted."""


@dataclass(frozen=True)
class Cost:
    """One system's step, beside that of a reference in the same run."""

    values: Mapping[str, float]
    """By metric, in the papers' units."""
    ratios: Mapping[str, float]
    reference: str
    """The system that ratios are taken to."""
    conditions: str
    file: str
    quartiles: Mapping[str, float] = field(default_factory=dict)
    """By metric that is timed: what lies between the quartiles, in the same unit."""
    repeats: int = 1
    """Timed steps."""
    batch: int = 1
    """Pictures of a domain in a timed step; seconds are divided by them."""
    memory_batch: int = 1
    """Pictures of a domain in the step whose memory was counted; it is not divided."""


def read_costs(root: Path = Path()) -> dict[str, Cost]:
    """Costs by system, the same in every profile since a step costs what it costs; empty where none were measured.

    Raises:
        UserError: the file is damaged.
    """
    path = translator_costs(PROFILE, root)
    return _read(path, root) if path.is_file() else {}


def _read(path: Path, root: Path) -> dict[str, Cost]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = content["systems"]
        names = [name.removesuffix("_ratio") for name in rows[0] if name.endswith("_ratio")]
        reference = next(row["system"] for row in rows if all(row[f"{name}_ratio"] == 1 for name in names))
        return {row["system"]: Cost({name: row[name] for name in names}, {name: row[f"{name}_ratio"] for name in names},
                                    reference, content["conditions"], path.relative_to(root).as_posix(),
                                    {TIMED: row["iqr"]} if "iqr" in row else {}, row.get("repeats", 1),
                                    row.get("batch", 1), row.get("memory_batch", row.get("batch", 1)))
                for row in rows}
    except (ValueError, TypeError, KeyError, IndexError, StopIteration) as error:
        raise UserError(f"not a file of costs: {type(error).__name__} {error}", where=path,
                        fix="delete it, and run the bench of translators again") from error
