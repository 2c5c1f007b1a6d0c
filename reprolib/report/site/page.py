"""A page of the site as MyST Markdown, and the few pieces of HTML that Markdown has no words for."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import pandas as pd

__all__ = ["Page", "anchor", "escape", "href", "link", "table"]


@dataclass(frozen=True)
class Page:
    """One page, its place in the site without a suffix, and what else it brings."""

    place: str
    text: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Pictures that the page names, by their place beside it."""


def href(here: str, there: str, at: str = "") -> str:
    """Address of page `there`, or of a file of the site, from page `here`."""
    page = there if posixpath.splitext(there)[1] in (".json", ".jpg") else f"{there}.html"
    return posixpath.relpath(page, posixpath.dirname(here) or ".") + (f"#{at}" if at else "")


def link(text: str, address: str, title: str = "") -> str:
    """A link in HTML; nothing to click where there is no address."""
    told = f' title="{escape(title)}"' if title else ""
    return f'<a href="{escape(address)}"{told}>{escape(text)}</a>' if address else escape(text)


def anchor(*words: str) -> str:
    """A name within a page."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")


def table(frame: pd.DataFrame, title: str, name: str = "") -> str:
    """A table of HTML cells as Markdown, in a box of its own that scrolls where the window is narrow.

    Args:
        frame: cells are HTML; heads are text, in one level or two.
        title: what a screen reader calls it.
        name: id of the table.
    """
    shown = frame.rename(columns=escape)
    body = shown.to_html(index=False, escape=False, border=0, classes="table", table_id=name or None, na_rep="")
    body = body.replace(' style="text-align: right;"', "").replace("<th>", '<th scope="col">')
    body = body.replace("<th colspan", '<th scope="colgroup" colspan')
    return raw(f'<div class="pst-scrollable-table-container" tabindex="0" role="region" aria-label="{escape(title)}">\n'
               f"{body}\n</div>")


def raw(html: str) -> str:
    """HTML within Markdown."""
    return f"\n``````{{raw}} html\n{html}\n``````\n"


def toctree(*places: str, title: str = "", depth: int = 1, hidden: bool = False) -> str:
    """The pages below a page."""
    options = [f":maxdepth: {depth}", *([f":caption: {title}"] if title else []), *([":hidden:"] if hidden else [])]
    return "\n".join(["", "```{toctree}", *options, "", *places, "```", ""])


def plain(value: Any) -> str:
    """A setting in words: nested ones as 'a: 1, b: 2', without those that say nothing."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {plain(item)}" for key, item in value.items() if plain(item))
    if isinstance(value, list | tuple):
        return " ".join(map(plain, value))
    return "" if value is None else str(value)
