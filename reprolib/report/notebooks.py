"""A profile's notebooks: one for each table and each figure of the papers that it has a run for."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from reprolib import papers
from reprolib.data.identity import lacking
from reprolib.errors import UserError, unknown
from reprolib.files import write_text
from reprolib.progress import line, say
from reprolib.runs.concurrent import side_by_side
from reprolib.runs.places import results_folder
from reprolib.runs.profile import read_profile

KERNEL = "python3"
"""Every environment with ipykernel has one of this name."""

WIDGET = "application/vnd.jupyter.widget-view+json"
"""What only a live kernel can draw; the same output holds what stands in its place."""

QUIET = ["--log-level=CRITICAL"]
"""What a kernel says of itself would tear the lines of progress apart; what a cell says goes into the notebook."""


@dataclass(frozen=True)
class Job:
    """One notebook to execute."""

    name: str
    source: str
    parameters: dict[str, Any] = field(default_factory=dict)


def of_profile(profile: str, root: Path = Path()) -> dict[str, Job]:
    """The notebooks of a profile by name: tables and figures with a run that stands for what they show.

    Raises:
        UserError: no such profile, or a mistake in it.
    """
    from reprolib.report.shown import find_runs

    found: dict[str, Job] = {}
    for paper in papers.papers().values():
        for table in paper.tables.values():
            if any(find_runs(profile, table.name, column, root) for column in table.columns):
                found[table.name] = Job(table.name, "table", {"profile": profile, "table": table.name})
        for notebook in paper.notebooks.values():
            shown = next((shows for shows in (notebook.shows, notebook.instead)
                          if shows and find_runs(profile, shows, notebook.column, root)), None)
            if shown:
                told = {"profile": profile, "name": notebook.name, **notebook.parameters, _kind(shown): shown}
                found[notebook.name] = Job(notebook.name, notebook.source, told)
    return found


def _kind(shows: str) -> str:
    """Of the parameter that names a row or a table."""
    return "row" if "/" in shows else "table"


def write(profile: str, names: Iterable[str] | None = None, root: Path = Path(), jobs: int | None = None) -> list[Path]:
    """Execute notebooks of a profile, or all, side by side into results/<profile>/notebooks.

    Where real pictures of the profile are not on this machine, a notebook that fails is left as it was, which is said.

    Raises:
        UserError: no such notebook, a parameter that it does not have, or a cell that fails.
    """
    known = of_profile(profile, root)
    chosen = list(known if names is None else dict.fromkeys(names))
    for name in chosen:
        if name not in known:
            raise unknown(f"notebook of profile '{profile}'", name, known)
    if names is None:
        _forget(known, results_folder(profile, root))
    import papermill  # noqa: F401 - once, before the processes are copied

    absent = lacking(run.measured_on for run in read_profile(profile, root).runs.values())
    work = partial(_execute, profile=profile, root=root, absent=absent)
    done = side_by_side(work, [known[name] for name in chosen], jobs, accelerator="cpu", always=True)
    return [path for path in done if path is not None]


def _forget(known: Iterable[str], results: Path) -> None:
    """Remove notebooks, and figures, that the profile no longer has."""
    for folder in ("notebooks", "figures"):
        for path in (results / folder).glob("*.*"):
            if path.stem not in known:
                path.unlink()


def _execute(job: Job, profile: str, root: Path, absent: Sequence[str]) -> Path | None:
    output = results_folder(profile, root) / "notebooks" / f"{job.name}.ipynb"
    told = {**job.parameters, **({} if root == Path() else {"root": str(root.resolve())})}
    try:
        execute(root / "notebooks" / f"{job.source}.ipynb", output, told, job.name)
    except UserError as error:
        if not absent:
            raise
        say(f"{job.name}: left as it was, with {', '.join(absent)} not on this machine ({error.what})")
        return None
    return output


def execute(source: Path, output: Path, parameters: dict[str, Any], name: str = "") -> None:
    """Run `source` from the current folder and write the result to `output`; the source is never touched.

    What differs between two equal runs is taken out: papermill's and the kernel's times, random cell ids, stderr.
    The result is signed, so that JupyterLab on this machine trusts it.

    Args:
        name: stands beside the progress; by default the source's.

    Raises:
        UserError: no such notebook, a parameter it does not have, a kernel that cannot be used, or a cell that fails.
    """
    import nbformat
    import papermill
    from papermill.exceptions import PapermillExecutionError

    if not source.is_file():
        raise UserError("no such notebook", where=source, fix="check its name in paper.yaml")
    of_kernel()  # before anything runs
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
                str(source), None, parameters, progress_bar=False, record_timing=False, kernel_name=KERNEL,
                extra_arguments=QUIET, on_cell_start=lambda cell_index, **_: update(cell_index, ""))
        except PapermillExecutionError as error:
            said = error.evalue if error.ename == "UserError" else f"{error.ename}: {error.evalue}"
            raise UserError(f"cell {error.exec_count} failed: {said}", where=source,
                            fix="open it in JupyterLab and run it") from error
        except RuntimeError as error:  # of jupyter_client and nbclient
            raise UserError(f"the kernel did not start, or died: {error}", where=source,
                            fix="free some memory, or reinstall ipykernel, and run the same command again") from error
        update(cells, "")
    write_text(output, stable(notebook))
    _sign(output)


def stable(notebook: Any) -> str:
    """A notebook's text without anything that depends on the time or on chance, or that needs the kernel it had.

    JupyterLab writes the metadata of the kernel that it starts, and marks a notebook as changed where it had others:
    they are written here.
    """
    import nbformat

    notebook.metadata = nbformat.from_dict(of_kernel())
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        tags = sorted(cell.metadata.get("tags", []))
        cell["metadata"] = {"tags": tags} if tags else {}
        if cell.cell_type == "code":
            cell["outputs"] = [o for o in cell.outputs if o.get("name") != "stderr"]
            for o in cell["outputs"]:
                o.pop("execution_count", None) if o.output_type != "execute_result" else None
                o.get("data", {}).pop(WIDGET, None)
    return str(nbformat.writes(nbformat.from_dict(notebook))) + "\n"


def of_kernel() -> dict[str, Any]:
    """Metadata of a notebook that the kernel `python3` of this environment has opened.

    Raises:
        UserError: there is none, its kernel.json is broken, or the Python that it starts has gone.
    """
    from ipykernel.ipkernel import IPythonKernel
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    from traitlets import TraitError

    manager = KernelSpecManager()
    place = manager.find_kernel_specs().get(KERNEL)
    try:
        spec = manager.get_kernel_spec(KERNEL)
        if not spec.argv or shutil.which(spec.argv[0]) is None:
            raise ValueError(f"it starts {' '.join(spec.argv[:1]) or 'nothing'}, which is no program")
    except (NoSuchKernel, TraitError, TypeError, ValueError, OSError) as error:
        raise UserError(f"the Jupyter kernel '{KERNEL}' cannot be used: {error}", where=place,
                        fix="remove that folder, or run `python -m ipykernel install --sys-prefix`") from error
    return {"kernelspec": {"display_name": spec.display_name, "language": spec.language, "name": KERNEL},
            "language_info": dict(IPythonKernel.language_info)}


def _sign(path: Path) -> None:
    """Trust our own output; a home that is read-only, or that others write to, only means that JupyterLab will ask."""
    import nbformat
    from nbformat.sign import NotebookNotary

    try:
        NotebookNotary().sign(nbformat.read(path, as_version=4))
    except (OSError, sqlite3.Error):
        return
