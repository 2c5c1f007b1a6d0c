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

from reprolib.data.images import list_images, pixel_hash, read_rgb, read_size
from reprolib.data.registry import get_dataset, locate
from reprolib.errors import UserError, unknown

CACHE_BYTES = 2**30
"""Decoded pictures are kept in memory up to this much; small sets are decoded once."""

CLEAR_FOLDERS = ("clear", "GT", "gt")
"""What releases call the folder of clear pictures."""

CHECKED_AHEAD = 1000
"""Sizes of up to this many pictures are read from their headers before training starts."""


@dataclass(frozen=True)
class Pair:
    """A hazy picture and its truth, uint8 RGB HW3 of one size."""

    name: str
    hazy: np.ndarray
    clear: np.ndarray


class PairedFolder:
    """Pairs of files, decoded when asked for and kept in memory while they are few.

    Args:
        files: name, hazy file and clear file of each pair.
        border: pixels on each side by which clear pictures may be larger; cut off, never resized.
    """

    def __init__(self, files: list[tuple[str, Path, Path]], border: int = 0):
        self.files, self.border = files, border
        self._cache: dict[Path, np.ndarray] = {}
        self._cached_bytes = 0

    @property
    def names(self) -> list[str]:
        """Names of the hazy pictures, in natural order."""
        return [name for name, _, _ in self.files]

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Pair]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Pair:
        name, hazy_path, clear_path = self.files[index]
        hazy, clear = self._read(hazy_path), self._read(clear_path)
        clear = cut_border(clear, hazy.shape[:2], self.border)
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


def cut_border(clear_HW3: np.ndarray, size: tuple[int, ...], border: int) -> np.ndarray:
    """Cut `border` pixels off each side if that, and nothing else, gives the size; otherwise return it unchanged."""
    height, width = clear_HW3.shape[:2]
    if border and (height - 2 * border, width - 2 * border) == tuple(size):
        return clear_HW3[border:-border, border:-border]
    return clear_HW3


def scene(name: str) -> str:
    """Scene of a picture's name: what stands before the first '_'."""
    return name.split("_")[0]


def find_pairs(folder: Path) -> list[tuple[str, Path, Path]]:
    """Pairs below a folder that has hazy/ and clear/ (or GT/), or NN_hazy and NN_GT files side by side.

    `hazy/1400_3.png` belongs to `clear/1400.png`, `51_hazy.png` to `51_GT.png`; a clear picture of the very same name
    goes first. Nothing is decoded.

    Raises:
        UserError: neither layout; hazy pictures without a clear one, which are named; or two clear ones of a name.
    """
    hazy, clear_files = find_pictures(folder)
    clear: dict[str, Path] = {}
    for path in clear_files:
        if (other := clear.setdefault(_bare(path.stem), path)) != path:
            raise UserError("two clear pictures of one name", where=f"{other}, {path}", fix="remove one of them")
    partner = {p: clear.get(_bare(p.stem)) or clear.get(scene(p.stem)) for p in hazy}
    alone = [p.name for p in hazy if partner[p] is None]
    if alone:
        raise UserError(f"{len(alone)} hazy pictures have no clear one: {', '.join(alone[:3])}", where=folder,
                        fix="copy the missing clear pictures; names must agree up to the first '_'")
    return [(_bare(p.stem), p, found) for p, found in partner.items() if found is not None]


def find_pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """Hazy and clear files of either layout, in natural order.

    Raises:
        UserError: neither layout.
    """
    if (folder / "hazy").is_dir():
        clear_folder = next((folder / n for n in CLEAR_FOLDERS if (folder / n).is_dir()), None)
        if clear_folder is None:
            raise UserError("hazy pictures, but no folder of clear ones", where=folder,
                            fix="put the clear pictures into a folder named clear/ beside hazy/")
        return list_images(folder / "hazy"), list_images(clear_folder)
    pictures = list_images(folder) if any(folder.glob("*_*")) else []
    hazy = [p for p in pictures if p.stem.endswith("_hazy")]
    if not hazy:
        raise UserError("no pairs here", where=folder, fix="expected hazy/ and clear/, or NN_hazy and NN_GT files")
    return hazy, [p for p in pictures if p.stem.endswith("_GT")]


def _bare(stem: str) -> str:
    """A name without the marks of the NTIRE challenges."""
    return stem.removesuffix("_hazy").removesuffix("_GT")


def open_split(name: str, split: str, root: Path | None = None, limit: int | None = None) -> PairedFolder:
    """The pairs of one split of a dataset.

    Args:
        root: folder to use instead of where the dataset is registered; may hold a part of it only.
        limit: at most this many pairs, from the first.

    Raises:
        UserError: unknown dataset or split, missing folder, an empty split, or a limit below 1.
    """
    dataset = get_dataset(name)
    if split not in dataset.splits:
        raise unknown(f"split of {name}", split, dataset.splits)
    if limit is not None and limit < 1:
        raise UserError(f"a limit of {limit} leaves no pictures", fix="give 1 or more")
    folder = locate(name, root)
    divided = (folder / split).is_dir()
    if dataset.embedded and not divided:
        raise UserError(f"'{name}' is not whole here: no folder '{split}'", where=folder,
                        fix=f"run `reprolib data prepare {name}`")
    files = find_pairs(folder / split if divided else folder)
    ids = dataset.splits[split].get("ids")
    if ids and not divided:
        files = [f for f in files if ids[0] <= number(f[0]) <= ids[1]]
        if not files:
            raise UserError(f"no pairs of split '{split}'", where=folder,
                            fix=f"scenes {ids[0]} to {ids[1]} are expected")
    return PairedFolder(files[:limit], dataset.border)


def number(name: str) -> int:
    """Number of the scene in a picture's name; -1 if its scene is not a number."""
    digits = re.fullmatch(r"\D*(\d+)", scene(name))
    return int(digits[1]) if digits else -1


class CropBatches(Dataset[tuple[Tensor, Tensor]]):
    """Training batches as a pure function of (seed, step): `batches[step]` is (hazy, clear), BCHW in [0, 1].

    Each batch draws distinct scenes where there are enough (two hazy versions of one scene would be false negatives
    of each other), then a random crop and, with `augment`, horizontal flip (p 0.5) and rotation by a multiple of 90
    degrees, the same for both pictures (AECR-Net's augmentation). The crops are the same with and without. With `rows`
    set, only these rows of the batch are decoded and returned.

    Raises:
        UserError: a batch larger than the set, or pictures smaller than the crop.
    """

    def __init__(self, pairs: PairedFolder, crop: int, batch: int, steps: int, seed: int, augment: bool = True):
        if batch < 1 or crop < 1:
            raise UserError(f"a batch of {batch} crops of {crop} pixels is none", fix="give 1 or more of each")
        if batch > len(pairs):
            raise UserError(f"a batch of {batch} from {len(pairs)} pairs", fix="lower batch, or add pictures")
        self.pairs, self.crop, self.batch, self.steps, self.seed = pairs, crop, batch, steps, seed
        self.augment, self.rows = augment, slice(None)
        groups: dict[str, list[int]] = {}
        for index, name in enumerate(pairs.names):
            groups.setdefault(scene(name), []).append(index)
        self._groups = list(groups.values())
        for name, hazy, _ in pairs.files[:CHECKED_AHEAD]:  # a crop that does not fit is told before training starts
            self._check_size(name, *read_size(hazy))

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of {self.steps}")
        random = np.random.default_rng([self.seed, step])
        if self.batch <= len(self._groups):
            chosen = random.choice(len(self._groups), self.batch, replace=False)
            indices = [self._groups[g][random.integers(len(self._groups[g]))] for g in chosen]
        else:
            indices = list(random.choice(len(self.pairs), self.batch, replace=False))
        wanted, crops = range(self.batch)[self.rows], []
        for row, index in enumerate(int(i) for i in indices):
            if row in wanted:
                crops.append(self._crop(self.pairs[index], random))
            else:  # only its draws are needed: those of later rows come after them
                name, path, _ = self.pairs.files[index]
                self._draw(name, *read_size(path), random)
        hazy, clear = (np.stack([c[side] for c in crops]) for side in (0, 1))
        return _to_tensor(hazy), _to_tensor(clear)

    def _crop(self, pair: Pair, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        height, width = pair.clear.shape[:2]
        top, left, flip, turns = self._draw(pair.name, width, height, random)
        sides = []
        for image in (pair.hazy, pair.clear):
            part = image[top : top + self.crop, left : left + self.crop]
            sides.append(np.rot90(part[:, ::-1] if flip else part, turns) if self.augment else part)
        return sides[0], sides[1]

    def _draw(self, name: str, width: int, height: int, random: np.random.Generator) -> tuple[int, int, bool, int]:
        """Where a crop begins, whether it is flipped, and its quarter turns."""
        self._check_size(name, width, height)
        top, left = random.integers(height - self.crop + 1), random.integers(width - self.crop + 1)
        return int(top), int(left), random.random() < 0.5, int(random.integers(4))

    def _check_size(self, name: str, width: int, height: int) -> None:
        if min(height, width) < self.crop:
            raise UserError(f"a picture of {width}x{height} is smaller than the crop of {self.crop}", where=name,
                            fix="lower crop, or leave the picture out")


def _to_tensor(batch_BHW3: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(batch_BHW3.transpose(0, 3, 1, 2))).float() / 255
