"""Tables as Markdown; pandas would need another package for it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def lines_of(heads: Iterable[object], rows: Iterable[Iterable[object]]) -> list[str]:
    """A table in lines; floats with four decimals, missing values empty."""
    heads = list(heads)
    return [_line(heads), "|" + "---|" * len(heads), *map(_line, rows)]


def to_markdown(frame: pd.DataFrame) -> str:
    """A frame without its index, as `lines_of` writes it."""
    return "\n".join(lines_of(frame.columns, frame.itertuples(index=False))) + "\n"


def _line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(_text, cells)) + " |"


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value).replace("|", "\\|")
