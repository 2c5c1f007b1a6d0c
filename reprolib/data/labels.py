"""Label maps as Cityscapes paints them: the 19 classes that are trained and scored, their colours, and back.

Order, names and colours are those of Cityscapes' own label table (Cordts et al., CVPR 2016), sorted by trainId.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

VOID = 255
"""Label of what is neither trained nor scored."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}

CLASSES = tuple(COLOURS)
"""Names by trainId."""

PALETTE = np.array(list(COLOURS.values()), np.uint8)
"""RGB by trainId, uint8 (19, 3)."""

VOID_COLOURS = np.array([
    (0, 0, 0),  # unlabelled, ego vehicle, rectification border, out of region, static
    (111, 74, 0),  # dynamic
    (81, 0, 81),  # ground
    (250, 170, 160),  # parking
    (230, 150, 140),  # rail track
    (180, 165, 180),  # guard rail
    (150, 100, 100),  # bridge
    (150, 120, 90),  # tunnel
    (0, 0, 90),  # caravan
    (0, 0, 110),  # trailer
], np.uint8)
"""Colours of classes that are not scored. Two of those share a scored colour and cannot be told from it: number plates
(car) and pole groups (pole)."""

FARTHEST = 48.0
"""Distance in RGB beyond which a colour is none of the palette's."""

NEARLY = 0.75
"""A pixel whose nearest colour is more than this share as far as the nearest of another label could be either."""

GREY = 2
"""By so much may the channels of a grey picture differ, and a grey of the palette from that of a map."""


def decode(image_HW3: np.ndarray) -> tuple[np.ndarray, int]:
    """Labels of a painted map by the nearest colour (Euclidean in RGB), and how many pixels are ambiguous.

    Maps that were saved as JPEG or resized hold colours between those of the palette. Such a pixel still gets the
    nearest label, but counts as ambiguous if its colour is farther than `FARTHEST` from all, or more than `NEARLY` as
    far from the nearest as from the nearest one of another label.

    Args:
        image_HW3: uint8 RGB.

    Returns:
        uint8 HW, trainIds 0 to 18 and `VOID`; and the number of ambiguous pixels.
    """
    red, green, blue = (image_HW3[..., c].astype(np.int32) for c in range(3))
    colours, index, counts = np.unique(red << 16 | green << 8 | blue, return_inverse=True, return_counts=True)
    to_label = _distances(np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1))
    nearest, second = np.partition(to_label, 1, axis=1)[:, :2].T
    ambiguous = int(counts[(nearest > FARTHEST) | (nearest > NEARLY * second)].sum())
    labels = np.append(np.arange(len(CLASSES)), VOID).astype(np.uint8)[to_label.argmin(axis=1)]
    return labels[index.reshape(image_HW3.shape[:2])], ambiguous


def share_of_no_colour(image_HW3: np.ndarray) -> float:
    """Share of the pixels that have no colour of the palette: about 0.03 for a map saved as JPEG, 0.2 for a photo.

    A colour is none of the palette's from `FARTHEST` on. In a grey picture it is so at once beside black and the greys
    of buildings and poles: class numbers painted as grey values would all count as black otherwise.

    Args:
        image_HW3: uint8 RGB.
    """
    image = image_HW3.reshape(-1, 3).astype(np.int32)
    if np.ptp(image, axis=1).max() <= GREY:
        known = np.concatenate([PALETTE, VOID_COLOURS]).astype(np.int32)
        greys = known[np.ptp(known, axis=1) == 0, 0]
        return float((np.abs(image[:, :1] - greys).min(axis=1) > GREY).mean())
    return float((_distances(image).min(axis=1) > FARTHEST).mean())


def _distances(colours_N3: np.ndarray) -> np.ndarray:
    """Distance of each colour to the 19 classes and, last, to the nearest void colour; (N, 20)."""
    known = np.concatenate([PALETTE, VOID_COLOURS]).astype(np.int32)
    squared = (colours_N3**2).sum(1)[:, None] - 2 * colours_N3 @ known.T + (known**2).sum(1)  # exact in integers
    void = squared[:, len(CLASSES) :].min(axis=1)
    return np.sqrt(np.column_stack([squared[:, : len(CLASSES)], void]))


def encode(label_HW: np.ndarray) -> np.ndarray:
    """Paint a label map; void is black.

    Args:
        label_HW: trainIds 0 to 18 and `VOID`.

    Returns:
        uint8 RGB, HW3.

    Raises:
        ValueError: another number.
    """
    return paint(label_HW, {**dict(enumerate(PALETTE)), VOID: VOID_COLOURS[0]}, "trainId")


def paint(numbers_HW: np.ndarray, colours: Mapping[int, Sequence[int] | np.ndarray], what: str) -> np.ndarray:
    """The colour of each number of a map.

    Args:
        numbers_HW: whole numbers from 0 to 255.
        colours: RGB of every number that there may be.
        what: they number, for the error.

    Returns:
        uint8 RGB, HW3.

    Raises:
        ValueError: another number.
    """
    strange = np.setdiff1d(numbers_HW, list(colours))
    if strange.size:
        raise ValueError(f"{strange[0]} is no {what}")
    table = np.zeros((256, 3), np.uint8)
    table[list(colours)] = list(colours.values())
    return table[numbers_HW]
