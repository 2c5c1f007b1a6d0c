"""The first page, and one for each printed table: the paper, the authors' weights and every profile side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pandas as pd

from reprolib import papers
from reprolib.papers import Paper, Table
from reprolib.report import tables
from reprolib.report.claims import frame as claims_frame
from reprolib.report.ledger import statuses
from reprolib.report.site.page import Page, escape, href, link, table, toctree
from reprolib.report.site.source import Source
from reprolib.results.ledger import PUBLISHED, Entry
from reprolib.results.quantity import quantity
from reprolib.runs.rows import rows_of

FIRST, LEDGER = "index", "ledger"


def pages(source: Source) -> Iterator[Page]:
    """The tables' pages and the page above them."""
    found = {place(t): t for _, t in papers.tables()}
    listed = "\n".join(f"* [{t.title}]({name.rpartition('/')[2]}.md)" for name, t in found.items())
    yield Page("tables/index", f"# Tables\n\n{listed}\n{toctree(*(n.rpartition('/')[2] for n in found), hidden=True)}")
    for paper, printed in papers.tables():
        yield Page(place(printed), _page(paper, printed, source))


def overview(source: Source) -> Page:
    """The first page: both papers, what was measured, and the state of every claim."""
    lines = ["# What two papers print, and what came out here", "",
             "Contrastive learning for low-level vision, reproduced: each printed number and the record beside it.", ""]
    for paper in papers.papers().values():
        lines.append(f"* **{paper.title}** ({paper.authors}, {paper.venue}): "
                     + ", ".join(f"[{t.title}]({place(t)}.md)" for t in paper.tables.values()))
    lines += ["", "## What was measured", "", "A profile is a set of runs: how much was spent on them.", ""]
    lines += [f"* Profile `{profile}`: of the printed cells, {statuses(entries) or 'none'}."
              for profile, entries in source.ledgers.items()]
    gaps = [e for e in source.authors if e["gap"] is not None]
    if source.authors:
        lines.append(f"* The authors' weights: {len(source.authors)} cells measured on the real pictures, "
                     f"{len(gaps)} of them on a whole test set, so that they may be held against the paper.")
    lines += ["", "## What the papers claim", "",
              "A claim is a relation between printed numbers. It holds if ours, by the best evidence of all "
              "profiles, stand in the same relation; a difference within its own interval is noise.", "",
              table(_claims(source), "Every claim of the papers and its state"),
              toctree("tables/index", LEDGER, "gallery/index", "runs/index", "notebooks/index", "docs/index",
                      "api/index", hidden=True)]
    return Page(FIRST, "\n".join(lines))


def place(printed: Table) -> str:
    return f"tables/{printed.name}"


def _claims(source: Source) -> pd.DataFrame:
    """A row a claim: how many of its relations hold by their best evidence, and where that is from."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for relation in source.claims:
        found.setdefault((relation["table"], relation["claim"]), []).append(relation)
    return pd.DataFrame([
        {"paper": escape(papers.papers()[relations[0]["paper"]].venue),
         "the paper says": link(text, href(FIRST, f"tables/{name}", "claims")),
         "here": _tally(Counter(r["verdict"] for r in relations)),
         "measured on": escape(", ".join(dict.fromkeys(filter(None, map(_basis, relations)))))}
        for (name, text), relations in found.items()])


def _basis(relation: dict[str, Any]) -> str:
    """Where the best evidence of a relation is from; empty if there is none."""
    if relation["difference"] is None:
        return ""
    if relation["profile"]:
        return f"{relation['dataset']} ({relation['profile']})"
    return "timed" if relation["margin"] else "counted"


def _tally(verdicts: Counter[str]) -> str:
    """'holds' where all do, otherwise how many of them."""
    if len(verdicts) == 1:
        return _state(next(iter(verdicts)))
    return "<br>".join(f"{_state(verdict)} ({number})" for verdict, number in verdicts.most_common())


def _state(verdict: str) -> str:
    return f'<span class="state" data-state="{escape(verdict)}">{escape(verdict)}</span>'


def _page(paper: Paper, printed: Table, source: Source) -> str:
    here = place(printed)
    lines = [f"# {printed.title}", "", f"{paper.title} ({paper.authors}, {paper.venue}). Each number of ours leads to "
             "its record and run, each system to its cells of the ledger. Where photos stand in for a benchmark, a "
             "network is reduced or a run is short, a number must not be compared with the paper's; one row with "
             "another may be.", ""]
    for column in (*printed.columns, ""):
        frame = _column(printed, column, source, here)
        if frame.columns.nlevels == 2 and len(frame):
            title = paper.columns[column].label if column else "Counted and timed"
            lines += [f"## {title}", "", table(frame, f"{printed.title}: {title}")]
    claims = claims_frame(printed.name, root=source.root)
    if len(claims):
        claims = claims.map(escape).assign(verdict=claims["verdict"].map(_state))
        lines += ['<span id="claims"></span>', "", "## What the paper claims about it", "",
                  table(claims, f"Claims about {printed.title}")]
    for profile, entries in source.ledgers.items():
        notes = tables.notes(entries, printed.name)
        lines += [f"## How profile `{profile}` was measured", "", *(f"* {note}" for note in notes), ""] if notes else []
    return "\n".join(lines)


def _column(printed: Table, column: str, source: Source, here: str) -> pd.DataFrame:
    """Rows are systems; under each metric stand the paper, the authors' weights and the profiles that have a number."""
    sides = {PUBLISHED: source.authors, **source.ledgers}
    rows: dict[str, dict[tuple[str, str], str]] = {}
    shown: list[tuple[str, str]] = []
    for metric in (*printed.metrics, *printed.counts, *printed.costs):
        found = {side: {e["row"]: e for e in entries if (e["table"], e["dataset"], e["metric"]) ==
                        (printed.name, column, metric)} for side, entries in sides.items()}
        printed_by = {row: e["printed"] for entries in found.values() for row, e in entries.items() if e["printed"]}
        head = _head(metric)
        if printed_by:
            shown.append((head, "paper"))
        for row, text in printed_by.items():
            rows.setdefault(row, {})[head, "paper"] = escape(text)
        for side, entries in found.items():
            measured = [e for e in entries.values() if e["value"] is not None]
            told = {_unlike(e) for e in measured}
            shared = told.pop() if len(told) == 1 else ""
            name = f"{side} ({shared})" if shared else side
            if measured:
                shown.append((head, name))
            for row, e in entries.items():
                rows.setdefault(row, {})[head, name] = _ours(e, source, here, shared)
    ordered = [(row, rows[row.id]) for row in rows_of(printed.name).values() if row.id in rows]
    first = ("", "system")
    if not shown:
        return pd.DataFrame()
    return pd.DataFrame(
        [[link(row.label, f"{href(here, LEDGER)}?search={quote(row.id)}"), *(cells.get(head, "") for head in shown)]
         for row, cells in ordered], columns=pd.MultiIndex.from_tuples([first, *shown]))


def _head(metric: str) -> str:
    of = quantity(metric)
    return f"{of.label} [{of.unit}]" if of.unit else of.label


def _unlike(entry: Entry) -> str:
    """What was measured where the paper prints something else: another metric, pictures that stand in for its own."""
    other = [quantity(entry["measured"]).label] if entry["measured"] != entry["metric"] else []
    return ", ".join([*other, *([entry["stand_in"]] if entry["stand_in"] else [])])


def _ours(entry: Entry, source: Source, here: str, shared: str) -> str:
    """A number that leads to its record, and what must be known of it unless its whole column shares it."""
    if entry["value"] is None:
        return escape(tables.our_side(entry)) if entry["record"] else ""
    beside = "" if _unlike(entry) == shared else f" <small>{escape(_unlike(entry))}</small>"
    number = tables.our_side(entry).replace("± ", "±\N{NO-BREAK SPACE}")
    return link(number, source.address(entry, here), entry["why"]) + beside
