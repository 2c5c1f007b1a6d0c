"""A command in a process of its own, which starts within milliseconds: a copy (fork) of this one, libraries loaded."""

from __future__ import annotations

import mmap
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MOST = 90.0
"""Seconds after which a command hangs; the longest of them takes a few."""

CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.chmod", "os.link", "os.symlink")
"""Events (PEP 578) before something changes in a folder, apart from the opening of a file to write to it."""


@dataclass
class Process:
    """A running command; it leads a session, as one that a batch system has started."""

    number: int
    said_in: Path

    def kill(self, with_children: bool) -> None:
        """SIGKILL, to it alone, as the kernel does that lacks memory, or to all that it has started as well."""
        (os.killpg if with_children else os.kill)(self.number, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit code, -9 if it was killed, 124 if it hung."""
        end = time.monotonic() + MOST
        while time.monotonic() < end:
            number, status = os.waitpid(self.number, os.WNOHANG)
            if number:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        self.kill(with_children=True)
        os.waitpid(self.number, 0)
        return 124

    @property
    def said(self) -> str:
        return self.said_in.read_text(errors="replace")


def start(words: str, folder: Path, said_in: Path, first: Callable[[], None] | None = None) -> Process:
    """Run `reprolib WORDS` in a folder.

    Args:
        first: is called in the new process before the command.
    """
    number = os.fork()
    if number:
        return Process(number, said_in)
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        out = os.open(said_in, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        from reprolib.commands import main, streams

        streams.install()
        if first is not None:
            first()
        code = main.run(words.split())
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code)


class Operations:
    """Counts what a command, with its children, does to files; kills it just before one of them."""

    def __init__(self, kill_before: int | None = None, with_children: bool = False):
        self.kill_before, self.with_children = kill_before, with_children
        self.count = mmap.mmap(-1, 8)  # shared with the processes that are copied from this one

    @property
    def done(self) -> int:
        return int.from_bytes(self.count[:8], "little")

    def watch(self) -> None:
        """To be called in the process of the command."""
        leader = os.getpid()

        def hook(event: str, about: tuple[object, ...]) -> None:
            if event not in CHANGES and not (event == "open" and _writes(about)):
                return
            self.count[:8] = (self.done + 1).to_bytes(8, "little")
            if self.done == self.kill_before:
                (os.killpg if self.with_children else os.kill)(leader, signal.SIGKILL)

        sys.addaudithook(hook)


def _writes(about: tuple[object, ...]) -> bool:
    return isinstance(about[2], int) and bool(about[2] & (os.O_WRONLY | os.O_RDWR)) and \
        not str(about[0]).startswith("/dev/")
