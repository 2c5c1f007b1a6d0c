"""Pictures of as many channels as a network takes: grey, RGB, or all that a file holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from reprolib.data import decoding
from reprolib.data.images import read_photo, read_rgb
from reprolib.errors import UserError

GREY, RGB = 1, 3
"""Channels that every picture can be shown in."""


def read_channels(path: Path, channels: int, photo: bool = False, alpha: bool = False) -> np.ndarray:
    """Read a picture as uint8 HWC of that many channels.

    1 is the luma of the RGB picture (ITU-R BT.601, as the released codes of CycleGAN and CUT make grey of colour), 3 is
    RGB; of any other number a file has exactly as many: a TIFF whatever they mean, other formats colours and alpha.

    Args:
        photo: convert colours to sRGB, as `read_photo`.
        alpha: of a photo in grey or RGB, a further channel where the picture has transparency; 255 is opaque.

    Raises:
        UserError: as `read_rgb`, or a file of another number of channels.
    """
    if channels not in (GREY, RGB):
        return decoding.decode_channels(Path(path), channels)
    picture_HWC = read_photo(path, alpha) if photo else read_rgb(path)
    if channels == RGB:
        return picture_HWC
    luma_HW = np.asarray(Image.fromarray(np.ascontiguousarray(picture_HWC[..., :RGB])).convert("L"))
    return np.dstack((luma_HW, picture_HWC[..., RGB:]))


def as_rgb(picture_HWC: np.ndarray) -> np.ndarray:
    """Grey as RGB, HW3; RGB as it is.

    Raises:
        UserError: neither.
    """
    channels = picture_HWC.shape[2]
    if channels not in (GREY, RGB):
        raise UserError(f"pictures of {channels} channels cannot be scored: what compares pictures sees RGB",
                        fix="translate them with `reprolib translate`, and compare them by what they are for")
    return picture_HWC if channels == RGB else np.repeat(picture_HWC, RGB, axis=2)
