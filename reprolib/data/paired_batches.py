"""Random crops of pairs of hazy and clear pictures, for training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reprolib.data.batches import StepBatches
from reprolib.data.images import read_size
from reprolib.data.paired import Pair, PairedFolder, scene
from reprolib.errors import UserError

CHECKED_AHEAD = 1000
"""Sizes of up to this many pictures are read from their headers before training starts."""


@dataclass(frozen=True)
class Window:
    """Where a square crop lies in a picture, and how it is turned afterwards."""

    top: int
    left: int
    side: int
    flip: bool
    """Mirrored left to right, before it is turned."""
    turns: int
    """Quarter turns."""

    @classmethod
    def draw(cls, random: np.random.Generator, name: str, width: int, height: int, side: int) -> Window:
        """A window anywhere in a picture, flipped with probability 0.5, turned by a multiple of 90 degrees.

        Raises:
            UserError: the picture, called `name`, is smaller than the window.
        """
        check_size(name, width, height, side)
        top, left = random.integers(height - side + 1), random.integers(width - side + 1)
        return cls(int(top), int(left), side, random.random() < 0.5, int(random.integers(4)))

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the picture."""
        return slice(self.top, self.top + self.side), slice(self.left, self.left + self.side)

    def turn(self, part_HWC: np.ndarray) -> np.ndarray:
        """What was cut out, mirrored and turned."""
        return np.rot90(part_HWC[:, ::-1] if self.flip else part_HWC, self.turns)


class CropBatches(StepBatches):
    """Training batches as a pure function of (seed, step): `batches[step]` is (hazy, clear), BCHW in [0, 1].

    Each batch draws distinct scenes where there are enough (two hazy versions of one scene would be false negatives
    of each other), then a random crop and, with `augment`, horizontal flip (p 0.5) and rotation by a multiple of 90
    degrees, the same for both pictures (AECR-Net's augmentation). The crops are the same with and without. With `rows`
    set, only these rows of the batch are decoded and returned.

    Raises:
        UserError: a batch larger than the set, or pictures smaller than the crop.
    """

    def __init__(self, pairs: PairedFolder, crop: int, batch: int, steps: int, seed: int, augment: bool = True):
        check_batch(crop, batch, len(pairs), "pairs")
        super().__init__(steps, seed)
        self.pairs, self.crop, self.batch, self.augment = pairs, crop, batch, augment
        groups: dict[str, list[int]] = {}
        for index, name in enumerate(pairs.names):
            groups.setdefault(scene(name), []).append(index)
        self._groups = list(groups.values())
        for name, hazy, _ in pairs.files[:CHECKED_AHEAD]:  # a crop that does not fit is told before training starts
            check_size(name, *read_size(hazy), crop)

    def draw(self, step: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
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
                Window.draw(random, name, *read_size(path), self.crop)
        hazy, clear = (np.stack([c[side] for c in crops]) for side in (0, 1))
        return to_tensor(hazy), to_tensor(clear)

    def _crop(self, pair: Pair, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        height, width = pair.clear.shape[:2]
        window = Window.draw(random, pair.name, width, height, self.crop)
        hazy, clear = pair.hazy[window.inside], pair.clear[window.inside]
        return (window.turn(hazy), window.turn(clear)) if self.augment else (hazy, clear)


def to_tensor(batch_BHW3: np.ndarray) -> Tensor:
    """uint8 pictures as float BCHW in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(batch_BHW3.transpose(0, 3, 1, 2))).float() / 255


def check_batch(crop: int, batch: int, available: int, unit: str) -> None:
    """Refuse what no batch can be made of.

    Raises:
        UserError: nothing in a batch, or more than there is.
    """
    if batch < 1 or crop < 1:
        raise UserError(f"a batch of {batch} crops of {crop} pixels is none", fix="give 1 or more of each")
    if batch > available:
        raise UserError(f"a batch of {batch} from {available} {unit}", fix="lower batch, or add pictures")


def check_size(name: str, width: int, height: int, crop: int) -> None:
    """Refuse a picture that is smaller than the crop.

    Raises:
        UserError: it is.
    """
    if min(height, width) < crop:
        raise UserError(f"a picture of {width}x{height} is smaller than the crop of {crop}", where=name,
                        fix="lower crop, or leave the picture out")
