"""Unpacking an archive of somebody else: whole or not at all, and nothing outside its folder."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from reprolib.errors import UserError
from reprolib.files import WRITE_ADVICE
from reprolib.progress import track

LITTER = ("__MACOSX", ".DS_Store", "Thumbs.db")
"""What file browsers leave in archives."""

ADVICE = "the file is not the original, or damaged: delete it and download it again"


@contextmanager
def unpacked(path: Path, beside: Path) -> Iterator[Path]:
    """The contents of a ZIP in a temporary folder, from which they may be moved away.

    Args:
        beside: folder that the temporary one is made in, on the disk where they are to lie.

    Yields:
        The folder in which something lies: single folders around everything are left behind.

    Raises:
        UserError: not a ZIP, damaged, encrypted, larger than the disk's free space; or an entry that is a link, has an
            absolute name or leads out of the folder. Nothing is left behind then.
    """
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=beside, prefix=".unpacking-", ignore_cleanup_errors=True) as name:
        folder = Path(name) / "contents"
        folder.mkdir()
        try:
            with zipfile.ZipFile(path) as archive:
                _extract(archive, path, folder)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:  # the last: a password
            raise UserError(f"cannot be unpacked: {error}", where=path, fix=ADVICE) from error
        except OSError as error:
            if error.errno in WRITE_ADVICE:
                raise UserError("cannot write", where=folder, fix=WRITE_ADVICE[error.errno]) from error
            raise
        yield _inside(folder)


def _extract(archive: zipfile.ZipFile, path: Path, folder: Path) -> None:
    members = [m for m in archive.infolist() if not any(part in LITTER for part in PurePosixPath(m.filename).parts)]
    for member in members:
        if fault := _fault(member):
            raise UserError(f"the archive holds {fault}", where=f"{path}, {member.filename!r}", fix=ADVICE)
    if len({m.filename for m in members}) < len(members):
        raise UserError("the archive holds two entries of one name", where=path, fix=ADVICE)
    size, free = sum(m.file_size for m in members), shutil.disk_usage(folder).free
    if size > free:
        raise UserError(f"{size:,} bytes when unpacked, and the disk has {free:,} left", where=folder,
                        fix="free some space and run the same command again")
    for member in track(members, f"unpacking {path.name}"):
        place = folder / member.filename
        if member.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, place.open("xb") as target:
            shutil.copyfileobj(source, target)


def _fault(member: zipfile.ZipInfo) -> str | None:
    """Why an entry is not unpacked, in words; None if nothing is wrong with it."""
    name = member.filename
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or PureWindowsPath(name).root:
        return "an absolute name"
    if ".." in PurePosixPath(name).parts or ".." in PureWindowsPath(name).parts:
        return "a name that leads out of the folder"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link" if kind == stat.S_IFLNK else "something that is neither a file nor a folder"
    return None


def _inside(folder: Path) -> Path:
    """Down through folders that hold one folder and nothing else."""
    while True:
        found = list(folder.iterdir())
        if len(found) != 1 or not found[0].is_dir():
            return folder
        folder = found[0]
