"""Tables as Markdown, by pandas; what a cell holds is never read as a number and never ends it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def to_markdown(frame: pd.DataFrame, heads: Sequence[str] | None = None) -> str:
    """A table without its index, missing values empty, floats with four decimals.

    Args:
        heads: to print instead of the frame's columns.
    """
    cells = [[_text(value) for value in row] for row in frame.itertuples(index=False)]
    shown = [_text(head) for head in (frame.columns if heads is None else heads)]
    return pd.DataFrame(cells, columns=range(len(shown))).to_markdown(
        index=False, headers=shown, disable_numparse=True, tablefmt="github") + "\n"


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return ""
    return (f"{value:.4f}" if isinstance(value, float) else str(value)).replace("|", "\\|")
