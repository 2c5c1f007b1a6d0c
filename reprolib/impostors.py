"""Files that lie where another file is meant to: a pointer of Git LFS, the page of a download, an archive, nothing."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile


class Impostor(NamedTuple):
    """What a file is instead, and what to do about it."""

    what: str
    fix: str


_WEB_PAGE = Impostor("a web page", "download the file behind the page's link")

_BEGINNINGS = {
    b"version https://git-lfs": Impostor("a Git LFS pointer", "run `git lfs pull`"),
    b"<!doctype html": _WEB_PAGE,
    b"<html": _WEB_PAGE,
    b"<svg": Impostor("a vector drawing (SVG)", "export it as PNG"),
    b"%pdf": Impostor("a PDF document", "export its pictures as PNG"),
}
"""How such a file begins, in lower case."""

_ARCHIVES = {b"PK\3\4": "ZIP", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"7z\xbc\xaf'\x1c": "7z",
             b"Rar!\x1a": "RAR", b"\x28\xb5\x2f\xfd": "zstd"}
"""How an archive begins."""

_UNPACK = "unpack it, and give the file that is in it"

_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"}


def impostor(path: Path) -> Impostor | None:
    """What stands in place of a picture or of weights, where that can be told from the file's first bytes."""
    with Path(path).open("rb") as stream:
        start = stream.read(1024)
    if archive := _archive(Path(path), start):
        return archive
    head = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return Impostor("an empty file", "copy or download it again")
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC:
        return Impostor("a HEIC photo, which cannot be decoded here", "save it as JPEG or PNG")
    if head.startswith((b"<?xml", b"<!--")):
        head = next((mark for mark in (b"<svg", b"<html", b"<!doctype html") if mark in head), head)
    return next((known for start, known in _BEGINNINGS.items() if head.startswith(start)), None)


def _archive(path: Path, start: bytes) -> Impostor | None:
    """An archive, of which torch's own, a ZIP around data.pkl, is none."""
    kind = next((kind for mark, kind in _ARCHIVES.items() if start.startswith(mark)), None)
    if kind is None and start[257:262] == b"ustar":
        kind = "tar"
    if kind != "ZIP":
        return None if kind is None else Impostor(f"an archive ({kind})", _UNPACK)
    try:
        with ZipFile(path) as file:
            names = file.namelist()
    except (BadZipFile, NotImplementedError, ValueError):  # cut short: whose it is cannot be told
        return None
    if any(name.endswith("data.pkl") for name in names):
        return None
    if not names:
        return Impostor("an empty archive (ZIP)", "copy or download it again")
    return Impostor(f"an archive (ZIP, with {names[0][:60]})", _UNPACK)
