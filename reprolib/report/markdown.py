"""A table as Markdown; pandas would need another package for it."""

from __future__ import annotations

import pandas as pd


def to_markdown(frame: pd.DataFrame) -> str:
    """A frame without its index; floats with four decimals, missing values empty."""
    def text(value: object) -> str:
        if value is None or (isinstance(value, float) and pd.isna(value)):
            return ""
        return f"{value:.4f}" if isinstance(value, float) else str(value).replace("|", "\\|")

    lines = ["| " + " | ".join(map(str, frame.columns)) + " |", "|" + "---|" * len(frame.columns)]
    lines += ["| " + " | ".join(text(v) for v in row) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines) + "\n"
