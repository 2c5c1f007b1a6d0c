"""Progress is a courtesy: whoever reads it may go away."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest

from reprolib import progress
from reprolib.progress import Courtesy, Lines, duration, line, say, track

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


def test_kind_40_a_terminal_that_closes_does_not_end_a_command(tmp_path: Path, project: Path) -> None:
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


class Clock:
    """Time that passes when it is told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """Lines on stderr, which is no terminal."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return lambda: capsys.readouterr().err.splitlines()


def test_without_a_terminal_evaluations_and_a_line_now_and_then(
        clock: Clock, stderr: Callable[[], list[str]]) -> None:
    """A million steps of 10 ms: some thirty lines, and every evaluation."""
    steps = 1_000_000
    with line("run", steps) as update:
        for step in range(1000, steps + 1, 1000):
            clock.now += 10
            update(step, "loss 0.5", "validation 20.1" if step % 500_000 == 0 else "")
    lines = stderr()
    assert [text for text in lines if "validation" in text] == \
        ["run, 500,000 of 1,000,000: validation 20.1", "run, 1,000,000 of 1,000,000: validation 20.1"]
    assert lines[0] == "run: 30,000 of 1,000,000, loss 0.5, 2 h 42 min left"
    assert lines[-1] == "run: 1,000,000 of 1,000,000, loss 0.5" and 20 < len(lines) < 50


def test_without_a_terminal_short_work_is_one_line_and_a_bar_that_vanishes_none(
        clock: Clock, stderr: Callable[[], list[str]]) -> None:
    with line("run", 100) as update:
        for step in range(100):
            clock.now += 0.1
            update(step + 1, "")
    assert stderr() == ["run: 100 of 100"]
    assert list(track(range(50), "looking")) == list(range(50))
    assert stderr() == []


def test_without_a_terminal_slow_work_is_heard_of(clock: Clock, stderr: Callable[[], list[str]]) -> None:
    """Whether there is one step in five minutes or one in an hour; a resumed run counts its own steps only."""
    with Lines() as lines:
        lines.show("slow", 50, 100)
        for step in (51, 52):
            clock.now += 3600
            lines.show("slow", step, 100)
    assert stderr() == ["slow: 51 of 100, 2 d 1 h left", "slow: 52 of 100, 2 d left"]


def test_what_is_told_reaches_a_terminal_and_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with line("run", 4) as update:
        update(2, "", "validation 20.1")
    assert "run, 2 of 4: validation 20.1" in stream.getvalue()
    sent: list[tuple[object, ...]] = []
    monkeypatch.setattr(progress, "_elsewhere", lambda *words: sent.append(words))
    with line("run", 4) as update:
        for step in (1, 2, 3):
            update(step, "", f"validation {step}")
    assert [words[-1] for words in sent] == ["validation 1", "validation 2", "validation 3"]


def test_times_in_words() -> None:
    assert [duration(s) for s in (0, 59.4, 59.6, 3540, 3599, 3600, 5400, 86399, 190000)] == \
        ["0 s", "59 s", "1 min", "59 min", "1 h", "1 h", "1 h 30 min", "1 d", "2 d 4 h"]
