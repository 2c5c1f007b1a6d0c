"""Another checkout's package never makes a project's numbers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import reprolib as package
from commands.conftest import Reprolib


@pytest.mark.parametrize("words", [
    ("train", "aodnet"), ("measure", "aodnet"), ("segmenter",), ("runs", "inputs"), ("calibrate",),
    ("report", "ledger"), ("report", "notebooks"), ("report", "summary"), ("report", "readme"), ("verify", "aodnet")])
def test_kind_29_another_package_is_refused(reprolib: Reprolib, tiny: Path, words: tuple[str, ...]) -> None:
    (tiny / "reprolib").mkdir()
    (tiny / "reprolib/__init__.py").touch()
    answer = reprolib(*words)
    assert answer.code == 2
    assert str(tiny / "reprolib") in answer.line and str(Path(package.__file__).parent) in answer.line


def test_a_link_to_the_running_package_is_the_project_s(reprolib: Reprolib, tiny: Path) -> None:
    (tiny / "reprolib").symlink_to(Path(package.__file__).parent)
    assert reprolib("runs", "inputs").code == 0


ASK = """
import reprolib
from reprolib.commands.project import require_own_package
require_own_package()
print(reprolib.__file__)
"""


def test_kind_29_an_installed_package_is_refused_and_a_copy_of_the_project_can_run_its_own(tmp_path: Path) -> None:
    """`pip install .`, and the copy that `dvc exp run --temp` makes: PYTHONPATH=. before the command is what helps."""
    for place in ("site-packages", "project/.dvc/tmp/exps/copy"):
        for name in ("commands", ""):
            (tmp_path / place / "reprolib" / name).mkdir(parents=True, exist_ok=True)
        for name in ("__init__.py", "errors.py", "commands/__init__.py", "commands/project.py"):
            shutil.copy(Path(package.__file__).parent / name, tmp_path / place / "reprolib" / name)
    copy = tmp_path / "project/.dvc/tmp/exps/copy"

    def ask(path: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-P", "-c", ASK], cwd=copy, text=True, capture_output=True, check=False,
                              env={**os.environ, "PYTHONPATH": path})

    refused = ask(str(tmp_path / "site-packages"))
    assert refused.returncode and str(tmp_path / "site-packages/reprolib") in refused.stderr
    assert "PYTHONPATH=. before the command (before `dvc`, too)" in refused.stderr
    own = ask(f".{os.pathsep}{tmp_path / 'site-packages'}")
    assert own.returncode == 0 and Path(own.stdout.strip()).is_relative_to(copy), own.stderr
