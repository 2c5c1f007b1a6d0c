"""Standard output and error that never end a command.

A terminal may be closed, a reader like `head` may leave, the disk under a log may be full, and a locale may lack the
letters of a file's name: none of this is worth a training. What cannot be written is dropped, and remembered, so that a
command whose result is what it prints can say so.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import warnings
from typing import TextIO


class Lenient(io.FileIO):
    """A file that takes everything; `fault` is why it has stopped writing."""

    fault: OSError | None = None

    def write(self, content: object, /) -> int:
        if self.fault is None:
            try:
                return super().write(content)  # type: ignore[arg-type]
            except OSError as error:
                self.fault = error
        return memoryview(content).nbytes  # type: ignore[arg-type]


def install() -> None:
    """Make this process's streams lenient, in their own encoding; characters that it lacks become '?'.

    A terminal that closes sends SIGHUP before that, which would end the process.
    """
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.stdout, sys.stderr = _lenient(sys.stdout), _lenient(sys.stderr)
    warnings.showwarning = _show
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # a broken file is told in our own line
    sys.unraisablehook = _drop


def lost(stream: TextIO | None = None) -> OSError | None:
    """Why a stream, by default stdout, has dropped something; None if it has not."""
    stream = sys.stdout if stream is None else stream
    stream.flush()
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.fault if isinstance(raw, Lenient) else None


def _show(message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None,
          line: str | None = None) -> None:
    """What we warn people of in one line; what is meant for programmers as always."""
    if category is UserWarning:
        print(f"note: {message}", file=file or sys.stderr)
    else:
        print(warnings.formatwarning(message, category, filename, lineno, line), end="", file=file or sys.stderr)


def _drop(_: sys.UnraisableHookArgs) -> None:
    """What fails while an object is taken down comes of an error that is told in one line, and would print many."""


def _lenient(stream: TextIO | None) -> TextIO:
    try:
        number = stream.fileno() if stream is not None else None
    except (OSError, ValueError, AttributeError):  # a test's, or a notebook's
        assert stream is not None
        return stream
    if stream is None or number is None:  # closed by whoever started us
        return open(os.devnull, "w", encoding="utf-8", errors="replace")
    if isinstance(getattr(getattr(stream, "buffer", None), "raw", None), Lenient):
        return stream
    stream.flush()
    raw = Lenient(number, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=stream.encoding, errors="replace",
                            line_buffering=bool(stream.line_buffering), write_through=stream is sys.stderr)
