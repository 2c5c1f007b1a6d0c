"""Writing files so that a killed process or a full disk never leaves half of one."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from reprolib.errors import UserError

_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up: free some space and run the same command again",
    errno.EACCES: "no permission to write here: choose another folder or change its permissions",
    errno.EPERM: "no permission to write here: choose another folder or change its permissions",
    errno.EROFS: "this file system is read-only: choose another folder",
    errno.ENOTDIR: "part of this path is a file, not a folder: choose another folder",
    errno.EEXIST: "part of this path is a file, not a folder: choose another folder",
    errno.EISDIR: "this is a folder: name a file",
}


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then move it into place in one step.

    Raises:
        UserError: the disk is full or the place cannot be written; what was there before is untouched.
    """
    path, temporary = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=_prefix(path.name), delete=False) as stream:
            temporary = Path(stream.name)
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        if error.errno in _ADVICE:
            raise UserError("cannot write", where=path, fix=_ADVICE[error.errno]) from error
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _prefix(name: str) -> str:
    """How the temporary file is called, cut so that its random end fits: a name has 255 bytes at most."""
    return f".{os.fsencode(name)[:240].decode(errors='ignore')}."


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_atomically(path, lambda stream: stream.write(text.encode()))


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _umask() -> int:
    """The process's umask; temporary files are private by default, results should not be."""
    current = os.umask(0)
    os.umask(current)
    return current
