"""What a person reads when a command fails: one line, whatever the reason."""

from __future__ import annotations

import errno
import os
import tempfile
import traceback
from datetime import datetime
from pathlib import Path

from reprolib.errors import UserError, printable

USER, INTERNAL, INTERRUPTED = 2, 1, 130
"""Exit codes."""

MEMORY = ("not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory", "memoryerror")
"""What allocators say, in small letters."""

FOLDER = Path("runs/errors")


def explain(error: BaseException) -> tuple[str, int]:
    """One line for an error, and the exit code; what nobody expected is kept whole in a file."""
    if isinstance(error, UserError):
        return one_line(error), USER
    if isinstance(error, KeyboardInterrupt):
        return "stopped; what is written stays, and a training goes on with `--resume`", INTERRUPTED
    if is_memory(error):
        return ("out of memory: lower --batch, --crop or --jobs, or give smaller pictures; "
                "what was saved goes on with --resume"), USER
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        place = error.filename or os.getcwd()
        return f"the disk is full ({place}): free some space and run the same command again", USER
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror} ({printable(os.fsdecode(error.filename))}): check this path", USER
    if isinstance(error, FileNotFoundError) and not _is_somewhere():
        return "the current folder is gone: change to one that exists", USER
    return f"internal error, {type(error).__name__}: {one_line(error)[:200]}; {_kept(error)}", INTERNAL


def _is_somewhere() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def one_line(error: BaseException) -> str:
    """An error's words without line ends."""
    return " ".join(str(error).split())


def is_memory(error: BaseException) -> bool:
    """Whether memory has run out, on the host or on a device, here or in a process that worked for us."""
    if isinstance(error, MemoryError) or isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in MEMORY)


def _kept(error: BaseException) -> str:
    """Where the whole traceback is now."""
    text = "".join(traceback.format_exception(error))
    for folder in (FOLDER, Path(tempfile.gettempdir())):
        path = folder / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{os.getpid()}.txt"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError:
            continue
        return f"please report it with {path}"
    return "its traceback could not be written anywhere"
