"""How RESIDE made its indoor pictures: haze over a clear picture J whose depth d is known.

    I = J t + A (1 - t),    t = exp(-beta d / max d)

(Li et al., TIP 2019, equations 1 and 2.) The depth is divided by the largest depth *of the same picture*, so beta is no
scattering per metre: the farthest point of every picture of one beta has the same transmission. The model is applied
to 8-bit sRGB values.

Verified, on the published files:
    SOTS indoor, all 500 pictures: A = 1, beta = 0.6, 0.7, ..., 1.5 in versions 1 to 10, and one 8-bit depth picture a
    scene (255 is the farthest) give every pixel of every picture, rounded to the nearest grey level.
    ITS, 15 files: scene n is picture n of the labelled part of NYU Depth V2, 1 to 1399 in ITS, 1400 to 1449 in SOTS;
    10 pixels are cut off each side.
    ITS, 12 files: the last number of a file's name is A. With beta fitted, the published clear pictures give the
    published hazy ones at 55.8 to 57.8 dB (rounding alone costs 58.9 dB). The fitted beta lie between 0.89 and 1.50.

Assumed, since so few files cannot show it: A is uniform in [0.7, 1.0] and beta in [0.6, 1.8], the ranges as published;
and the largest depth of a picture of ITS is that of the picture after the cut, as it is in SOTS.
"""

from __future__ import annotations

import numpy as np

from reprolib.data.haze import Haze
from reprolib.errors import UserError

BORDER = 10
"""Pixels that RESIDE cut off each side of NYU's 640x480."""

TRAINING, TEST = range(1, 1400), range(1400, 1450)
"""Scenes of ITS and of SOTS indoor, as numbers of NYU's labelled pictures."""

VERSIONS = range(1, 11)
"""Hazy pictures of a scene, in ITS as in SOTS."""

ITS = Haze(beta=(0.6, 1.8), light=(0.7, 1.0))
"""Ranges of beta and of the airlight A in ITS, as published."""


def sots_beta(version: int) -> float:
    """beta of version 1 to 10 of a SOTS indoor scene: 0.6 to 1.5."""
    return (version + 5) / 10


def relative(depth_HW: np.ndarray) -> np.ndarray:
    """d / max d of a whole picture, in any unit of depth; float64 in (0, 1].

    Raises:
        UserError: a depth that is negative or not finite, or nothing farther than 0.
    """
    depth_HW = depth_HW.astype(np.float64)
    farthest = depth_HW.max()
    if not (np.isfinite(farthest) and farthest > 0 and depth_HW.min() >= 0):
        raise UserError(f"depths from {depth_HW.min():g} to {farthest:g}, which is none of a picture",
                        fix="get the depth picture again")
    return depth_HW / farthest


def hazy(clear_HW3: np.ndarray, relative_HW: np.ndarray, beta: float | np.ndarray, light: float) -> np.ndarray:
    """I = J t + A (1 - t), rounded to 8 bits.

    Args:
        clear_HW3: J, uint8 RGB.
        relative_HW: d / max d in [0, 1].
        beta: of the picture, or of each pixel (HW).
        light: A in [0, 1].

    Returns:
        I, uint8 RGB.
    """
    t_HW1 = np.exp(-beta * relative_HW)[..., None]
    return np.floor(clear_HW3 * t_HW1 + 255 * light * (1 - t_HW1) + 0.5).astype(np.uint8)


def sots_hazy(clear_HW3: np.ndarray, depth_HW: np.ndarray, version: int) -> np.ndarray:
    """Version 1 to 10 of a SOTS indoor scene, exactly as published, from its clear picture and its 8-bit depth."""
    return hazy(clear_HW3, depth_HW / 255.0, sots_beta(version), 1.0)
