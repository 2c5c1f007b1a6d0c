"""A profile's notebooks are those of its runs; they run side by side, a line for a cell that fails, no kernel left."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from cells import run_cells
from invented import invented

from reprolib.commands.report import report_protocols
from reprolib.errors import UserError
from reprolib.files import write_text, write_yaml
from reprolib.papers import papers
from reprolib.report import notebooks, shown
from reprolib.report.notebooks import execute, of_kernel, stable
from reprolib.runs import concurrent
from reprolib.runs.concurrent import side_by_side
from reprolib.runs.profile import profiles

__all__ = ["invented"]

BEGIN = """
import os, time
from pathlib import Path
Path(folder, "{name}.pid").write_text(str(os.getpid()))
print("threads:", os.environ["OMP_NUM_THREADS"])
"""
CELLS = {
    "good": "2 + 2",
    "bad": "while not (Path(folder, 'good.out').exists() and Path(folder, 'slow.pid').exists()): time.sleep(0.05)\n"
           "raise ValueError('of this cell')",
    "slow": "time.sleep(60)",
}
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


def cell(source: str, *tags: str) -> dict[str, object]:
    return {"cell_type": "code", "metadata": {"tags": tags}, "source": source, "outputs": [], "execution_count": None}


def work(name: str, folder: Path) -> None:
    execute(folder / f"{name}.ipynb", folder / f"{name}.out", {"folder": str(folder)})


def alive(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_one_that_fails_is_said_in_a_line_and_the_others_end_with_it(tmp_path: Path) -> None:
    for name, last in CELLS.items():
        cells = [cell("folder = ''", "parameters"), cell(BEGIN.format(name=name)), cell(last)]
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(
            {"cells": cells, "metadata": KERNEL, "nbformat": 4, "nbformat_minor": 4}))
    with pytest.raises(UserError, match=r"cell 4 failed: ValueError: of this cell \(.*bad.ipynb\): open it"):
        side_by_side(partial(work, folder=tmp_path), list(CELLS), jobs=3, accelerator="cpu")
    begin, end = nbformat.read(tmp_path / "good.out", as_version=4).cells[2:]
    assert begin["outputs"][0]["text"] == "threads: 1\n" and end["outputs"][0]["data"]["text/plain"] == "4"
    assert not (tmp_path / "bad.out").exists() and not (tmp_path / "slow.out").exists()
    kernels = [int((tmp_path / f"{name}.pid").read_text()) for name in CELLS]
    patience = time.monotonic() + 10  # an orphaned kernel looks once a second whether it is one
    while any(map(alive, kernels)) and time.monotonic() < patience:
        time.sleep(0.1)
    assert not any(map(alive, kernels))


@pytest.mark.parametrize(("spec", "told"), [
    ('{"argv": [', "Expecting value"), ("{}", "it starts nothing"), ('{"argv": 3}', "argv"),
    ('{"argv": ["/gone/python"], "display_name": "x", "language": "python"}', "/gone/python, which is no program")])
def test_kind_12_a_broken_kernel_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str,
                                             told: str) -> None:
    write_text(tmp_path / "kernels" / "python3" / "kernel.json", spec)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    write_text(tmp_path / "a.ipynb", json.dumps(
        {"cells": [cell("1")], "metadata": KERNEL, "nbformat": 4, "nbformat_minor": 4}))
    with pytest.raises(UserError, match=rf"the Jupyter kernel 'python3' cannot be used: .*{told}.*kernels/python3"):
        execute(tmp_path / "a.ipynb", tmp_path / "b.ipynb", {})


def test_kind_12_a_kernel_that_dies_is_one_line(tmp_path: Path) -> None:
    write_text(tmp_path / "a.ipynb", json.dumps(
        {"cells": [cell("import os; os._exit(1)")], "metadata": KERNEL, "nbformat": 4, "nbformat_minor": 4}))
    with pytest.raises(UserError, match=r"the kernel did not start, or died: .*a.ipynb"):
        execute(tmp_path / "a.ipynb", tmp_path / "b.ipynb", {})
    assert not (tmp_path / "b.ipynb").exists()


def test_a_profile_has_the_notebooks_of_its_runs(project: Path) -> None:
    every = {name for paper in papers().values() for name in (*paper.tables, *paper.notebooks)}
    for profile in profiles(project):
        found = notebooks.of_profile(profile, project)
        assert set(found) <= every
        for job in found.values():
            assert (project / "notebooks" / f"{job.source}.ipynb").is_file()
            assert job.parameters["profile"] == profile


def test_a_figure_shows_another_row_where_its_own_has_no_run(project: Path) -> None:
    mini, desk = (notebooks.of_profile(profile, project)["figure5"] for profile in ("mini", "desk"))
    assert (mini.parameters["row"], desk.parameters["row"]) == ("table1/aecrnet", "table2/base+dfe+mixup")
    assert "figure7" not in notebooks.of_profile("desk", project), "it names no other"


def test_without_runs_there_are_no_notebooks_and_an_unknown_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "profiles" / "tiny").mkdir(parents=True)
    description = tmp_path / "profiles" / "tiny" / "params.yaml"
    description.write_text("systems: {dcp: {runs: {}}}\n")
    assert notebooks.of_profile("tiny", tmp_path) == {} and notebooks.write("tiny", root=tmp_path) == []
    description.write_text("systems: {dcp: {steps: 0, runs: {dcp: {dataset: haze-homogeneous}}}}\n")
    assert "table1" in notebooks.of_profile("tiny", tmp_path)
    with pytest.raises(UserError, match="did you mean 'table1'"):
        notebooks.write("tiny", ["tabel1"], tmp_path)


def test_without_the_real_pictures_what_was_drawn_is_left_as_it_was(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    monkeypatch.setattr(concurrent, "_shared", lambda: True)  # one after another, here
    write_yaml(Path("profiles/tiny/params.yaml"), {"systems": {"dcp": {"runs": {"prior": {"dataset": "sots-indoor"}}}}})
    drawn, protocols = Path("results/tiny/notebooks"), Path("results/tiny/protocols")
    for folder, name in ((drawn, "table1.ipynb"), (drawn, "former.ipynb"), (drawn.with_name("figures"), "former.jpg"),
                         (protocols, "protocols.csv"), (protocols, "former.md")):
        write_text(folder / name, "old")

    def execute(source: Path, output: Path, parameters: dict[str, Any], name: str) -> None:
        if name == "table1":
            raise UserError("no pictures")
        write_text(output, "new")

    monkeypatch.setattr(notebooks, "execute", execute)
    done = notebooks.write("tiny")
    assert {path.stem for path in done} == {*notebooks.of_profile("tiny")} - {"table1"}
    assert {path.stem: path.read_text() for path in drawn.iterdir()} == {path.stem: "new" for path in done} | {
        "table1": "old"}
    assert not list(drawn.with_name("figures").iterdir()), "of a notebook that the profile does not have"
    assert capsys.readouterr().err == "table1: left as it was, with sots-indoor not on this machine (no pictures)\n"

    report_protocols("tiny")
    assert "protocols: left as it was, with sots-indoor not on this machine" in capsys.readouterr().out
    assert [(path.name, path.read_text()) for path in protocols.iterdir()] == [("protocols.csv", "old")]

    Path("data/sots-indoor").mkdir(parents=True)
    with pytest.raises(UserError, match="no pictures"):
        notebooks.write("tiny")


def test_an_invented_paper_has_its_notebooks(tmp_path: Path, invented: Path) -> None:
    (tmp_path / "profiles" / "tiny").mkdir(parents=True)
    (tmp_path / "profiles" / "tiny" / "params.yaml").write_text(
        "systems: {dcp: {steps: 0, runs: {mine: {dataset: haze-homogeneous, rows: [toys/prior]}}}}\n")
    found = notebooks.of_profile("tiny", tmp_path)
    assert set(found) == {"toys", "toy_pictures"}
    assert found["toy_pictures"].parameters["count"] == 1
    assert list(shown.find_runs("tiny", "toys", "mine", tmp_path)) == ["Prior Toy"]


def test_equal_runs_give_equal_bytes_and_errors_for_people_one_line(tmp_path: Path) -> None:
    cells = [cell("word = 'a'", "parameters"), cell("import sys\nprint(word)\nprint('noise', file=sys.stderr)\n{1}"),
             cell("from reprolib.errors import UserError\nif word == 'bad': raise UserError('no ledger', fix='run x')")]
    source = tmp_path / "source.ipynb"
    source.write_text(json.dumps({"cells": cells, "metadata": KERNEL, "nbformat": 4, "nbformat_minor": 4}))
    before = source.read_bytes()
    for name in ("one", "two"):
        execute(source, tmp_path / f"{name}.ipynb", {"word": "b"})
    assert (tmp_path / "one.ipynb").read_bytes() == (tmp_path / "two.ipynb").read_bytes()
    outputs = nbformat.read(tmp_path / "one.ipynb", as_version=4).cells[2].outputs
    assert source.read_bytes() == before and {o.get("name") for o in outputs} == {"stdout", None}
    with pytest.raises(UserError, match=r"cell 4 failed: no ledger: run x \(.*source.ipynb\)"):
        execute(source, tmp_path / "bad.ipynb", {"word": "bad"})
    with pytest.raises(UserError, match="did you mean 'word'"):
        execute(source, tmp_path / "bad.ipynb", {"wrod": "b"})
    assert not (tmp_path / "bad.ipynb").exists()


def by_hand(notebook: Path, names: dict[str, Any] | None = None) -> str:
    """What one is told who opens a notebook where it lies and runs all cells: '' or the line of an error."""
    with contextlib.chdir(notebook.parent):
        try:
            run_cells(notebook, names=names)
        except UserError as error:
            return str(error)
    return ""


def test_kind_17_opened_by_hand_before_anything_was_run(tmp_path: Path, project: Path) -> None:
    """From its own folder it finds the project, and says in a line what to run."""
    (tmp_path / "profiles" / "mini").mkdir(parents=True)
    shutil.copy(project / "profiles/mini/params.yaml", tmp_path / "profiles/mini")
    shutil.copytree(project / "notebooks", tmp_path / "notebooks")
    told = {path.stem: by_hand(path) for path in sorted((tmp_path / "notebooks").glob("*.ipynb"))}
    for name, line in told.items():
        assert line == "" or "\n" not in line and ": run `" in line, f"{name}: {line}"
    assert told["bench"] == "" and "no ledger" in told["table"], told


def test_kind_23_an_executed_notebook_opened_by_hand_finds_the_ledger(project: Path) -> None:
    names: dict[str, Any] = {}
    with contextlib.suppress(Exception):  # later cells may miss pictures, which Git has not
        by_hand(project / "results/mini/notebooks/table1.ipynb", names)
    assert names["profile"] == "mini" and names["entries"]


def test_a_source_is_written_as_jupyterlab_writes_it(project: Path) -> None:
    """Opened and saved there, it stays as it is: equal metadata but for the version of Python, ids, sorted keys."""
    for path in (project / "notebooks").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        here = of_kernel()
        here["language_info"]["version"] = notebook.metadata.language_info.version
        assert notebook.metadata == here, path
        assert text == nbformat.writes(notebook) + "\n" and (notebook.nbformat, notebook.nbformat_minor) == (4, 5), path
        assert len({cell.id for cell in notebook.cells}) == len(notebook.cells), path
        assert not any(cell.get("outputs") for cell in notebook.cells), path


def test_what_only_a_live_kernel_draws_is_left_out() -> None:
    drawn = {"text/html": "<b>still</b>", "application/vnd.jupyter.widget-view+json": {"model_id": "x"}}
    output = nbformat.v4.new_output("display_data", drawn)
    cells = [nbformat.v4.new_code_cell("1", outputs=[output]), nbformat.v4.new_markdown_cell("word")]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"widgets": {"state": {}}, "papermill": {"duration": 1}})
    text = stable(notebook)
    assert nbformat.reads(text, 4).cells[0].outputs[0].data == {"text/html": "<b>still</b>"}
    assert nbformat.reads(text, 4).metadata == of_kernel() and "cell-1" in text
    assert stable(nbformat.reads(text, 4)) == text
