"""Every number that the two papers' tables print, as the slides show them. Read from cells.csv.

Table 4's columns '# Positive' and '# Negative' are settings, not results, and are no cells. Worth knowing:

* Tables 2 and 4 name no dataset; their last row equals AECR-Net's SOTS cells of Table 1, so SOTS is their column.
* The captions of Tables 2 and 4 say 'AECD-Net' where AECR-Net is meant.
* CUT's 'mAP' is the mean intersection over union of Cityscapes' 19 classes: metric 'miou' here.
* Table 1 gives DCP and FDU no parameter count and FDU no cells but SOTS: printed '-', value None.
* CUT's table prints sec/iter and memory once, beside Horse to Zebra.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Cell:
    """One printed number."""

    paper: str
    table: str
    row: str
    """Row id: table and system or variant, e.g. 'table2/base+dfe'."""
    label: str
    """The row as printed, without venue and reference number."""
    dataset: str
    """Column: sots, dense-haze, nh-haze; cityscapes, cat2dog, horse2zebra; empty for parameter counts."""
    metric: str
    unit: str
    better: str
    """'higher' or 'lower'."""
    value: float | None
    """None where the paper prints '-'."""
    printed: str
    source: str

    @property
    def half_digit(self) -> float:
        """Half of the last printed digit: any value closer than this prints the same."""
        number = self.printed.rstrip("M")
        scale = 1e6 if self.printed.endswith("M") else 1.0
        decimals = len(number.partition(".")[2])
        return 0.5 * 10.0**-decimals * scale


@cache
def load() -> tuple[Cell, ...]:
    """All cells in the order of the tables."""
    with Path(__file__).with_name("cells.csv").open(newline="") as stream:
        return tuple(_cell(row) for row in csv.DictReader(stream))


def _cell(row: dict[str, str]) -> Cell:
    text = {name: row[name] for name in row if name != "value"}
    return Cell(value=float(row["value"]) if row["value"] else None, **text)


@cache
def exact_counts() -> dict[str, int]:
    """Verified parameter counts of the full-size systems, from params.csv.

    KDDN is not among them (no public layout has the paper's count), nor is DRIT (several networks, no one count).
    """
    with Path(__file__).with_name("params.csv").open(newline="") as stream:
        return {row["system"]: int(row["count"]) for row in csv.DictReader(stream)}
