"""One look for every progress bar; bars go to stderr, so that stdout stays clean for --json."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

T = TypeVar("T")


def track(items: Iterable[T], text: str) -> Iterator[T]:
    """Iterate with a bar: done, rate, time left."""
    yield from rich_track(items, text, console=Console(stderr=True), transient=True)
