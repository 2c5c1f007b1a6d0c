"""What a machine says of itself, on systems that we do not have here."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from reprolib.runs.environment import peak_resident

MARK = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda who: SimpleNamespace(ru_maxrss=2048))


@pytest.mark.parametrize(("system", "resource", "found"), [
    ("linux", MARK, 2048 * 1024), ("darwin", MARK, 2048), ("win32", None, 0)])
def test_kind_26_memory_in_bytes_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch, system: str, resource: object,
                                                found: int) -> None:
    """macOS counts bytes, others kilobytes; Windows has no such module."""
    monkeypatch.setattr(Path, "is_file", lambda self: False)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setitem(sys.modules, "resource", resource)
    assert peak_resident() == found


def test_memory_grows_with_what_is_held() -> None:
    before = peak_resident()
    assert before > 2**20
    held = bytearray(b"x") * (before + 2**26)
    assert peak_resident() >= before + 2**25 and len(held) > before
