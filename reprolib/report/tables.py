"""The papers' tables in their own shape, our numbers beside theirs, drawn from the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from reprolib import papers
from reprolib.evaluation.record import PUBLISHED, Record, read_records
from reprolib.files import write_text
from reprolib.papers import Table
from reprolib.report.markdown import to_markdown
from reprolib.results.ledger import COUNTED, TRAINED, Entry, own
from reprolib.results.ledger import PUBLISHED as PUBLISHED_WEIGHTS
from reprolib.results.quantity import quantity, text
from reprolib.runs.places import results_folder
from reprolib.runs.rows import rows_of

Head = tuple[str, str, str]
"""Column of the paper, metric, and whose number it is."""

PAPER, AUTHORS, HERE = "paper", "authors", "here"
"""Whose numbers there are, in this order; the second are of the authors' own weights, measured here."""

FROM = {PAPER: "paper", AUTHORS: "authors' weights", HERE: "here"}
"""In words."""


def frame(entries: Iterable[Entry], name: str) -> pd.DataFrame:
    """One table: a row a system, and under each printed column its metrics, and under these whose numbers there are.

    Where an embedded dataset stands in for a benchmark, or another metric for the printed one, the head says so; where
    it does for some rows of a column alone, their cells do.
    Spread is the standard deviation over seeds. The first row is the unprocessed input under the same measures.
    """
    paper, table = papers.table(name)
    chosen = [e for e in entries if e["table"] == name]
    first: Head = ("", "system", "")
    rows: dict[str, dict[Head, str]] = {}
    untouched: dict[Head, str] = {first: "input, unprocessed"}
    shown: list[Head] = [first]
    for column in (*table.columns, ""):
        of_column = [e for e in chosen if e["dataset"] == column]
        label = paper.columns[column].label if column else ""
        measured_on = {e["stand_in"] for e in of_column if e["evidence"] == TRAINED and e["metric"] in table.metrics}
        mixed = len(measured_on) > 1
        stand_ins = sorted(filter(None, measured_on))
        group = f"{label} (here {', '.join(stand_ins)})" if stand_ins and not mixed else label
        for metric in (*table.metrics, *table.counts, *table.costs):
            both = [e for e in of_column if e["metric"] == metric]
            found = own(both)
            if not found:
                continue
            theirs, authors, ours = heads = [(group, _head(metric, found), whose) for whose in (PAPER, AUTHORS, HERE)]
            for e in both:
                row = rows.setdefault(e["row"], {first: e["label"]})
                row[theirs] = e["printed"]
                row[authors if e["evidence"] == PUBLISHED_WEIGHTS else ours] = our_side(e) + _on(e, mixed)
            inputs = {text(e["measured"], e["input_value"]) + _on(e, mixed): None
                      for e in found if e["input_value"] is not None}
            if inputs:
                untouched[ours] = ", ".join(inputs)
            shown += [head for head in heads if head == ours or any(row.get(head) for row in rows.values())]
    ordered = [rows[row] for row in rows_of(name) if row in rows]
    body = ([untouched] if len(untouched) > 1 else []) + ordered
    return pd.DataFrame([[row.get(head, "") for head in shown] for row in body],
                        columns=pd.MultiIndex.from_tuples(shown))


def _on(entry: Entry, mixed: bool) -> str:
    """What stands in for a benchmark in a cell, where it does not in all of its column."""
    return f" on {entry['stand_in']}" if mixed and entry["stand_in"] else ""


def _head(metric: str, found: list[Entry]) -> str:
    """The printed metric with its unit, and what stands in for it here."""
    unit = found[0]["unit"]
    label = f"{quantity(metric).label} [{unit}]" if unit else quantity(metric).label
    others = sorted({e["measured"] for e in found if e["value"] is not None} - {metric})
    return f"{label} (here {' or '.join(quantity(name).label for name in others)})" if others else label


def cells(entries: Iterable[Entry], name: str) -> pd.DataFrame:
    """A table as the paper has it, column over metric; a system takes a row for each of those whose numbers there are.

    The same numbers as `frame`, narrow enough for a page. The system stands in the first of its rows.
    """
    drawn = frame(entries, name)
    first, *heads = dict.fromkeys((str(head[0]), str(head[1])) for head in drawn.columns)
    body = []
    for row in drawn.to_dict("records"):
        lines = {whose: [row.get((*head, whose), "") for head in heads] for whose in FROM}
        told = [[FROM[whose], *line] for whose, line in lines.items() if any(line)] or [["", *lines[HERE]]]
        body += [[row[*first, ""] if i == 0 else "", *line] for i, line in enumerate(told)]
    return pd.DataFrame(body, columns=pd.MultiIndex.from_tuples([first, ("", "from"), *heads]))


def html(entries: Iterable[Entry], name: str) -> str:
    """`cells` for a notebook; a spread stays beside its sign."""
    drawn = cells(entries, name).map(lambda cell: cell.replace("± ", "±\N{NO-BREAK SPACE}"))
    return str(drawn.to_html(index=False))


def our_side(entry: Entry) -> str:
    """Our side of a cell: value and spread, or the status in words, unless the paper's number beside it says it."""
    if entry["value"] is None:
        return "" if entry["status"] == "not printed" else entry["status"]
    shown = text(entry["measured"], entry["value"])
    if entry["spread"] is not None:
        shown += f" ± {text(entry['measured'], entry['spread'])}"
    beside = entry["gap"] is not None and entry["evidence"] != COUNTED
    said = [entry["status"] if entry["status"] != "measured" and not beside else "", entry.get("sample", "")]
    return f"{shown} ({'; '.join(filter(None, said))})" if any(said) else shown


def notes(entries: Iterable[Entry], name: str) -> list[str]:
    """Conditions under which the numbers of a table were measured, each once, after its rows and metrics."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for e in own(entries):
        if e["table"] == name and e["value"] is not None and e["evidence"] != COUNTED:
            rows, metrics = found.setdefault(e["why"], ({}, {}))
            rows[e["label"]] = metrics[quantity(e["metric"]).label] = None
    return [f"{', '.join(rows)} ({', '.join(metrics)}): {why}" for why, (rows, metrics) in found.items()]


def published_weights(name: str, root: Path = Path()) -> pd.DataFrame:
    """Scores of the authors' own weights for a table's systems and columns; empty where none were measured."""
    paper, table = papers.table(name)
    systems = {row.system: row.label for row in rows_of(name).values() if table.task}
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for r in read_records(PUBLISHED, root):
        if r.system in systems and any(p == paper.name for p, _ in papers.columns_of(r.dataset)):
            row = rows.setdefault((r.system, r.dataset), {
                "system": systems[r.system], "dataset": r.dataset, "pictures": r.n, "protocol": r.protocol})
            label = quantity(r.metric).label
            row[f"{label} input"], row[label], row["weights"] = r.input_value, r.value, r.note
    return pd.DataFrame(list(rows.values()))


def checkpoints(profile: str, name: str, root: Path = Path()) -> pd.DataFrame:
    """Scores of the last checkpoint beside those of another, for a table's runs that were measured at both."""
    rows: dict[tuple[str, str], dict[str, object]] = {}
    records = [r for r in read_records(profile, root) if _is_of(r, name)]
    both = {r.experiment for r in records if not r.tabled}
    for r in records:
        if r.experiment in both:
            row = rows.setdefault((r.experiment, r.metric), {
                "run": r.experiment, "dataset": r.dataset, "metric": quantity(r.metric).label})
            row[r.checkpoint] = r.value
    return pd.DataFrame(list(rows.values()))


def _is_of(record: Record, table: str) -> bool:
    return any(row.partition("/")[0] == table for row in record.rows)


def page(entries: list[Entry], table: Table, profile: str) -> str:
    """A table as Markdown, which has one row of heads: the second level is the first row."""
    drawn = cells(entries, table.name)
    groups, heads = (list(drawn.columns.get_level_values(level)) for level in (0, 1))
    top = [group if i == 0 or group != groups[i - 1] else "" for i, group in enumerate(groups)]
    body = pd.DataFrame([[f"**{head}**" for head in heads], *drawn.values.tolist()])
    lines = [f"# {table.title}: the paper and profile '{profile}'", "", to_markdown(body, top)]
    return "\n".join([*lines, *(f"* {note}" for note in notes(entries, table.name))]).rstrip() + "\n"


def write(profile: str, entries: list[Entry], root: Path = Path()) -> None:
    """results/<profile>/tables/<table>.{csv,md}, of every table of every paper that has an entry."""
    folder = results_folder(profile, root) / "tables"
    for _, table in papers.tables():
        if any(e["table"] == table.name for e in entries):
            drawn = frame(entries, table.name)
            drawn.columns = pd.Index([" ".join(filter(None, head)) for head in drawn.columns])
            write_text(folder / f"{table.name}.csv", drawn.to_csv(index=False, lineterminator="\n"))
            write_text(folder / f"{table.name}.md", page(entries, table, profile))
