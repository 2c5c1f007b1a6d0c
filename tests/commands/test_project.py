"""Another checkout's package never makes a project's numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

import reprolib as package
from commands.conftest import Reprolib


@pytest.mark.parametrize("words", [
    ("train", "aodnet"), ("measure", "aodnet"), ("segmenter",), ("runs", "inputs"), ("calibrate",),
    ("report", "ledger"), ("report", "notebooks"), ("report", "summary"), ("report", "readme"), ("verify", "aodnet")])
def test_another_package_is_refused(reprolib: Reprolib, tiny: Path, words: tuple[str, ...]) -> None:
    (tiny / "reprolib").mkdir()
    (tiny / "reprolib/__init__.py").touch()
    answer = reprolib(*words)
    assert answer.code == 2
    assert str(tiny / "reprolib") in answer.line and str(Path(package.__file__).parent) in answer.line


def test_a_link_to_the_running_package_is_the_project_s(reprolib: Reprolib, tiny: Path) -> None:
    (tiny / "reprolib").symlink_to(Path(package.__file__).parent)
    assert reprolib("runs", "inputs").code == 0
