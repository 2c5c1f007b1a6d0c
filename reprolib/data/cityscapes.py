"""Cityscapes as pix2pix lays it out, photo left and painted label map right, 256x256 each, out of other forms of it.

`reprolib data make cityscapes` reads the release itself (leftImg8bit/ and gtFine/, whose label ids are painted in the
colours of Cityscapes' own table) or CycleGAN's form (trainA/ with photos, trainB/ with painted maps). Photos are
resized bicubically, maps to the nearest pixel, so that no colour is made up; the papers do not say how theirs were. The
release's own test photos have no public maps, and its validation split is what everyone tests on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from natsort import natsorted
from numpy.typing import NDArray
from PIL import Image

from reprolib.data.images import list_images, read_rgb, write_png
from reprolib.data.labels import COLOURS, PALETTE, VOID_COLOURS, paint
from reprolib.data.make import begin
from reprolib.errors import UserError
from reprolib.progress import track

SIDE = 256
"""Width and height of a photo and of a map."""

SCORED_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Label ids of the classes that are scored, by trainId."""

VOID_IDS = (5, 6, 9, 10, 14, 15, 16, 29, 30)
"""Of those that are not scored and have a colour, in the order of `VOID_COLOURS` after black."""

POLE_GROUP = 18

BY_ID = np.zeros((34, 3), np.uint8)
"""RGB by label id."""
BY_ID[list(SCORED_IDS)], BY_ID[list(VOID_IDS)], BY_ID[POLE_GROUP] = PALETTE, VOID_COLOURS[1:], COLOURS["pole"]

PLATE = 255
"""Label id of number plates, -1 in Cityscapes' table, as 8-bit files hold it."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """A photo and its map, whatever form they are in."""

    name: str
    """Where it goes: 'train/aachen_000000_000019'."""
    photo: Path
    label: Path
    paint: Callable[[Picture], Picture]
    """Of the map's file, uint8 RGB HW3."""


def make_cityscapes(source: Path, output: Path) -> Path:
    """Write train/ and val/ of the pairs that are here; killed, the same call goes on.

    Args:
        source: folder with leftImg8bit/ and gtFine/, or with trainA/, trainB/, testA/ and testB/ (or valA/, valB/).
        output: folder to write to; one that this call has begun is finished.

    Raises:
        UserError: neither form, photos without a map, an output that holds something else, or a picture that cannot be
            read or is no map.
    """
    pairs = find_pairs(Path(source))
    form = "leftImg8bit and gtFine" if (Path(source) / "gtFine").is_dir() else "CycleGAN's folders"
    begin(Path(output), {"name": "cityscapes", "from": form,
                         "note": f"made of {form}, photos bicubic and maps nearest at {SIDE}x{SIDE}"})
    for pair in track(pairs, "making cityscapes"):
        target = Path(output) / f"{pair.name}.png"
        if not target.is_file():
            write_png(target, side_by_side(pair))
    return Path(output)


def find_pairs(source: Path) -> list[Pair]:
    """Photos and maps of either form in natural order; nothing is decoded.

    Raises:
        UserError: neither form, or photos without a map, which are named.
    """
    if (source / "leftImg8bit").is_dir() and (source / "gtFine").is_dir():
        found = [_released(source, split, photo) for split in ("train", "val")
                 for photo in natsorted((source / "leftImg8bit" / split).glob("*/*_leftImg8bit.png"))]
    else:
        splits = {"train": ("train",), "val": ("test", "val")}
        found = [pair for split, names in splits.items() for name in names if (source / f"{name}A").is_dir()
                 for pair in _cyclegan(source, split, name)]
    if not found:
        raise UserError("no photos of Cityscapes here", where=source,
                        fix="expected leftImg8bit/ and gtFine/, or trainA/, trainB/, testA/ and testB/")
    alone = [pair.photo.name for pair in found if not pair.label.is_file()]
    if alone:
        many = "1 photo has" if len(alone) == 1 else f"{len(alone):,} photos have"
        raise UserError(f"{many} no label map: {', '.join(alone[:3])}", where=source, fix="copy the missing maps")
    return found


def _released(source: Path, split: str, photo: Path) -> Pair:
    name = photo.name.removesuffix("_leftImg8bit.png")
    label = source / "gtFine" / split / photo.parent.name / f"{name}_gtFine_labelIds.png"
    return Pair(f"{split}/{name}", photo, label, lambda image: paint_ids(image[..., 0]))


def _cyclegan(source: Path, split: str, folder: str) -> list[Pair]:
    """'1_A.jpg' and '1_B.jpg' belong together."""
    photos, maps = ({re.sub(f"_{side}$", "", path.stem): path for path in list_images(source / f"{folder}{side}")}
                    for side in "AB")
    return [Pair(f"{split}/{name}", photo, maps.get(name, source / f"{folder}B" / "missing"), lambda image: image)
            for name, photo in photos.items()]


def side_by_side(pair: Pair) -> Picture:
    """Photo and painted map, uint8 RGB (256, 512, 3).

    Raises:
        UserError: either cannot be read, they differ in size, or the map holds other numbers than label ids.
    """
    photo_HW3, label_HW3 = read_rgb(pair.photo), read_rgb(pair.label)
    if photo_HW3.shape != label_HW3.shape:
        raise UserError("a photo and its label map differ in size", where=f"{pair.photo}, {pair.label}",
                        fix="get the original files again")
    try:
        painted_HW3 = pair.paint(label_HW3)
    except ValueError as error:
        raise UserError(str(error), where=pair.label, fix="give the files *_gtFine_labelIds.png") from error
    halves = ((photo_HW3, Image.Resampling.BICUBIC), (painted_HW3, Image.Resampling.NEAREST))
    return np.concatenate([np.asarray(Image.fromarray(image).resize((SIDE, SIDE), how)) for image, how in halves], 1)


def paint_ids(ids_HW: Picture) -> Picture:
    """Colours of Cityscapes' own table for its label ids 0 to 33, and 255 for number plates; uint8 RGB HW3.

    Pole groups and number plates have the colours of poles and cars there, as in the files *_gtFine_color.png.

    Raises:
        ValueError: another number.
    """
    return paint(ids_HW, {**dict(enumerate(BY_ID)), PLATE: COLOURS["car"]}, "label id of Cityscapes")
