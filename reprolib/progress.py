"""One look for every progress bar; bars go to stderr, so that stdout stays clean for --json.

A process that works for another one (`reprolib.runs.concurrent`) sends its progress there, where all lines are drawn
together.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from operator import length_hint
from typing import TextIO, TypeVar, cast

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

Report = Callable[[str, int, int, str], None]
"""Takes the name of a piece of work, how much of how much is done, and a note."""

SECONDS = 0.25
"""Between two reports to another process."""

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
    """One line a piece of work on stderr: done, rate, time left, a note."""

    def __init__(self, transient: bool = False):
        console = Console(file=cast(TextIO, Courtesy(sys.stderr)))
        self._progress = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), _Rate(),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}", markup=False), speed_estimate_period=30,
            console=console, transient=transient)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Lines:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, name: str, done: int, total: int, note: str = "") -> None:
        """Draw a line anew, or begin it."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, completed=done, note=note)
        self._progress.update(self._tasks[name], completed=done, note=note)


@contextmanager
def line(name: str, total: int, done: int = 0, transient: bool = False) -> Iterator[Callable[[int, str], None]]:
    """Progress of one piece of work: a function of how much is done, and a note."""
    if _elsewhere is not None:
        yield _rarely(_elsewhere, name, total)
        return
    with Lines(transient) as lines:
        lines.show(name, done, total)
        yield lambda now, note: lines.show(name, now, total, note)


def track(items: Iterable[T], text: str) -> Iterator[T]:
    """Iterate with a bar that vanishes at the end."""
    with line(text, length_hint(items), transient=True) as update:
        for number, item in enumerate(items, start=1):
            yield item
            update(number, "")


def _rarely(report: Report, name: str, total: int) -> Callable[[int, str], None]:
    """Reports cost a write to a pipe each: the first, the last, and some between are enough."""
    last = -SECONDS

    def update(done: int, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SECONDS or done == total:
            last = now
            report(name, done, total, note)

    return update


class _Rate(ProgressColumn):
    """Pieces a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")
