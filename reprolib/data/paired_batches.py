"""Random crops of pairs of hazy and clear pictures, for training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from reprolib.data.images import read_size
from reprolib.data.paired import Pair, PairedFolder, scene
from reprolib.errors import UserError

CHECKED_AHEAD = 1000
"""Sizes of up to this many pictures are read from their headers before training starts."""


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
