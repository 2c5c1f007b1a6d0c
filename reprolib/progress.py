"""One look for all progress, on stderr, so that stdout stays clean for --json.

A terminal shows bars. Where there is none (nohup, a job of a cluster, DVC's log) there are lines: what stays, such as a
validation, at once, and how far the work is every tenth of it or every few minutes. A process that works for another
one (`reprolib.runs.concurrent`) sends its progress there, where all lines are drawn together.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from operator import length_hint
from typing import Protocol, TextIO, TypeVar, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")

Report = Callable[[str, int, int, str, str], None]
"""Takes the name of a piece of work, how much of how much is done, a note, and what stays as a line of its own."""

SECONDS = 0.25
"""Between two reports to another process."""

RARELY, HARDLY_EVER = 20.0, 300.0
"""Seconds between two lines without a terminal: where a tenth of the work was done in between, and at the latest."""


class Update(Protocol):
    """Says how much is done, with a note; `told`, if any, stays as a line of its own."""

    def __call__(self, done: int, note: str, told: str = "") -> None: ...

_elsewhere: Report | None = None


def report_to(report: Report) -> None:
    """Send the progress of this process to `report` instead of drawing it."""
    global _elsewhere
    _elsewhere = report


def say(text: str) -> None:
    """One line on stderr."""
    print(text, file=Courtesy(sys.stderr), flush=True)


class Courtesy(io.TextIOBase):
    """A stream whose reader may go away at any time: from then on, what is written is dropped without a word.

    Characters that the stream cannot show become '?'.
    """

    def __init__(self, stream: TextIO | None):
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        shown = text.encode(self.encoding, "replace").decode(self.encoding)
        self._try(lambda stream: stream.write(shown))
        return len(text)

    def flush(self) -> None:
        self._try(lambda stream: stream.flush())

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def isatty(self) -> bool:
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:  # closed
            return False

    def writable(self) -> bool:
        return True

    def _try(self, action: Callable[[TextIO], object]) -> None:
        if self._stream is None:  # no terminal at all, as under pythonw
            return
        try:
            action(self._stream)
        except (OSError, ValueError):
            _silence(self._stream)
            self._stream = None


def _silence(stream: TextIO) -> None:
    """Lead a broken stream to nowhere, or else Python would fail when it writes the rest of its buffer at the end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class Lines:
    """Several pieces of work on stderr: of each how much is done, its rate, the time left, a note."""

    def __init__(self, transient: bool = False):
        console = Console(file=cast(TextIO, Courtesy(sys.stderr)))
        self._drawn: _Bars | _Log = _Bars(console, transient) \
            if console.is_terminal and not console.is_dumb_terminal else _Log(transient)

    def __enter__(self) -> Lines:
        self._drawn.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._drawn.stop()

    def show(self, name: str, done: int, total: int, note: str = "", told: str = "") -> None:
        """Draw a line anew, or begin it."""
        self._drawn.show(name, done, total, note, told)


class _Bars:
    """For a terminal."""

    def __init__(self, console: Console, transient: bool):
        self._progress = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), _Rate(),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}", markup=False), speed_estimate_period=30,
            console=console, transient=transient)
        self._tasks: dict[str, TaskID] = {}
        self.start, self.stop = self._progress.start, self._progress.stop

    def show(self, name: str, done: int, total: int, note: str, told: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, completed=done, note=note)
        self._progress.update(self._tasks[name], completed=done, note=note)
        if told:
            self._progress.console.print(Text(f"{name}, {done:,} of {total:,}: {told}"), soft_wrap=True)


class _Log:
    """For whatever keeps what it is sent: few lines, each of them whole."""

    def __init__(self, transient: bool):
        self._transient = transient
        self._begun: dict[str, tuple[float, int]] = {}
        self._last: dict[str, tuple[float, int]] = {}

    def start(self) -> None:
        """Nothing is drawn ahead."""

    def stop(self) -> None:
        """Every line is there."""

    def show(self, name: str, done: int, total: int, note: str, told: str) -> None:
        now = time.monotonic()
        begun, first = self._begun.setdefault(name, (now, done))
        last, before = self._last.setdefault(name, (now, done))
        if told:
            say(f"{name}, {done:,} of {total:,}: {told}")
        since, tenth = now - last, 10 * (done - before) >= total
        whole = done == total and before < total and not self._transient
        if whole or since >= HARDLY_EVER or (tenth and since >= RARELY):
            self._last[name] = now, done
            rest = (now - begun) / (done - first) * (total - done) if done > first else 0
            left = f"{duration(rest)} left" if rest else ""
            say(", ".join(filter(None, (f"{name}: {done:,} of {total:,}", note, left))))


def duration(seconds: float) -> str:
    """A time in words, rounded: '50 s', '12 min', '3 h 20 min', '2 d 4 h'."""
    minutes = round(seconds / 60)
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


@contextmanager
def line(name: str, total: int, done: int = 0, transient: bool = False) -> Iterator[Update]:
    """Progress of one piece of work: a function that says how much of it is done."""
    if _elsewhere is not None:
        yield _rarely(_elsewhere, name, total)
        return
    with Lines(transient) as lines:
        lines.show(name, done, total)
        yield lambda now, note, told="": lines.show(name, now, total, note, told)


def track(items: Iterable[T], text: str) -> Iterator[T]:
    """Iterate with a bar that vanishes at the end."""
    with line(text, length_hint(items), transient=True) as update:
        for number, item in enumerate(items, start=1):
            yield item
            update(number, "")


def _rarely(report: Report, name: str, total: int) -> Update:
    """Reports cost a write to a pipe each: the first, the last, and some between are enough."""
    last = -SECONDS

    def update(done: int, note: str, told: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if told or now - last >= SECONDS or done == total:
            last = now
            report(name, done, total, note, told)

    return update


class _Rate(ProgressColumn):
    """Pieces a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")
