"""One process at a time trains or measures a run."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from reprolib.errors import UserError
from reprolib.files import WRITE_ADVICE

AFTERLIFE = 60
"""Seconds within which the processes that loaded batches for a killed one end, and let go of its lock: they look every
five, but on a machine with ten times as many processes as cores 15 were not enough."""


@contextmanager
def alone(folder: Path, run: str) -> Iterator[None]:
    """Hold a run's folder; the kernel lets go of it when this process dies.

    Raises:
        UserError: another process holds it, and which; or the folder cannot be written.
    """
    holder = folder / "lock.holder"
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / "lock")
            try:
                held.enter_context(lock.acquire(timeout=0))
            except Timeout:
                if _alive(_read(holder)):
                    raise
                held.enter_context(lock.acquire(timeout=AFTERLIFE))
            holder.write_text(f"{os.getpid()} {socket.gethostname()}\n", encoding="utf-8")
        except Timeout as error:
            pid, host = _read(holder)
            who = f"process {pid} on {host}" if pid else "another process"
            raise UserError(f"{who} is at work on '{run}'", where=folder, fix="wait for it, or stop it") from error
        except OSError as error:
            raise UserError(f"cannot write: {error.strerror}", where=folder,
                            fix=WRITE_ADVICE.get(error.errno or 0, "choose another folder")) from error
        held.callback(_forget, holder)
        yield


def is_held(folder: Path) -> bool:
    """Whether a process is at work on the run of this folder, as far as its name there tells; nothing is locked."""
    who = _read(folder / "lock.holder")
    return who[0] != 0 and _alive(who)


def _read(holder: Path) -> tuple[int, str]:
    """Process and machine; 0 if it is not known."""
    try:
        pid, host = holder.read_text(encoding="utf-8").split()
        return int(pid), host
    except (OSError, ValueError):
        return 0, ""


def _alive(who: tuple[int, str]) -> bool:
    """Whether a process runs; those on other machines count as running."""
    pid, host = who
    if not pid or host != socket.gethostname():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs, and is somebody else's
        pass
    return True


def _forget(holder: Path) -> None:
    with suppress(OSError):
        holder.unlink()
