"""Progress is a courtesy: whoever reads it may go away."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest

from reprolib.progress import Courtesy, line, say, track

WORK = """
import sys, time
from reprolib.progress import line, say, track
say("begun")
with line("work", 20) as update:
    for number in range(20):
        time.sleep(0.02)
        update(number + 1, "fine")
assert list(track(range(3), "again")) == [0, 1, 2]
say("done")
open(sys.argv[1], "w").write("result")
"""


@contextmanager
def gone(kind: str) -> Iterator[int]:
    """A descriptor that nobody reads any more, or that cannot take anything."""
    if kind == "full":
        place = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, place = pty.openpty() if kind == "pty" else os.pipe()
        os.close(reader)
    try:
        yield place
    finally:
        os.close(place)


@pytest.mark.parametrize("kind", ["pty", "pipe", "full"])
def test_nobody_reads(kind: str, tmp_path: Path, project: Path) -> None:
    result = tmp_path / "result"
    with gone(kind) as place:
        done = subprocess.run([sys.executable, "-c", WORK, str(result)], stdin=subprocess.DEVNULL, stdout=place,
                              stderr=place, env={**os.environ, "PYTHONPATH": str(project), "FORCE_COLOR": "1"})
    assert done.returncode == 0 and result.read_text() == "result"


def test_a_terminal_that_closes_does_not_end_a_command(tmp_path: Path, project: Path) -> None:
    """Its hangup signal included: the process is the terminal's own."""
    code = f"from reprolib.commands import streams; streams.install()\n{WORK}"
    result = tmp_path / "result"
    child, terminal = pty.fork()
    if child == 0:
        os.environ["PYTHONPATH"] = str(project)
        os.execv(sys.executable, [sys.executable, "-c", code, str(result)])
    while b"begun" not in os.read(terminal, 1000):
        pass
    os.close(terminal)
    assert os.waitpid(child, 0)[1] == 0 and result.read_text() == "result"


def test_what_cannot_be_shown_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ascii(StringIO):
        encoding = "ascii"

    stream = Ascii()
    monkeypatch.setattr(sys, "stderr", stream)
    say("Größe.png")
    assert stream.getvalue() == "Gr??e.png\n"
    with line("Größe", 2) as update:
        update(2, "→")
    assert "Gr??e" in stream.getvalue()


def test_no_stream_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    say("nobody")
    assert list(track([1], "nobody")) == [1]
    stream = StringIO()
    stream.close()
    assert not Courtesy(stream).isatty() and Courtesy(stream).write("x") == 1
