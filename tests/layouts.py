"""Tiny pictures laid out as the real downloads are, for runs of every stage without them.

Folders, file names and endings are those of the releases; pictures are small, few, smooth and all different. They are
registered by writing the list that `reprolib data register` writes, which would refuse so few pictures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from reprolib.data import labels
from reprolib.data.registry import REGISTERED, get_dataset

Size = tuple[int, int]
"""Width and height."""


def install(project: Path, names: Iterable[str] | None = None, n: int = 4, size: Size = (40, 32)) -> dict[str, Path]:
    """Write datasets below `project`/downloads and register them for commands that run in `project`.

    Args:
        names: all real datasets by default.
        n: scenes of each split (fewer where the release has fewer); of unpaired datasets, pictures of each domain.
        size: of a picture as the networks see it; AFHQ's are square, aligned files twice as wide.

    Returns:
        Folder of each dataset, as one would give it to --root.
    """
    places = {name: lay_out(name, project / "downloads", n, size) for name in names or LAYOUTS}
    listed = project / REGISTERED
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text(json.dumps({name: str(place) for name, place in places.items()}))
    return places


def lay_out(name: str, folder: Path, n: int = 4, size: Size = (40, 32)) -> Path:
    """Write one dataset below `folder` and return what its own folder is."""
    return LAYOUTS[name](folder, n, size)


# ---- pairs

def _its(folder: Path, n: int, size: Size) -> Path:
    for scene in _scenes("reside-its", n):
        clear = landscape(scene, size)
        _save(folder / "ITS" / "clear" / f"{scene}.png", clear)
        for variant, light in enumerate((0.74, 0.9), start=1):
            _save(folder / "ITS" / "hazy" / f"{scene}_{variant}_{light}0179.png", under_haze(clear, variant, light))
    return folder / "ITS"


def _sots_indoor(folder: Path, n: int, size: Size) -> Path:
    """Clear pictures have the border of 10 pixels that the hazy ones lack."""
    for scene in _scenes("sots-indoor", n):
        clear = landscape(scene, (size[0] + 20, size[1] + 20))
        _save(folder / "SOTS" / "indoor" / "clear" / f"{scene}.png", clear)
        for variant in (1, 2):
            hazy = under_haze(clear[10:-10, 10:-10], variant, 1.0)
            _save(folder / "SOTS" / "indoor" / "hazy" / f"{scene}_{variant}.png", hazy)
    return folder / "SOTS" / "indoor"


def _sots_outdoor(folder: Path, n: int, size: Size) -> Path:
    """Hazy pictures are JPEG, and the first scene comes in two densities."""
    for scene in range(1, n + 1):
        clear = landscape(10_000 + scene, size)
        _save(folder / "SOTS" / "outdoor" / "clear" / f"{scene:04}.png", clear)
        for variant in (1, 2) if scene == 1 else (1,):
            hazy = under_haze(clear, variant, 0.9)
            _save(folder / "SOTS" / "outdoor" / "hazy" / f"{scene:04}_0.9_0.{variant}2.jpg", hazy)
    return folder / "SOTS" / "outdoor"


def _dense_haze(folder: Path, n: int, size: Size) -> Path:
    for scene in _scenes("dense-haze", n):
        clear = landscape(20_000 + scene, size)
        _save(folder / "Dense_Haze_NTIRE19" / "GT" / f"{scene:02}_GT.png", clear)
        _save(folder / "Dense_Haze_NTIRE19" / "hazy" / f"{scene:02}_hazy.png", under_haze(clear, 5, 0.8))
    return folder / "Dense_Haze_NTIRE19"


def _nh_haze(folder: Path, n: int, size: Size) -> Path:
    """Both pictures of a pair lie in one folder."""
    for scene in _scenes("nh-haze", n):
        clear = landscape(30_000 + scene, size)
        _save(folder / "NH-HAZE" / f"{scene:02}_GT.png", clear)
        _save(folder / "NH-HAZE" / f"{scene:02}_hazy.png", under_haze(clear, 2, 0.85))
    return folder / "NH-HAZE"


def _scenes(name: str, n: int) -> list[int]:
    """The first n scene numbers of each split."""
    ids = [content["ids"] for content in get_dataset(name).splits.values()]
    return sorted({i for first, last in ids for i in range(first, last + 1)[:n]})


# ---- domains

def _horse2zebra(folder: Path, n: int, size: Size) -> Path:
    return _unpaired(folder / "horse2zebra", {"trainA": "n02381460_{}", "trainB": "n02391049_{}",
                                              "testA": "n02381460_{}0", "testB": "n02391049_{}0"}, n, size)


def _afhq(folder: Path, n: int, size: Size) -> Path:
    square = (size[0], size[0])
    return _unpaired(folder / "afhq", {"train/cat": "flickr_cat_{:06}", "train/dog": "flickr_dog_{:06}",
                                       "val/cat": "flickr_cat_1{:05}", "val/dog": "flickr_dog_1{:05}"}, n, square)


def _drit(folder: Path, n: int, size: Size) -> Path:
    return _unpaired(folder / "cat2dog", dict.fromkeys(("trainA", "trainB", "testA", "testB"), "{}"), n, size)


def _unpaired(folder: Path, names: dict[str, str], n: int, size: Size) -> Path:
    for place, (where, name) in enumerate(names.items()):
        for i in range(1, n + 1):
            seed = 40_000 + 1_000 * place + i + sum(map(ord, folder.name)) * 10_000
            _save(folder / where / f"{name.format(i)}.jpg", landscape(seed, size))
    return folder


def _cityscapes(folder: Path, n: int, size: Size) -> Path:
    """The form of pix2pix: the photo left and its painted label map right."""
    for place, split in enumerate(("train", "val")):
        for i in range(1, n + 1):
            label = street(90_000 + 1_000 * place + i, size)
            photo = labels.encode(label) // 2 + landscape(95_000 + 1_000 * place + i, size) // 2
            _save(folder / "cityscapes" / split / f"{i}.jpg", np.concatenate([photo, labels.encode(label)], axis=1))
    return folder / "cityscapes"


LAYOUTS: dict[str, Callable[[Path, int, Size], Path]] = {
    "reside-its": _its, "sots-indoor": _sots_indoor, "sots-outdoor": _sots_outdoor, "dense-haze": _dense_haze,
    "nh-haze": _nh_haze, "horse2zebra": _horse2zebra, "afhq-cat2dog": _afhq, "drit-cat2dog": _drit,
    "cityscapes": _cityscapes}


# ---- pictures

def landscape(seed: int, size: Size) -> np.ndarray:
    """A smooth picture of its own colours, darker on the whole than haze; uint8 RGB HW3."""
    coarse = np.random.default_rng(seed).integers(0, 200, (5, 5, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))


def under_haze(clear_HW3: np.ndarray, density: float, light: float) -> np.ndarray:
    """J t + A (1 - t), t falling from the lower to the upper edge."""
    height = np.linspace(1.0, 0.2, len(clear_HW3))[:, None, None]
    t = np.exp(-0.5 * density * height)
    return (clear_HW3 * t + 255 * light * (1 - t)).round().astype(np.uint8)


def street(seed: int, size: Size) -> np.ndarray:
    """trainIds as of a street: sky, buildings or trees, a car, road; uint8 HW."""
    random = np.random.default_rng(seed)
    width, height = size
    label = np.full((height, width), labels.CLASSES.index("road"), np.uint8)
    horizon = int(height * random.uniform(0.45, 0.65))
    label[:horizon] = labels.CLASSES.index("sky")
    for left in range(0, width, max(1, width // 4)):
        kind = random.choice(["building", "vegetation"])
        label[int(horizon * random.uniform(0.1, 0.8)) : horizon, left : left + width // 4] = labels.CLASSES.index(kind)
    left = int(random.uniform(0, 0.7) * width)
    label[horizon - height // 8 : horizon + height // 8, left : left + width // 4] = labels.CLASSES.index("car")
    return label


def _save(path: Path, image_HW3: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image_HW3).save(path, quality=95)
