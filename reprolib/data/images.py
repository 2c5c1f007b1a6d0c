"""Pictures in and out: any common format to 8-bit RGB, and PNG back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from reprolib.errors import UserError
from reprolib.files import write_atomically

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}


def read_rgb(path: Path) -> np.ndarray:
    """Read a picture as uint8 RGB, HW3.

    Greyscale is repeated in the three channels, palettes are resolved, transparency is dropped, 16 bits are rounded
    to 8. EXIF orientation is not applied: the pixels are those of the file, as in the benchmarks.

    Raises:
        UserError: no such file, not an image, or a truncated one.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError("no such picture", where=path, fix="check the path")
    try:
        with Image.open(path) as image:
            image.load()
            if image.mode.startswith(("I", "F")):
                return _from_deep(np.asarray(image), path)
            if path.suffix.lower() in {".png", ".tif", ".tiff"} and image.mode in ("RGB", "RGBA"):
                deep = _deep_colour(path)
                if deep is not None:
                    return deep
            return np.array(image.convert("RGBA").convert("RGB") if image.mode == "P" else image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError("not a whole picture (truncated, or another kind of file)", where=path,
                        fix="copy or download it again") from error


def _from_deep(grey: np.ndarray, path: Path) -> np.ndarray:
    if grey.dtype.kind == "f" or grey.min() < 0 or grey.max() > 65535:
        raise UserError("a picture with values outside 16 bits", where=path, fix="save it with 8 or 16 bits a channel")
    return np.repeat(_to_eight(grey)[..., None], 3, axis=2)


def _deep_colour(path: Path) -> np.ndarray | None:
    """16-bit RGB(A), of which Pillow silently keeps the high byte only; None if the file has 8 bits."""
    head = path.read_bytes()[:32]
    if head[:4] == b"\x89PNG":
        if head[24] != 16:
            return None
        from torchvision.io import ImageReadMode, read_image  # keeps 16 bits; only loaded for such files

        return _to_eight(read_image(str(path), ImageReadMode.RGB).permute(1, 2, 0).numpy())
    import tifffile  # comes with scikit-image

    array = tifffile.imread(path)
    return _to_eight(array[..., :3]) if array.dtype == np.uint16 else None


def _to_eight(deep: np.ndarray) -> np.ndarray:
    """16 bits to 8, rounded: 65535 is 257 * 255."""
    return ((deep.astype(np.uint32) + 128) // 257).astype(np.uint8)


def write_png(path: Path, image_HW3: np.ndarray) -> None:
    """Write uint8 RGB as PNG, atomically."""
    write_atomically(Path(path), lambda s: Image.fromarray(image_HW3).save(s, format="PNG", compress_level=1))


def list_images(folder: Path) -> list[Path]:
    """Pictures of a folder in natural order (2 before 10).

    Raises:
        UserError: no such folder, or none in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError("no such folder", where=folder, fix="check the path")
    found = sorted((p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES), key=natural)
    if not found:
        raise UserError("no pictures here", where=folder, fix=f"expected files ending in {', '.join(sorted(SUFFIXES))}")
    return found


def natural(path: Path) -> list[tuple[int, str]]:
    """Sort key that orders numbers by value."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name) if part]


def pixel_hash(named: Iterable[tuple[str, np.ndarray]]) -> str:
    """SHA-256 over names, shapes and decoded pixels: JPEG decoders differ, so files alone do not fix a test set."""
    digest = hashlib.sha256()
    for name, array in named:
        digest.update(f"{name} {array.shape} {array.dtype}\n".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()[:16]
