"""lab.sh's bookkeeping: what is done is not repeated, what failed is told and tried again, what is found is kept."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

STUB = """#!/usr/bin/env bash
echo "$2" >> called
[ "$2" = "$(cat broken 2> /dev/null)" ] && { echo "no memory"; exit 1; }
echo "{}" > "runs/lab/$2.json"
"""


@pytest.fixture
def lab(tmp_path: Path, project: Path) -> Path:
    """A folder with lab.sh and a Python that only notes what it is asked."""
    shutil.copy(project / "lab.sh", tmp_path)
    (tmp_path / "python").write_text(STUB)
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def call(lab: Path) -> tuple[int, str, list[str]]:
    """Exit code, what was said, and the checks that ran."""
    (lab / "called").write_text("")
    done = subprocess.run(["bash", "lab.sh", "5", "cpu"], cwd=lab, text=True, capture_output=True, timeout=60,
                          env={**os.environ, "PYTHON": str(lab / "python"), "OUT": str(lab / "out $[x]")})
    return done.returncode, done.stdout, (lab / "called").read_text().split()


def test_what_is_done_is_not_repeated_and_what_failed_is(lab: Path) -> None:
    (lab / "broken").write_text("bf16")
    code, said, ran = call(lab)
    assert code == 1 and ran == ["equality", "memory", "bf16", "resume"]
    assert "bf16: FAILED\nno memory\n" in said and "resume: done" in said
    (lab / "broken").unlink()
    assert call(lab) == (0, "bf16: done\n", ["bf16"])
    assert call(lab) == (0, "", [])
    assert (lab / "out $[x]" / "bf16.json").is_file() and (lab / "out $[x]" / "bf16.log").is_file()


def test_no_time_left_does_nothing(lab: Path) -> None:
    done = subprocess.run(["bash", "lab.sh", "0", "cpu"], cwd=lab, text=True, capture_output=True, timeout=60)
    assert done.returncode == 0 and done.stdout.count("no time left") == 4
