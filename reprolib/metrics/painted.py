"""How well photos are translated to label maps: painted maps held against the true ones, pixel by pixel.

As CycleGAN's paper does for photo to labels (Zhu et al., ICCV 2017, section 5.1.2): each pixel is of the class with the
nearest colour, and no network judges. The metrics of labels are functions of the confusion, as for photos.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reprolib.data.channels import as_rgb
from reprolib.data.labels import PALETTE, decode
from reprolib.errors import UserError
from reprolib.metrics.segmentation import Confusion

Picture = NDArray[np.uint8]


def nearest_class(image_HW3: Picture) -> Picture:
    """TrainIds 0 to 18 of a painted map by the nearest colour (Euclidean in RGB); void is no class to choose.

    Args:
        image_HW3: uint8 RGB.

    Returns:
        uint8 HW.
    """
    colours_N3, index = np.unique(image_HW3.reshape(-1, 3), axis=0, return_inverse=True)
    squared_NC = ((colours_N3[:, None].astype(np.int32) - PALETTE) ** 2).sum(axis=2)
    classes: Picture = squared_NC.argmin(axis=1).astype(np.uint8)
    return classes[index.reshape(image_HW3.shape[:2])]


def confusion_of_maps(maps: Sequence[Picture], truths: Sequence[Picture]) -> Confusion:
    """Confusion of painted maps, where the truth is not void.

    Args:
        maps: what was made of photos, uint8, RGB HW3 or grey HW1.
        truths: the true maps in the same order and sizes, uint8 RGB HW3.

    Raises:
        UserError: not as many truths as maps, none, or two of different sizes.
    """
    if len(maps) != len(truths) or not maps:
        raise UserError(f"{len(maps)} label maps against {len(truths)} true ones", fix="give one truth a map")
    confusion = Confusion()
    for painted, truth in zip(maps, truths, strict=True):
        labels, doubtful = decode(truth)
        confusion.add(labels, nearest_class(as_rgb(painted)), doubtful)
    return confusion
