"""Running a notebook with parameters, so that the same inputs give the same bytes."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from reprolib.errors import UserError, unknown
from reprolib.files import write_text
from reprolib.progress import line

QUIET = ["--log-level=CRITICAL"]
"""What a kernel says of itself would tear the lines of progress apart; what a cell says goes into the notebook."""


def execute(source: Path, output: Path, parameters: dict[str, Any], name: str = "") -> None:
    """Run `source` from the project's root and write the result to `output`; the source is never touched.

    What differs between two equal runs is taken out: papermill's and the kernel's times, random cell ids, stderr.
    The result is signed, so that JupyterLab on this machine trusts it.

    Args:
        name: stands beside the progress; by default the source's.

    Raises:
        UserError: no such notebook, a parameter it does not have, or a cell that fails.
    """
    import nbformat
    import papermill
    from papermill.exceptions import PapermillExecutionError

    if not source.is_file():
        raise UserError("no such notebook", where=source)
    known = papermill.inspect_notebook(str(source))
    for parameter in parameters:
        if parameter not in known:
            raise unknown(f"parameter of {source.name}", parameter, known)
    # One cell more than there are: papermill puts the parameters into one of their own.
    cells = len(nbformat.read(source, as_version=4).cells) + bool(parameters)
    with line(name or source.stem, cells, transient=True) as update:
        update(0, "")
        try:
            notebook = papermill.execute_notebook(
                str(source), None, parameters, progress_bar=False, record_timing=False, kernel_name="python3",
                extra_arguments=QUIET, on_cell_start=lambda cell_index, **_: update(cell_index, ""))
        except PapermillExecutionError as error:
            raise UserError(f"cell {error.exec_count} failed: {error.ename}: {error.evalue}", where=source,
                            fix="open it in JupyterLab and run it") from error
        update(cells, "")
    write_text(output, stable(notebook))
    _sign(output)


def stable(notebook: Any) -> str:
    """A notebook as sorted JSON without anything that depends on the time or on chance."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        cell["metadata"] = {"tags": sorted(cell.metadata.get("tags", []))}
        if cell.cell_type == "code":
            cell["outputs"] = [o for o in cell.outputs if o.get("name") != "stderr"]
            for o in cell["outputs"]:
                o.pop("execution_count", None) if o.output_type != "execute_result" else None
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _sign(path: Path) -> None:
    """Trust our own output; a home that is read-only, or that others write to, only means that JupyterLab will ask."""
    import nbformat
    from nbformat.sign import NotebookNotary

    try:
        NotebookNotary().sign(nbformat.read(path, as_version=4))
    except (OSError, sqlite3.Error):
        return
