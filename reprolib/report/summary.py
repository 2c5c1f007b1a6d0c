"""The page of a profile that a person reads first: what was measured, beside the papers' numbers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reprolib import papers
from reprolib.files import write_text
from reprolib.papers import Paper
from reprolib.report import ledger
from reprolib.report.markdown import to_markdown
from reprolib.results.ledger import PUBLISHED, Entry, strongest
from reprolib.results.quantity import quantity, text
from reprolib.runs.places import results_folder

APART = (" No measured number is comparable with the paper's, and the tables say why (reduced networks, short runs, "
         "photos that stand in for the benchmarks): the paper's stand beside them for orientation.")


def summary(profile: str, root: Path = Path()) -> str:
    """Markdown: counts of statuses, then the measured rows of each paper.

    Raises:
        UserError: there is no ledger yet.
    """
    entries = ledger.read(profile, root)
    printed = [e for e in strongest(entries) if e["printed"]]
    compared = [e for e in printed if e["gap"] is not None and e["record"]]
    lines = [f"Profile `{profile}`. Of {len(printed)} cells in the papers' tables: {ledger.statuses(entries)}."
             + ("" if compared else APART) +
             " 'Input' is the unprocessed picture; the paper's value stands in brackets; a number with ± is "
             "the mean over seeds with its standard deviation.", "", *measured(entries)]
    return "\n".join(lines).rstrip() + "\n"


def measured(entries: list[Entry]) -> list[str]:
    """Markdown lines: the rows of a ledger that have a number, a table for each paper."""
    return [line for paper in papers.papers().values() for line in _of_paper(entries, paper)]


def _of_paper(entries: list[Entry], paper: Paper) -> list[str]:
    """One line a row and column of a paper, with input, ours and paper of each metric; empty if none was measured."""
    chosen = [e for e in entries if e["paper"] == paper.name and e["value"] is not None]
    order = list(dict.fromkeys(m for table in paper.tables.values() for m in table.metrics))
    shown = [m for m in order if any(e["metric"] == m for e in chosen)]
    found: dict[tuple[str, str, str], dict[str, Entry]] = {}
    for e in chosen:
        if e["metric"] in shown:
            place = (paper.tables[e["table"]].title.partition(".")[0], e["label"], _pictures(e))
            found.setdefault(place, {})[e["metric"]] = e
    if not found:
        return []
    heads = [head for m in shown for head in (f"{_label(m, chosen)} input", f"{_label(m, chosen)} here (paper)")]
    rows = [(*place, *(side for m in shown for side in _sides(cells.get(m)))) for place, cells in found.items()]
    frame = pd.DataFrame(rows, columns=["table", "row", "pictures", *heads])
    return [f"{paper.title} ({paper.venue}):", "", to_markdown(frame.loc[:, (frame != "").any()])]


def _pictures(entry: Entry) -> str:
    if entry["evidence"] == PUBLISHED:
        return f"{entry['dataset']}, {PUBLISHED}, {entry['n']} pictures"
    return str(entry["stand_in"] or entry["dataset"])


def _label(metric: str, entries: list[Entry]) -> str:
    """What was measured, where another metric stands for the printed one."""
    return " or ".join(sorted({quantity(e["measured"]).label for e in entries if e["metric"] == metric}))


def _sides(entry: Entry | None) -> tuple[str, str]:
    if entry is None:
        return "", ""
    name = entry["measured"]
    before = "" if entry["input_value"] is None else text(name, entry["input_value"])
    spread = "" if entry["spread"] is None else f" ± {text(name, entry['spread'])}"
    printed = f" ({entry['printed']})" if entry["printed"] else ""
    sample = f" [{entry['sample']}]" if entry.get("sample") else ""
    return before, f"{text(name, entry['value'])}{spread}{printed}{sample}"


def write(profile: str, root: Path = Path()) -> None:
    """results/<profile>/README.md.

    Raises:
        UserError: there is no ledger yet.
    """
    write_text(results_folder(profile, root) / "README.md",
               f"# Results of profile `{profile}`\n\n{summary(profile, root)}")
