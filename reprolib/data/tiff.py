"""The first page of a TIFF by tifffile and imagecodecs, for what Pillow cuts off, mixes up or refuses.

They hand out the numbers of the file, in every depth, compression and planar order; what colours these mean is said
here.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from reprolib.data.depth import sixteen_to_eight, to_eight
from reprolib.errors import UserError, printable

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

_ORIENTATION, _PROFILE = 274, 34675
"""Tags."""

_CHANNELS = {"MINISWHITE": 1, "MINISBLACK": 1, "PALETTE": 1, "RGB": 3, "SEPARATED": 4, "YCBCR": 3}
"""Samples a pixel without alpha, by the tag that says what they mean; YCbCr is RGB once it is decoded."""

_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
"""Pillow's names."""


@dataclass(frozen=True)
class Page:
    """A decoded page."""

    picture: Image.Image
    """8-bit grey, RGB or CMYK, without alpha, as it is stored (not upright)."""
    opacity_HW: np.ndarray | None
    """uint8, 255 is opaque; None where the page has no alpha."""
    orientation: int
    """1 to 8, as in EXIF."""
    profile: bytes | None
    """ICC."""
    count: int
    """Pages of the file."""


def is_tiff(path: Path) -> bool:
    """Whether a file begins as a TIFF or BigTIFF does."""
    with path.open("rb") as stream:
        return stream.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_cut_short(path: Path) -> bool:
    """Whether pixels of the first page would lie beyond the end of the file."""
    import tifffile

    try:
        with path.open("rb") as stream, tifffile.TiffFile(stream) as file:
            page, end = file.pages.first, path.stat().st_size
            return any(at + count > end for at, count in zip(page.dataoffsets, page.databytecounts, strict=True))
    except Exception:  # noqa: BLE001 - its directory is not whole
        return True


def first_page(path: Path) -> Page:
    """Decode the first page.

    Raises:
        UserError: floats, more than 16 bits in use, a volume, or colours that are none of grey, palette, RGB and CMYK.
        Exception: whatever tifffile and imagecodecs raise on a broken file.
    """
    import tifffile  # loaded, with the codecs, for such files only

    with path.open("rb") as stream, tifffile.TiffFile(stream) as file:
        page = _first(file)
        samples_HWS = _samples(page, path)
        eight_HWC, opacity_HW = _colours(page, samples_HWS, path)
        orientation = page.tags.valueof(_ORIENTATION, 1)
        return Page(
            Image.fromarray(np.ascontiguousarray(eight_HWC.squeeze(2) if eight_HWC.shape[2] == 1 else eight_HWC),
                        _MODES[eight_HWC.shape[2]]),
            opacity_HW, int(orientation) if orientation in range(1, 9) else 1, page.tags.valueof(_PROFILE),
            len(file.pages))


def samples(path: Path, pages: int) -> tuple[np.ndarray, int]:
    """All samples of the first page as uint8 HWS, whatever they mean, and its orientation; of a file that has exactly
    so many grey pages, one of each.

    Raises:
        UserError: as `first_page`.
        Exception: as `first_page`.
    """
    import tifffile

    with path.open("rb") as stream, tifffile.TiffFile(stream) as file:
        page = _first(file)
        samples_HWS = _samples(page, path)
        if samples_HWS.shape[2] == 1 and len(file.pages) == pages:
            samples_HWS = np.concatenate([_samples(file.pages[i].aspage(), path) for i in range(pages)], axis=2)
        orientation = page.tags.valueof(_ORIENTATION, 1)
        return _eight(page, samples_HWS, path), int(orientation) if orientation in range(1, 9) else 1


def _first(file: TiffFile) -> TiffPage:
    page = file.pages.first
    if page.imagewidth * page.imagelength > 2 * (Image.MAX_IMAGE_PIXELS or float("inf")):
        raise Image.DecompressionBombError  # Pillow's own limit
    return page


def _samples(page: TiffPage, path: Path) -> np.ndarray:
    """Numbers of the file, H, W, samples."""
    samples = page.asarray()
    if samples.ndim not in (2, 3) or page.axes not in ("YX", "YXS", "SYX"):
        raise UserError(f"a volume ({page.axes}: {'x'.join(map(str, samples.shape))}), not a picture", where=path,
                        fix="save one slice")
    if page.axes == "YX":
        return samples[..., None]
    return np.moveaxis(samples, 0, -1) if page.axes == "SYX" else samples


def _colours(page: TiffPage, samples_HWS: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """8-bit grey, RGB or CMYK, and alpha."""
    meaning = getattr(page.photometric, "name", str(page.photometric))
    if meaning not in _CHANNELS or samples_HWS.shape[2] < _CHANNELS[meaning]:
        raise UserError(f"a TIFF whose {samples_HWS.shape[2]} samples a pixel are {meaning}", where=path,
                        fix="save it as grey or RGB")
    channels = _CHANNELS[meaning]
    if meaning == "PALETTE":
        assert page.colormap is not None
        colours_HW3 = np.moveaxis(page.colormap[:, samples_HWS[..., 0]], 0, -1)
        eight_HWS = np.concatenate((colours_HW3 >> 8, samples_HWS[..., 1:]), axis=2).astype(np.uint8)  # as Pillow does
        channels = 3
    else:
        eight_HWS = _eight(page, samples_HWS, path)
    eight_HWC, opacity_HW = eight_HWS[..., :channels], None
    if page.extrasamples and page.extrasamples[0] in (1, 2):
        opacity_HW = eight_HWS[..., channels]
        if page.extrasamples[0] == 1:  # colours that were multiplied by alpha
            divided = eight_HWC.astype(np.int64) * 255 // np.maximum(opacity_HW, 1)[..., None]
            eight_HWC = np.where(opacity_HW[..., None] == 0, eight_HWC, divided.clip(0, 255)).astype(np.uint8)
    if left := eight_HWS.shape[2] - channels - (opacity_HW is not None):
        warnings.warn(printable(f"{path} has {left} channels beyond grey, RGB and alpha, which are left out"),
                      stacklevel=2)
    return (255 - eight_HWC if meaning == "MINISWHITE" else eight_HWC), opacity_HW


def _eight(page: TiffPage, samples_HWS: np.ndarray, path: Path) -> np.ndarray:
    """Numbers of 1 to 16 bits as 8; those of 32 bits are taken for 16, as in files of microscopes."""
    bits = page.bitspersample
    if samples_HWS.dtype.kind == "b":
        return samples_HWS.astype(np.uint8) * 255
    if bits <= 8 and samples_HWS.dtype.kind == "i":
        raise UserError("a picture of 8-bit numbers with a sign, whose white is not known", where=path,
                        fix="save it with 8 or 16 bits a channel, without a sign")
    if bits >= 16 or samples_HWS.dtype.kind != "u":
        return sixteen_to_eight(samples_HWS, path)
    return to_eight(samples_HWS, 2**bits - 1)
