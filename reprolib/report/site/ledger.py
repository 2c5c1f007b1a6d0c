"""The ledger of all profiles as one table, with a search and menus above it (static/site.js)."""

from __future__ import annotations

import pandas as pd

from reprolib.report.site.page import Page, escape, href, link, raw, table
from reprolib.report.site.source import Source
from reprolib.report.site.tables import LEDGER
from reprolib.results.ledger import PUBLISHED, Entry
from reprolib.results.quantity import quantity, text

MENUS = ("profile", "table", "column", "metric", "status", "evidence")
"""Columns with a menu."""


def page(source: Source) -> Page:
    """One page: a row for each cell and profile, those without a number last."""
    sides = {**source.ledgers, PUBLISHED: source.authors}
    found = sorted(((profile, e) for profile, entries in sides.items() for e in entries),
                   key=lambda pair: pair[1]["value"] is None)
    rows = [_row(profile, e, source) for profile, e in found]
    intro = ["# Ledger", "", "Every printed cell and every cell of ours, in every profile. The gap is ours less the "
             "paper's, given only where the two are comparable; a number leads to its record and run.", ""]
    if not rows:
        return Page(LEDGER, "\n".join([*intro, "Nothing was measured yet."]))
    frame = pd.DataFrame(rows)
    return Page(LEDGER, "\n".join([*intro, raw(_form(frame)), table(frame, "Ledger", "cells")]))


def _row(profile: str, e: Entry, source: Source) -> dict[str, str]:
    number = "" if e["value"] is None else text(e["measured"], e["value"])
    return {
        "profile": escape(profile), "table": link(e["table"], href(LEDGER, f"tables/{e['table']}")),
        "row": f'{escape(e["label"])} <small>{escape(e["row"])}</small>', "column": escape(e["dataset"]),
        "metric": escape(quantity(e["metric"]).label), "paper": escape(e["printed"]),
        "here": link(number, source.address(e, LEDGER)),
        "gap": "" if e["gap"] is None else f"{e['gap']:+.{quantity(e['measured']).decimals}f}",
        "spread": "" if e["spread"] is None else f"{text(e['measured'], e['spread'])} ({e['n_seeds']})",
        "status": escape(e["status"]), "evidence": escape(e["evidence"] or ""), "why": escape(e["why"])}


def _form(frame: pd.DataFrame) -> str:
    """Search and menus; each menu offers what its column holds."""
    menus = [_menu(name, list(dict.fromkeys(_words(cell) for cell in frame[name]))) for name in MENUS]
    return ('<form class="filter" data-table="cells" role="search" hidden>\n'
            '<label>search <input type="search" name="search" autocomplete="off"></label>\n' + "\n".join(menus)
            + '\n<button type="reset">all</button> <output></output>\n</form>')


def _menu(name: str, values: list[str]) -> str:
    options = "".join(f"<option>{value}</option>" for value in sorted(filter(None, values)))
    return f'<label>{name} <select name="{name}"><option value="">all</option>{options}</select></label>'


def _words(cell: str) -> str:
    """A cell's text: what a link shows."""
    return cell.partition(">")[2].partition("<")[0] if cell.startswith("<a ") else cell
