"""JupyterLab opens a source and an executed notebook with a kernel, wherever they lie; neither counts as changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
import psutil
import pytest

from reprolib.report.notebooks import execute, stable

TOKEN = "of-this-test"

PATIENCE = 300_000
"""Milliseconds, for a machine that does much else; it takes seconds otherwise."""

KERNEL_KNOWN = """async () => {
  const context = jupyterapp.shell.currentWidget.context, session = context.sessionContext;
  await context.ready;
  await session.ready;
  await session.session.kernel.info;  // answered by the kernel; what JupyterLab does with it was asked for before
  await new Promise((done) => setTimeout(done));
}"""

DIRTY = "jupyterapp.shell.currentWidget.context.model.dirty"

MENUS = """
import numpy as np
from reprolib.report.slider import Comparison
Comparison({name: np.zeros((8, 12, 3), np.uint8) for name in ("hazy", "ours", "clear")})
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, project: Path, chromium: Any) -> Iterator[tuple[str, Path]]:
    """Address and folder of a JupyterLab of two notebooks, one of them below an odd folder."""
    folder = tmp_path_factory.mktemp("lab")
    source = folder / "source.ipynb"
    notebook = nbformat.read(project / "notebooks" / "table.ipynb", as_version=4)
    source.write_text(stable(notebook), encoding="utf-8")  # so that its version of Python is this one's
    short = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import reprolib\n6 * 7")])
    plain = folder / "plain.ipynb"
    nbformat.write(short, plain)
    menus = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(MENUS)])
    (folder / "menus.ipynb").write_text(stable(menus), encoding="utf-8")  # no dialog asks for its kernel
    (folder / "odd [x] ü").mkdir()
    execute(plain, folder / "odd [x] ü" / "executed.ipynb", {})
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "HOME": str(home), "JUPYTER_CONFIG_DIR": str(home), "JUPYTER_DATA_DIR": str(home),
                   "JUPYTER_RUNTIME_DIR": str(home)}
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser",
             f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}"],
            stdout=log, stderr=log, env=environment, cwd=home)
    started = home / f"jpserver-{server.pid}.json"  # written when it listens; it looks for a free port itself
    while not started.is_file() or not (said := started.read_text()):
        assert server.poll() is None, (home / "log").read_text()
        time.sleep(0.1)
    yield f"{json.loads(said)['url']}lab/tree/%s?token={TOKEN}&reset", folder
    processes = [*psutil.Process(server.pid).children(recursive=True), server]  # kernels, and the server itself
    for process in processes:
        process.kill()
    server.wait()


def _opened(page: Any, address: str) -> None:
    """Open a notebook, and wait until its kernel has said what it is and JupyterLab has taken that in."""
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.context")
    page.evaluate(KERNEL_KNOWN)


@pytest.mark.parametrize("name", ["source.ipynb", "odd [x] ü/executed.ipynb"])
def test_opening_a_notebook_changes_nothing(lab: tuple[str, Path], chromium: Any, name: str) -> None:
    address, folder = lab
    before = (folder / name).read_bytes()
    page = chromium.new_page()
    _opened(page, address % quote(name))
    assert page.locator(".jp-NotebookPanel").count() == 1
    assert page.locator(".lm-TabBar-tab.jp-mod-dirty").count() == 0
    assert not page.evaluate(DIRTY)
    page.evaluate("jupyterapp.shell.currentWidget.context.save()")
    assert (folder / name).read_bytes() == before
    page.close()


def test_a_notebook_of_another_kernel_would_count_as_changed(lab: tuple[str, Path], chromium: Any) -> None:
    """What the tests above look for does show where the metadata are other ones."""
    address, folder = lab
    notebook = nbformat.read(folder / "plain.ipynb", as_version=4)
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(notebook, folder / "other.ipynb")
    page = chromium.new_page()
    _opened(page, address % "other.ipynb")
    assert page.evaluate(DIRTY)
    page.wait_for_selector(".lm-TabBar-tab.jp-mod-dirty")
    page.close()


def test_menus_choose_pictures_where_a_kernel_is_live(lab: tuple[str, Path], chromium: Any) -> None:
    address, _ = lab
    page = chromium.new_page()
    _opened(page, address % "menus.ipynb")
    page.click(".jp-Notebook .jp-CodeCell .cm-content")
    page.keyboard.press("Shift+Enter")
    page.wait_for_selector(".jp-OutputArea .widget-dropdown select")
    page.select_option(".widget-dropdown select >> nth=1", "clear")
    page.wait_for_selector('.jp-OutputArea img[alt="clear"]')
    assert page.locator('.jp-OutputArea img[alt="ours"]').count() == 0
    page.close()
