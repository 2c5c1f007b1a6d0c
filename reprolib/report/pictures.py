"""Any systems with any weights on pictures of a real dataset, in a notebook of its own."""

from __future__ import annotations

from pathlib import Path

from reprolib import models
from reprolib.data.registry import locate
from reprolib.report.notebooks import execute


def write(dataset: str, systems: list[str], output: Path, data_root: Path | None = None, count: int = 4,
          root: Path = Path()) -> Path:
    """Execute notebooks/real_pictures.ipynb.

    Args:
        systems: NAME or NAME=WEIGHTS each; a name without weights must be a prior.
        output: where the executed notebook goes, with the figure as JPEG beside it.

    Raises:
        UserError: unknown names, missing data, or a cell that fails.
    """
    pairs = [(name, weights or None) for name, _, weights in (text.partition("=") for text in systems)]
    for name, _ in pairs:
        models.module_of(name)
    place = locate(dataset, data_root)
    execute(root / "notebooks" / "real_pictures.ipynb", output, {
        "dataset": dataset, "folder": str(place.resolve()), "count": count,
        "systems": [[name, weights and str(Path(weights).resolve())] for name, weights in pairs],
        "figure": str(output.with_suffix(".jpg").resolve())})
    return output
