"""Settings of the process: by one call, never by an import, and not in silence where they come too late."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from reprolib import runtime

LIGHT = """
import os, sys
before = dict(os.environ)
import reprolib, reprolib.runtime
assert dict(os.environ) == before
from reprolib.commands.main import run
assert run(["--help"]) == 0
heavy = {"torch", "numpy", "pydantic", "rich", "pandas", "lightning_fabric"} & set(sys.modules)
assert not heavy, heavy
assert reprolib.ContrastiveRegularisation.__name__ == "ContrastiveRegularisation" and "torch" in sys.modules
assert {"ContrastiveRegularisation", "PatchNCELoss", "load"} <= set(reprolib.__all__)
"""


FREED = """
import os
from reprolib import runtime
def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
def left():
    before, block = held(), bytearray(2**26)
    block[::4096] = bytes(len(block[::4096]))
    assert held() > before + 2**25
    del block
    return held() - before
runtime.keep_freed_memory()
with runtime.return_freed_memory():
    assert left() < 2**24
assert left() > 2**25
"""


def test_importing_sets_nothing_and_help_loads_nothing_heavy(project: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in runtime.THREADS}
    subprocess.run([sys.executable, "-c", LIGHT], check=True, env={**kept, "PYTHONPATH": str(project)},
                   stdout=subprocess.DEVNULL)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc than glibc's")
def test_freed_memory_is_kept_but_while_large_pictures_are_computed(project: Path) -> None:
    subprocess.run([sys.executable, "-c", FREED], check=True, env={"PYTHONPATH": str(project)})


def test_a_variable_that_is_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runtime.tune()
    assert os.environ["GOMP_SPINCOUNT"] == "7" and os.environ["OPENBLAS_NUM_THREADS"] == "3"


def test_what_comes_too_late_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch  # noqa: F401 - is loaded

    for name in runtime.THREADS:
        monkeypatch.setenv(name, "")  # brought back afterwards
        monkeypatch.delenv(name)
    with pytest.warns(RuntimeWarning, match="GOMP_SPINCOUNT is read when torch is loaded"):
        runtime.tune()
    assert os.environ["GOMP_SPINCOUNT"] == "30000"


def test_the_collector_rests_only_while_libraries_load(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(runtime, "import_module", lambda name: seen.append(gc.isenabled()))
    before = gc.get_freeze_count()
    try:
        runtime.preload(["a", "b", "a"])
        assert seen == [False, False] and gc.isenabled() and gc.get_freeze_count() > before
    finally:
        gc.unfreeze()
    monkeypatch.undo()
    with pytest.raises(ModuleNotFoundError):
        runtime.preload(["reprolib.nothing"])
    assert gc.isenabled()
