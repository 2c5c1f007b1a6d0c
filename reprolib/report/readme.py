"""What the project's README shows of the results: few lines, the comparable numbers first, and where the rest lies."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reprolib import papers
from reprolib.bench.run import FOLDER, read
from reprolib.data.notes import sample_note
from reprolib.errors import UserError
from reprolib.evaluation.record import PUBLISHED, Record, read_records
from reprolib.files import write_text
from reprolib.papers import Cell
from reprolib.report import ledger
from reprolib.report.bench import table, targets
from reprolib.report.markdown import to_markdown
from reprolib.results.quantity import quantity, text
from reprolib.runs.places import results_folder

BEGIN, END = "<!-- results: written by `reprolib report readme` -->", "<!-- end of results -->"

SHOWN = ("psnr", "ssim")
"""Metrics of the README's table; the others stand in the ledgers."""


def write(root: Path = Path()) -> None:
    """Put the results between the marks in the project's README, and the bench's tables beside its files.

    Raises:
        UserError: the marks are gone.
    """
    path = root / "README.md"
    content = path.read_text(encoding="utf-8")
    if BEGIN not in content or END not in content:
        raise UserError("the README has no place for results", where=path, fix=f"put back the lines {BEGIN} and {END}")
    before, rest = content.split(BEGIN, 1)
    found = "\n".join([*authors_weights(root), *profiles(root)])
    write_text(path, f"{before}{BEGIN}\n{found}\n{END}{rest.split(END, 1)[1]}")
    if rows := read(root):
        shown, promised = table(rows).astype(str), targets(rows).drop(columns="device").astype(str)
        page = ["# A step, and a whole picture, beside the plain way of computing them in one run", "",
                to_markdown(shown), to_markdown(promised)]
        write_text(root / FOLDER / "README.md", "\n".join(page).rstrip() + "\n")


def authors_weights(root: Path = Path()) -> list[str]:
    """Markdown lines: the authors' own weights on real test sets, with the papers' numbers; nothing without records."""
    records = [r for r in read_records(PUBLISHED, root) if r.metric in SHOWN and r.value is not None]
    if not records:
        return []
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for r in records:
        row = rows.setdefault((r.system, r.dataset), {"system": r.system, "test set": r.dataset,
                                                      "pictures": sample_note(r.dataset, "test", r.n) or str(r.n)})
        cell = _printed(r)
        assert r.value is not None
        before = "" if r.input_value is None else f"{text(r.metric, r.input_value)} → "
        beside = f" (paper {cell.printed})" if cell else ""
        row[quantity(r.metric).label] = f"{before}{text(r.metric, r.value)}{beside}"
    return ["Authors' weights (DCP has none) through this code, hazy input → result:", "",
            to_markdown(pd.DataFrame(list(rows.values())))]


def profiles(root: Path = Path()) -> list[str]:
    """Markdown lines: one for each profile that was run."""
    lines = []
    for path in sorted((root / "results").glob("*/ledger.json")):
        name = path.parent.name
        entries = ledger.read(name, root)
        place = results_folder(name).as_posix()
        lines.append(f"* Profile `{name}`: {ledger.statuses(entries)}. [Results]({place}/README.md), "
                     f"[ledger]({place}/ledger.md), [notebooks]({place}/notebooks)")
    return lines


def _printed(record: Record) -> Cell | None:
    """The cell that a paper prints for a system on a dataset, in its table of all systems."""
    for paper, found in papers.tables():
        columns = {column for name, column in papers.columns_of(record.dataset) if name == paper.name}
        for cell in paper.cells:
            if cell.table == found.name and found.task and cell.metric == record.metric and cell.column in columns \
                    and found.rows[cell.row].system == record.system and cell.value is not None:
                return cell
    return None
