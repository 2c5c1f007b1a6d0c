"""What the commands share: options that mean the same everywhere, and how rows are printed."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from reprolib.errors import UserError, unknown
from reprolib.models import System

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Profile = Annotated[str | None, typer.Option("--profile", help="Profile; by default the one in params.yaml.")]
Jobs = Annotated[int | None, typer.Option(help="Runs side by side on a CPU, one thread each; by default up to 4.")]


def network_options(system: System, texts: Sequence[str]) -> dict[str, Any]:
    """Options of a system's network from KEY=VALUE texts, values as in YAML.

    Raises:
        UserError: a text of another form, or an option that the network does not have.
    """
    import yaml

    known, found = list(inspect.signature(system.build).parameters), {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign:
            raise UserError(f"not an option: '{text}'", fix="write KEY=VALUE")
        if key not in known:
            raise unknown(f"option of {system.name}", key, known)
        found[key] = yaml.safe_load(value)
    return found


def show(rows: Any, as_json: bool, columns: tuple[str, ...]) -> None:
    """Print rows as JSON or as a table."""
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns)
    for row in rows:
        cells = (row.get(c) for c in columns)
        texts = ("" if v is None else f"{v:.4f}" if isinstance(v, float) else str(v) for v in cells)
        table.add_row(*(Text(text, overflow="fold") for text in texts))  # '[old]' in a path is no markup
    Console().print(table)
