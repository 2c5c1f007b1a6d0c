"""Which protocol gives each printed number: the table of `reprolib.evaluation.printed`, and what it says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from reprolib import metrics, models
from reprolib.errors import UserError
from reprolib.evaluation.printed import Comparison
from reprolib.evaluation.record import PUBLISHED
from reprolib.files import write_text
from reprolib.report.markdown import to_markdown
from reprolib.runs.places import results_folder

NAME = "protocols_published"


def write(rows: Sequence[Comparison], root: Path = Path()) -> None:
    """results/published/tables/protocols_published.{csv,md}; what stands there of other systems is kept."""
    folder = results_folder(PUBLISHED, root) / "tables"
    measured, before = {row.system for row in rows}, read(root) if (folder / f"{NAME}.csv").is_file() else []
    rows = sorted([*(row for row in before if row.system not in measured), *rows],
                  key=lambda row: models.names().index(row.system))
    frame = pd.DataFrame([asdict(row) for row in rows])
    write_text(folder / f"{NAME}.csv", frame.to_csv(index=False, lineterminator="\n"))
    heading = "# Which protocol gives each printed number (SOTS indoor, the authors' weights)"
    write_text(folder / f"{NAME}.md", "\n".join([heading, "", to_markdown(answers(rows)), to_markdown(values(rows))]))


def read(root: Path = Path()) -> list[Comparison]:
    """What `write` wrote.

    Raises:
        UserError: the printed numbers were not measured against the protocols.
    """
    path = results_folder(PUBLISHED, root) / "tables" / f"{NAME}.csv"
    if not path.is_file():
        raise UserError("no printed number was measured under every protocol yet", where=path,
                        fix="run `reprolib report printed`")
    rows = pd.read_csv(path, dtype={"printed": str}).to_dict("records")
    return [Comparison(**{str(name): value for name, value in row.items()}) for row in rows]


def answers(rows: Iterable[Comparison]) -> pd.DataFrame:
    """A row a printed number: the protocols that print the same, and the nearest."""
    cells: dict[tuple[str, str, str], list[Comparison]] = {}
    for row in rows:
        cells.setdefault((row.system, row.source, row.metric), []).append(row)
    shown = []
    for (system, source, metric), cell in cells.items():
        nearest = min(cell, key=lambda row: abs(row.value - float(row.printed)))
        shown.append({"system": models.get(system).label, "printed in": source, "metric": metrics.get(metric).label,
                      "printed": nearest.printed, "pictures": nearest.pictures,
                      "given by": ", ".join(row.protocol for row in cell if row.same) or "none",
                      "nearest": f"{nearest.protocol}: {_number(nearest)}"})
    return pd.DataFrame(shown)


def values(rows: Iterable[Comparison]) -> pd.DataFrame:
    """A row a protocol, a column a system: PSNR in dB / SSIM; over how many pictures is in the column's name."""
    table: dict[str, dict[str, dict[str, str]]] = {}
    for row in rows:
        column = f"{models.get(row.system).label} (n = {row.pictures})"
        table.setdefault(row.protocol, {}).setdefault(column, {})[row.metric] = _number(row)
    return pd.DataFrame([{"protocol": protocol, **{system: " / ".join(cell.values()) for system, cell in cells.items()}}
                         for protocol, cells in table.items()])


def _number(row: Comparison) -> str:
    return f"{row.value:.{metrics.get(row.metric).decimals}f}"
