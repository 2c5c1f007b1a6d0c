"""What the commands share: options that mean the same everywhere, their checks, and how rows are printed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from reprolib.errors import UserError, unknown

ACCELERATORS = ("auto", "cpu", "cuda")


def _accelerator(value: str) -> str:
    """Refused before anything is loaded that would need it."""
    if value not in ACCELERATORS:
        raise unknown("accelerator", value, ACCELERATORS)
    if value == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UserError("no GPU that torch can use is here", where="--accelerator cuda", fix="use auto or cpu")
    return value


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Profile = Annotated[str, typer.Option("--profile", help="Which set of runs.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Runs side by side on a CPU, one thread each; by default 4.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the dataset, instead of the registered one.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first N pictures.")]
Accelerator = Annotated[str, typer.Option(callback=_accelerator, help="auto, cpu or cuda.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that load batches.")]

MINI = "mini"
"""The profile that commands mean if none is named."""


def network_options(system: str, texts: Sequence[str]) -> dict[str, Any]:
    """Options of a system's network from KEY=VALUE texts, values as in YAML 1.2.

    Raises:
        UserError: a text of another form, an option that the network does not have, or a value of another type.
    """
    from ruamel.yaml import YAML

    from reprolib import models
    from reprolib.runs.profile import checked

    found = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign:
            raise UserError(f"not an option: '{text}'", fix="write KEY=VALUE")
        found[key] = YAML(typ="safe", pure=True).load(value)
    checked(models.options_type(system), found, f"--option of {system}")
    return found


def show(rows: Sequence[Mapping[str, Any]], as_json: bool, columns: Sequence[str]) -> None:
    """Print rows as JSON or as a table."""
    if as_json:
        print_json(list(rows))
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


def print_json(content: Any) -> None:
    """Strict JSON: a NaN or an infinity that slipped through is an error of ours, not the reader's."""
    print(json.dumps(content, indent=1, allow_nan=False))


def print_scores(values: Mapping[str, Any]) -> None:
    """One value a line, readable at 80 columns."""
    for name, value in values.items():
        if value in (None, "", [], {}):
            continue
        print(f"{name:<20} {f'{value:.4f}' if isinstance(value, float) else value}")


def count(n: int, unit: str) -> str:
    """'1 picture', '2 pictures'."""
    return f"{n:,} {unit}{'' if n == 1 else 's'}"
