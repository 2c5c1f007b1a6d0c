"""Pairs of hazy and clear pictures: folders on disk, and random crops of them for training."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from reprolib.data.images import list_images, pixel_hash, read_rgb
from reprolib.data.registry import get_dataset, locate
from reprolib.errors import UserError, unknown

CACHE_BYTES = 2 * 2**30
"""Decoded pictures are kept in memory up to this much; small sets are decoded once."""


@dataclass(frozen=True)
class Pair:
    """A hazy picture and its truth, uint8 RGB HW3 of one size."""

    name: str
    hazy: np.ndarray
    clear: np.ndarray


class PairedFolder:
    """Pairs found by name: `hazy/1400_3.png` belongs to `clear/1400.png`, `51_hazy.png` to `51_GT.png`.

    Args:
        files: name, hazy file and clear file of each pair.
        centre_crop: cut larger clear pictures to the hazy size about their centre.
    """

    def __init__(self, files: list[tuple[str, Path, Path]], centre_crop: bool = False):
        self.files, self.centre_crop = files, centre_crop
        self._cache: dict[Path, np.ndarray] = {}
        self._cached_bytes = 0

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.files]

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Pair]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Pair:
        name, hazy_path, clear_path = self.files[index]
        hazy, clear = self._read(hazy_path), self._read(clear_path)
        if self.centre_crop:
            clear = centre(clear, hazy.shape[:2])
        if hazy.shape != clear.shape:
            sizes = f"{hazy.shape[1]}x{hazy.shape[0]} against {clear.shape[1]}x{clear.shape[0]}"
            raise UserError(f"a pair does not match in size: {sizes}", where=f"{hazy_path}, {clear_path}",
                            fix="get the original files again; resizing either would falsify the scores")
        return Pair(name, hazy, clear)

    def pixel_hash(self) -> str:
        """Hash over the decoded pixels of every pair."""
        return pixel_hash((f"{p.name}/{side}", a) for p in self for side, a in (("hazy", p.hazy), ("clear", p.clear)))

    def _read(self, path: Path) -> np.ndarray:
        if path not in self._cache:
            picture = read_rgb(path)
            if self._cached_bytes + picture.nbytes > CACHE_BYTES:
                return picture
            self._cache[path] = picture
            self._cached_bytes += picture.nbytes
        return self._cache[path]


def centre(image_HW3: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """The central part of that height and width; unchanged if the picture is not larger."""
    top, left = ((have - want) // 2 for have, want in zip(image_HW3.shape, size, strict=False))
    if top < 0 or left < 0:
        return image_HW3
    return image_HW3[top : top + size[0], left : left + size[1]]


def scene(name: str) -> str:
    """Scene of a picture's name: what stands before the first '_'."""
    return name.split("_")[0]


def find_pairs(folder: Path) -> list[tuple[str, Path, Path]]:
    """Pairs below a folder that has hazy/ and clear/, or NN_hazy and NN_GT files side by side.

    Raises:
        UserError: neither layout; or hazy pictures without a clear one, which are named.
    """
    if (folder / "hazy").is_dir():
        hazy = list_images(folder / "hazy")
        clear_folder = next((folder / n for n in ("clear", "GT", "gt") if (folder / n).is_dir()), folder / "clear")
        clear = {scene(p.stem): p for p in list_images(clear_folder)}
    else:
        pictures = list_images(folder)
        hazy = [p for p in pictures if p.stem.endswith("_hazy")]
        clear = {scene(p.stem): p for p in pictures if p.stem.endswith("_GT")}
        if not hazy:
            raise UserError("no pairs here", where=folder, fix="expected hazy/ and clear/, or NN_hazy and NN_GT files")
    alone = [p.name for p in hazy if scene(p.stem) not in clear]
    if alone:
        raise UserError(f"{len(alone)} hazy pictures have no clear one: {', '.join(alone[:3])}", where=folder,
                        fix="copy the missing clear pictures; names must agree up to the first '_'")
    return [(p.stem, p, clear[scene(p.stem)]) for p in hazy]


def open_split(name: str, split: str, root: Path | None = None, limit: int | None = None) -> PairedFolder:
    """The pairs of one split of a dataset.

    Args:
        root: folder to use instead of where the dataset is registered; may hold a part of it only.
        limit: at most this many pairs, from the first.

    Raises:
        UserError: unknown dataset or split, missing folder, or an empty split.
    """
    dataset = get_dataset(name)
    if split not in dataset.splits:
        raise unknown(f"split of {name}", split, dataset.splits)
    folder = locate(name, root)
    files = find_pairs(folder / split if (folder / split).is_dir() else folder)
    ids = dataset.splits[split].get("ids")
    if ids and not (folder / split).is_dir():
        numbers = {f[0]: int(re.sub(r"\D", "", scene(f[0])) or -1) for f in files}
        files = [f for f in files if ids[0] <= numbers[f[0]] <= ids[1]]
    if not files:
        raise UserError(f"no pairs of split '{split}'", where=folder, fix=f"scenes {ids[0]} to {ids[1]} are expected")
    return PairedFolder(files[:limit], dataset.centre_crop)


class CropBatches(Dataset[tuple[Tensor, Tensor]]):
    """Training batches as a pure function of (seed, step): `batches[step]` is (hazy, clear), BCHW in [0, 1].

    Each batch draws distinct scenes where there are enough (two hazy versions of one scene would be false negatives
    of each other), then a random crop, horizontal flip (p 0.5) and rotation by a multiple of 90 degrees, the same
    for both pictures (AECR-Net's augmentation).

    Raises:
        UserError: a batch larger than the set, or pictures smaller than the crop.
    """

    def __init__(self, pairs: PairedFolder, crop: int, batch: int, steps: int, seed: int):
        if batch > len(pairs):
            raise UserError(f"a batch of {batch} from {len(pairs)} pairs", fix="lower batch, or add pictures")
        self.pairs, self.crop, self.batch, self.steps, self.seed = pairs, crop, batch, steps, seed
        groups: dict[str, list[int]] = {}
        for index, name in enumerate(pairs.names):
            groups.setdefault(scene(name), []).append(index)
        self._groups = list(groups.values())
        self._crop(pairs[0], np.random.default_rng(0))  # a crop that does not fit is told before training starts

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        random = np.random.default_rng([self.seed, step])
        if self.batch <= len(self._groups):
            chosen = random.choice(len(self._groups), self.batch, replace=False)
            indices = [self._groups[g][random.integers(len(self._groups[g]))] for g in chosen]
        else:
            indices = list(random.choice(len(self.pairs), self.batch, replace=False))
        crops = [self._crop(self.pairs[int(i)], random) for i in indices]
        hazy, clear = (np.stack([c[side] for c in crops]) for side in (0, 1))
        return _to_tensor(hazy), _to_tensor(clear)

    def _crop(self, pair: Pair, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        height, width = pair.clear.shape[:2]
        if min(height, width) < self.crop:
            raise UserError(f"a picture of {width}x{height} is smaller than the crop of {self.crop}", where=pair.name,
                            fix="lower crop, or leave the picture out")
        top, left = random.integers(height - self.crop + 1), random.integers(width - self.crop + 1)
        flip, turns = random.random() < 0.5, int(random.integers(4))
        sides = []
        for image in (pair.hazy, pair.clear):
            part = image[top : top + self.crop, left : left + self.crop]
            sides.append(np.rot90(part[:, ::-1] if flip else part, turns))
        return sides[0], sides[1]


def _to_tensor(batch_BHW3: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(batch_BHW3.transpose(0, 3, 1, 2))).float() / 255
