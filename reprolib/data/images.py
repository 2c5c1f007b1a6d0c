"""Pictures in and out: any common format to 8-bit RGB, and back; and which files of a folder are pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
from natsort import natsorted
from PIL import Image

from reprolib.data import decoding
from reprolib.errors import UserError, printable
from reprolib.files import write_atomically

_NOT_DECODED = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF", "EPS", "FITS"}
"""Formats that Pillow recognises, and decodes with another program's help, if at all; FITS holds measurements."""

_OPENED_AS_JPEG = "MPO"
"""JPEGs of several views (phones, stereo cameras), for which Pillow has no reader of their own."""

_CLUTTER = {"thumbs.db", "desktop.ini"}
"""Files that Windows leaves in folders of pictures, as macOS leaves hidden ones."""

_JPEG_QUALITY = 95


def read_rgb(path: Path) -> np.ndarray:
    """Read a picture as uint8 RGB, HW3: the numbers of the file, as benchmarks are read.

    The picture stands upright (EXIF orientation is applied). Greyscale is repeated in the three channels, palettes are
    resolved, transparency is dropped (the colours under it are kept, nothing is blended), 16 bits are rounded to 8.
    Colour profiles are left out: see `read_photo`. Of a file with several pictures the first is read, with a warning.

    Raises:
        UserError: no such file, no permission, not an image, a truncated one, or one with other values than 1 to 16
            bits a channel.
    """
    return decoding.decode(Path(path))


def read_photo(path: Path, alpha: bool = False) -> np.ndarray:
    """Read anybody's photo as uint8 sRGB, HW3: as `read_rgb`, and the file's colour profile is converted to sRGB.

    Args:
        alpha: return HW4 where the picture has transparency; 255 is opaque.

    Raises:
        UserError: as `read_rgb`.
    """
    return decoding.decode(Path(path), to_srgb=True, alpha=alpha)


def read_size(path: Path) -> tuple[int, int]:
    """Width and height of the upright picture, from its header alone.

    Raises:
        UserError: as `read_rgb`.
    """
    return decoding.size(Path(path))


def write_png(path: Path, image_HWC: np.ndarray) -> None:
    """Write uint8 grey, RGB or RGBA as PNG, atomically; the same pixels give the same bytes.

    Raises:
        UserError: the disk is full or the place cannot be written.
    """
    _write(path, image_HWC, "PNG", compress_level=1)


def write_image(path: Path, image_HWC: np.ndarray) -> None:
    """Write uint8 HWC in the format of the name's ending, atomically; JPEG and BMP drop transparency.

    Other channels than grey, RGB and RGBA are for TIFF alone.

    Raises:
        UserError: an ending that is not in `WRITTEN`, a full disk, or a place that cannot be written.
    """
    kind = WRITTEN.get(Path(path).suffix.lower())
    if kind is None:
        raise UserError("pictures are not written in this format", where=path,
                        fix=f"choose an ending of {', '.join(sorted(WRITTEN))}")
    if image_HWC.shape[2] not in (1, 3, 4):
        assert kind == "TIFF", kind
        write_atomically(Path(path), lambda stream: _write_samples(stream, image_HWC))
    elif kind == "PNG":
        write_png(path, image_HWC)
    elif kind in ("JPEG", "BMP"):
        _write(path, image_HWC[..., :3], kind, quality=_JPEG_QUALITY)
    else:
        _write(path, image_HWC, kind, **({"lossless": True} if kind == "WEBP" else {"compression": "tiff_deflate"}))


WRITTEN = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".webp": "WEBP",
           ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
"""Formats of pictures that are written, by the ending of their names; all but JPEG without loss."""


def _write(path: Path, image_HWC: np.ndarray, kind: str, **options: int | str) -> None:
    assert image_HWC.dtype == np.uint8 and image_HWC.shape[2:] in ((1,), (3,), (4,)), image_HWC.shape
    stored = image_HWC[..., 0] if image_HWC.shape[2] == 1 else image_HWC
    picture = Image.fromarray(np.ascontiguousarray(stored))
    write_atomically(Path(path), lambda stream: picture.save(stream, format=kind, **options))


def _write_samples(stream: IO[bytes], image_HWC: np.ndarray) -> None:
    import tifffile  # Pillow writes no such pictures

    tifffile.imwrite(stream, image_HWC, photometric="minisblack", planarconfig="contig", compression="deflate",
                     metadata=None)


@dataclass(frozen=True)
class Listing:
    """What a folder holds."""

    pictures: list[Path] = field(default_factory=list)
    """In natural order (2 before 10)."""
    left_out: list[Path] = field(default_factory=list)
    """Files that are no pictures by their names, and folders that were not entered; nothing hidden."""

    def note(self) -> str | None:
        """One line on what was left out, for people; None if nothing was."""
        if not self.left_out:
            return None
        names = ", ".join(path.name for path in self.left_out[:3]) + (", ..." if len(self.left_out) > 3 else "")
        many = "1 entry that is no picture" if len(self.left_out) == 1 else f"{len(self.left_out)} that are no pictures"
        return printable(f"left out: {many} ({names})")


def survey(folder: Path, subfolders: bool = False) -> Listing:
    """Pictures of a folder by their names, and what was left out; hidden files are neither.

    macOS leaves '._1400.png' and '.DS_Store' beside 1400.png.

    Args:
        subfolders: look into them too; links to folders and hidden ones are not followed.

    Raises:
        UserError: no such folder, no permission to list it, or no pictures in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError("no such folder", where=folder, fix="check the path")
    pictures: list[Path] = []
    left_out: list[Path] = []
    try:
        _survey(folder, subfolders, pictures, left_out)
    except PermissionError as error:
        raise UserError("no permission to list this folder", where=error.filename,
                        fix="change its permissions") from error
    listing = Listing(pictures, left_out)
    if not pictures:
        note = listing.note()
        raise UserError("no pictures here" + (f"; {note}" if note else ""), where=folder,
                        fix="expected files ending in .png, .jpg or as another format that Pillow reads")
    return listing


def _survey(folder: Path, subfolders: bool, pictures: list[Path], left_out: list[Path]) -> None:
    with os.scandir(folder) as found:
        entries = [e for e in found if not e.name.startswith(".") and e.name.lower() not in _CLUTTER]
    # Names that differ in leading zeros only are equal to natsort: sorted before, their order is the same everywhere.
    for entry in natsorted(sorted(entries, key=lambda e: e.name), key=lambda e: e.name):
        path = folder / entry.name
        if entry.is_dir() and subfolders and not entry.is_symlink():
            _survey(path, subfolders, pictures, left_out)
        elif not entry.is_dir() and path.suffix.lower() in suffixes():
            pictures.append(path)
        else:
            left_out.append(path)


def list_images(folder: Path) -> list[Path]:
    """Pictures of a folder in natural order (2 before 10).

    Raises:
        UserError: as `survey`, which also says what it leaves out.
    """
    return survey(folder).pictures


@cache
def suffixes() -> frozenset[str]:
    """Endings, in lower case, of the picture formats that Pillow decodes by itself."""
    Image.init()
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items()
                     if kind in {*Image.OPEN, _OPENED_AS_JPEG} - _NOT_DECODED)


def pixel_hash(named: Iterable[tuple[str, np.ndarray]]) -> str:
    """SHA-256 (its first 16 digits) over names, shapes and decoded pixels.

    JPEG decoders differ, so the bytes of the files do not fix a test set; its pixels do.
    """
    digest = hashlib.sha256()
    for name, array in named:
        digest.update(f"{name} {array.shape} {array.dtype}\n".encode(errors="surrogateescape"))
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
