"""Pictures in and out: any common format to 8-bit RGB, and PNG back."""

from __future__ import annotations

import hashlib
import re
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from reprolib.errors import UserError
from reprolib.files import write_atomically

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}

_DECODING = (OSError, SyntaxError, ValueError, EOFError, IndexError, RuntimeError, struct.error, zlib.error)
"""What decoders raise on broken files."""

_BITS_PER_SAMPLE = 258
"""TIFF tag."""


def read_rgb(path: Path) -> np.ndarray:
    """Read a picture as uint8 RGB, HW3.

    Greyscale is repeated in the three channels, palettes are resolved, transparency is dropped (the colours under it
    are kept, nothing is blended), 16 bits are rounded to 8. EXIF orientation is not applied: the pixels are those of
    the file, as in the benchmarks, so that a pair stays a pair whatever a camera wrote beside one of the two.

    Raises:
        UserError: no such file, no permission, not an image, a truncated one, or one with other values than 8 or 16
            bits a channel.
    """
    path = Path(path)
    with _opened(path) as image:
        image.load()
        if image.mode.startswith(("I", "F")):
            return _from_grey(np.asarray(image), image.mode, path)
        if _is_deep_colour(image, path):
            return _to_eight(_read_deep_colour(path, image.format))
        return np.array(image.convert("RGB"))


def read_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture, from its header alone.

    Raises:
        UserError: as `read_rgb`.
    """
    with _opened(Path(path)) as image:
        return image.size


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An open picture; whatever goes wrong with it is told as a UserError."""
    if not path.is_file():
        raise UserError("no such picture", where=path, fix="check the path")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # large pictures are welcome, and faults are told below
            with Image.open(path) as image:
                yield image
    except UnidentifiedImageError as error:
        raise UserError("not a picture", where=path, fix="expected PNG, JPEG, BMP, WebP or TIFF") from error
    except Image.DecompressionBombError as error:
        raise UserError("a picture too large to be meant", where=path, fix="cut it into smaller ones") from error
    except PermissionError as error:
        raise UserError("no permission to read this picture", where=path, fix="change its permissions") from error
    except _DECODING as error:
        raise UserError("a picture that cannot be decoded, most likely truncated", where=path,
                        fix="copy or download it again") from error


def _from_grey(grey_HW: np.ndarray, mode: str, path: Path) -> np.ndarray:
    """16-bit greyscale; Pillow calls it 'I;16', and some files 'I' (32 bits wide, with 16 in use)."""
    if mode.startswith("F") or grey_HW.min() < 0 or grey_HW.max() > 65535:
        raise UserError("a picture with values outside 16 bits", where=path, fix="save it with 8 or 16 bits a channel")
    return np.repeat(_to_eight(grey_HW)[..., None], 3, axis=2)


def _is_deep_colour(image: Image.Image, path: Path) -> bool:
    """Whether the file has 16 bits a channel, of which Pillow keeps the high byte only without saying so."""
    if image.format == "PNG":
        with path.open("rb") as stream:
            return stream.read(25)[24] == 16  # the bit depth in the header chunk
    if image.format == "TIFF":
        return 16 in image.tag_v2.get(_BITS_PER_SAMPLE, ())  # type: ignore[attr-defined]
    return False


def _read_deep_colour(path: Path, kind: str | None) -> np.ndarray:
    """uint16 HW3 of a 16-bit colour file."""
    if kind == "PNG":
        from torchvision.io import ImageReadMode, read_image  # keeps 16 bits; loaded for such files only

        deep_HWC = read_image(str(path), ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy()
        if deep_HWC.shape[2] == 2:  # greyscale with transparency
            deep_HWC = np.repeat(deep_HWC[..., :1], 3, axis=2)
        return deep_HWC[..., :3]
    import tifffile  # comes with scikit-image

    return tifffile.imread(path)[..., :3]


def _to_eight(deep: np.ndarray) -> np.ndarray:
    """16 bits to 8, rounded: 65535 is 257 * 255."""
    return ((deep.astype(np.uint32) + 128) // 257).astype(np.uint8)


def write_png(path: Path, image_HW3: np.ndarray) -> None:
    """Write uint8 RGB as PNG, atomically; the same pixels give the same bytes.

    Raises:
        UserError: the disk is full or the place cannot be written.
    """
    assert image_HW3.dtype == np.uint8 and image_HW3.shape[2:] == (3,), (image_HW3.dtype, image_HW3.shape)
    write_atomically(Path(path), lambda s: Image.fromarray(image_HW3).save(s, format="PNG", compress_level=1))


def list_images(folder: Path) -> list[Path]:
    """Pictures of a folder in natural order (2 before 10).

    Raises:
        UserError: no such folder, or none in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError("no such folder", where=folder, fix="check the path")
    found = sorted((p for p in folder.iterdir() if _is_named_like_a_picture(p)), key=natural)
    if not found:
        raise UserError("no pictures here", where=folder, fix=f"expected files ending in {', '.join(sorted(SUFFIXES))}")
    return found


def _is_named_like_a_picture(path: Path) -> bool:
    """Hidden files are not meant: macOS leaves '._1400.png' beside 1400.png."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def natural(path: Path) -> list[tuple[int, int, str]]:
    """Sort key that orders numbers by value, and before letters."""
    parts = [part for part in re.split(r"(\d+)", path.name) if part]
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]


def pixel_hash(named: Iterable[tuple[str, np.ndarray]]) -> str:
    """SHA-256 (its first 16 digits) over names, shapes and decoded pixels.

    JPEG decoders differ, so the bytes of the files do not fix a test set; its pixels do.
    """
    digest = hashlib.sha256()
    for name, array in named:
        digest.update(f"{name} {array.shape} {array.dtype}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
