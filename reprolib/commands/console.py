"""How commands print: tables for people, strict JSON for programs."""

from __future__ import annotations

import errno
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reprolib.commands import streams
from reprolib.errors import UserError

LOST = Path("runs/lost")
"""Results that nobody could read, because stdout was gone when they were there."""

NARROWEST = 20
"""Columns that a table can be read in."""

Row = Mapping[str, Any]


def show(rows: Sequence[Row], as_json: bool, columns: tuple[str, ...], in_files: bool = False) -> None:
    """Print rows as JSON or as a table.

    Args:
        in_files: the rows were written to files, too, and it does not matter whether stdout takes them.

    Raises:
        UserError: stdout has not taken all of it.
    """
    if as_json:
        print(to_json([strict(row) for row in rows]))
    else:
        _print_table(rows, columns)
    if not in_files:
        _require_printed(None, "")


def print_result(text: str, keep: str | None = None) -> None:
    """Print what a command was run for.

    Args:
        keep: name of the file in `LOST` that takes the text if stdout does not: for what took long to compute.

    Raises:
        UserError: stdout has not taken all of it.
    """
    print(text)
    _require_printed(keep, text)


def to_json(content: object) -> str:
    """Strict JSON: infinity and NaN have been replaced (`strict`), or this is a fault of ours."""
    return json.dumps(content, indent=1, allow_nan=False, default=str)


def strict(row: Row) -> dict[str, Any]:
    """A row that JSON can say: null for what is not finite, with the reason under 'reasons'."""
    odd = {key: "not a number" if math.isnan(value) else "infinite" for key, value in row.items()
           if isinstance(value, float) and not math.isfinite(value)}
    found = {key: None if key in odd else _finite(value) for key, value in row.items()}
    return found | ({"reasons": {**row.get("reasons", {}), **odd}} if odd else {})


def counted(number: int, what: str) -> str:
    """'1 picture', '2 pictures'."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_finite(item) for item in value]
    return value


def _print_table(rows: Sequence[Row], columns: tuple[str, ...]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns)
    for row in rows:
        table.add_row(*(Text(_cell(row.get(c)), overflow="fold") for c in columns))  # '[old]' in a path is no markup
    console = Console()
    # What starts a process without a terminal's size may say 0, and nothing would be printed.
    (console if console.width >= NARROWEST else Console(width=80)).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _require_printed(keep: str | None, text: str) -> None:
    fault = streams.lost()
    if fault is None:
        return
    if keep is not None:
        from reprolib.files import write_text

        path = LOST / f"{keep}_{os.getpid()}.txt"
        write_text(path, text + "\n")
        print(f"reprolib: stdout is gone ({fault.strerror}); the result is in {path}", file=sys.stderr)
    elif fault.errno != errno.EPIPE:  # a reader that has left has read what it wanted
        raise UserError(f"stdout has not taken the result: {fault.strerror}", fix="write it to another place")
