"""Notebooks run side by side: one thread each, one line for a cell that fails, and no kernel outlives its notebook."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from reprolib.errors import UserError
from reprolib.report.notebooks import execute
from reprolib.runs.concurrent import side_by_side

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
    begin, end = json.loads((tmp_path / "good.out").read_text())["cells"][2:]
    assert begin["outputs"][0]["text"] == "threads: 1\n" and end["outputs"][0]["data"]["text/plain"] == "4"
    assert not (tmp_path / "bad.out").exists() and not (tmp_path / "slow.out").exists()
    kernels = [int((tmp_path / f"{name}.pid").read_text()) for name in CELLS]
    patience = time.monotonic() + 10  # an orphaned kernel looks once a second whether it is one
    while any(map(alive, kernels)) and time.monotonic() < patience:
        time.sleep(0.1)
    assert not any(map(alive, kernels))
