"""A notebook's cells without a kernel, which would load all libraries first; kernels have tests of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat


def run_cells(notebook: Path, parameters: dict[str, Any] | None = None,
              names: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run a notebook's code in this process and folder, as one who opens it and runs all cells.

    Args:
        parameters: after the cell of parameters, instead of what stands there.
        names: to be filled, also if a cell fails.
    """
    names = {} if names is None else names
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, str(notebook), "exec"), names)
            names.update((parameters or {}) if "parameters" in cell.metadata.get("tags", []) else {})
    return names
