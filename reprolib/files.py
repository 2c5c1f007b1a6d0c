"""Writing files so that a killed process or a full disk never leaves half of one."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from reprolib.errors import UserError

WRITE_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up: free some space and run the same command again",
    errno.EACCES: "no permission to write here: choose another folder or change its permissions",
    errno.EPERM: "no permission to write here: choose another folder or change its permissions",
    errno.EROFS: "this file system is read-only: choose another folder",
    errno.ENOTDIR: "part of this path is a file, not a folder: choose another folder",
    errno.EEXIST: "part of this path is a file, not a folder: choose another folder",
    errno.EISDIR: "this is a folder: name a file",
}

LEFT_OVER = re.compile(r"\..+\.[a-z0-9_]{8}")
"""Names of temporary files, whose ends `tempfile` draws; .dvcignore and .gitignore leave them out, too."""


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
    except (OSError, RuntimeError) as error:
        # torch.save covers what stopped it with a complaint of its own: a full disk, Ctrl-C, a cluster's signal.
        reason = error if isinstance(error, OSError) else error.__context__
        if isinstance(reason, KeyboardInterrupt | SystemExit):
            raise reason from None
        if isinstance(reason, OSError) and reason.errno in WRITE_ADVICE:
            raise UserError("cannot write", where=path, fix=WRITE_ADVICE[reason.errno]) from error
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def sweep(folder: Path, name: str = "*") -> None:
    """Remove what a killed process has left of files that it was writing into a folder; nobody may write them now.

    Args:
        name: of the files, as a pattern.
    """
    for path in folder.glob(f".{name}.*"):
        if LEFT_OVER.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


@contextmanager
def rewriting(path: Path) -> Iterator[None]:
    """A file that is read and written again: by nobody else meanwhile; what a killed process left of it goes."""
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        sweep(path.parent, path.name)
        yield


def _prefix(name: str) -> str:
    """How the temporary file is called, cut so that its random end fits: a name has 255 bytes at most."""
    return f".{os.fsencode(name)[:240].decode(errors='ignore')}."


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_atomically(path, lambda stream: stream.write(text.encode()))


def read_yaml(path: Path) -> dict[str, Any]:
    """A mapping out of a YAML file, by the rules of YAML 1.2, which DVC writes: `1:10` is text, `1e-05` a number.

    Raises:
        UserError: there is no such file, or it is no mapping.
    """
    content = _yaml(path)
    if not isinstance(content, dict):
        raise UserError("not a mapping", where=path, fix="write `key: value` lines")
    return content


def read_yaml_list(path: Path) -> list[Any]:
    """A list out of a YAML file, as `read_yaml` reads it.

    Raises:
        UserError: there is no such file, or it is no list.
    """
    content = _yaml(path)
    if not isinstance(content, list):
        raise UserError("not a list", where=path, fix="begin each entry with `- `")
    return content


def _yaml(path: Path) -> object:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content: object = YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError("no such file", where=path, fix="check the path") from error
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=path, fix="check its permissions") from error
    except (YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"not YAML: {reason}", where=path, fix="mend the line that it names") from error
    return content


def write_yaml(path: Path, content: dict[str, Any], comment: str = "") -> None:
    """Write a mapping as YAML 1.2, atomically, with a comment on top."""
    import io

    from ruamel.yaml import YAML

    text, yaml = io.StringIO(), YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(content, text)
    write_text(path, f"# {comment}\n{text.getvalue()}" if comment else text.getvalue())


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _umask() -> int:
    """The process's umask; temporary files are private by default, results should not be."""
    current = os.umask(0)
    os.umask(current)
    return current
