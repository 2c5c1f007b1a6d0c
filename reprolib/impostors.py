"""Files that lie where another file is meant to: a pointer of Git LFS, the web page of a download, an empty file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


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

_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"}


def impostor(path: Path) -> Impostor | None:
    """What stands in place of a picture or of weights, where that can be told from the file's first bytes."""
    with Path(path).open("rb") as stream:
        head = stream.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return Impostor("an empty file", "copy or download it again")
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC:
        return Impostor("a HEIC photo, which cannot be decoded here", "save it as JPEG or PNG")
    if head.startswith((b"<?xml", b"<!--")):
        head = next((mark for mark in (b"<svg", b"<html", b"<!doctype html") if mark in head), head)
    return next((known for start, known in _BEGINNINGS.items() if head.startswith(start)), None)
