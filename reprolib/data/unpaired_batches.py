"""Random crops of two domains of pictures, for training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reprolib.data.batches import StepBatches
from reprolib.data.unpaired import CACHE_BYTES, Domains, check_usable, resize
from reprolib.errors import UserError


class UnpairedBatches(StepBatches):
    """Training batches as a pure function of (seed, step): `batches[step]` is (A, B), float32 BCHW in [-1, 1].

    As in the released code of CUT and CycleGAN: an epoch is as long as the larger domain; A goes through a permutation
    of it, modulo its own length; B is drawn uniformly; an incomplete batch at the end of an epoch is dropped. Every
    picture is resized to load x load (ignoring proportions), cropped at random and, with `augment`, flipped
    with p 0.5, independently in A and B. With `rows` set, only these rows of both are decoded and returned.

    Args:
        load: side that pictures are resized to before the crop.
        crop: side of what is returned.
        calm_from: step from which pictures are resized to the crop's side and not cropped any more; flips stay. CUT's
            code does so while the learning rate decays. None: never.
        resample: 'bicubic', or 'bilinear' (MUNIT, DistanceGAN).

    Raises:
        UserError: a crop larger than `load`, a batch larger than an epoch, or a domain with pictures that cannot be
            used; sizes and file types are read ahead, so that this is told before training starts.
    """

    def __init__(self, domains: Domains, load: int, crop: int, batch: int, steps: int, seed: int, augment: bool = True,
                 calm_from: int | None = None, resample: str = "bicubic"):
        if batch < 1 or crop < 1:
            raise UserError(f"a batch of {batch} crops of {crop} pixels is none", fix="give 1 or more of each")
        if crop > load:
            raise UserError(f"a crop of {crop} does not fit into pictures loaded at {load}",
                            fix="lower crop, or raise load")
        self.epoch_length = max(len(domains.a), len(domains.b))
        if batch > self.epoch_length:
            raise UserError(f"a batch of {batch} from {self.epoch_length} pictures",
                            fix="lower batch, or add pictures")
        super().__init__(steps, seed)
        self.domains, self.load, self.crop, self.batch = domains, load, crop, batch
        self.augment, self.calm_from, self.resample = augment, calm_from, resample
        self._cache: dict[tuple[str, int], np.ndarray] = {}
        self._cached_bytes, self._cached_side = 0, load
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))
        for domain, folder in (("A", domains.a), ("B", domains.b)):
            check_usable(folder, domain)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the larger domain."""
        return self.epoch_length // self.batch

    def draw(self, step: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        epoch, position = divmod(step, self.steps_per_epoch)
        chosen = self._permutation(epoch)[position * self.batch : (position + 1) * self.batch]
        side = self.crop if self.calm_from is not None and step >= self.calm_from else self.load
        # All rows are drawn and then some are decoded: the draws of later rows come after those of earlier ones.
        a = [(int(index) % len(self.domains.a), *self._draw(side, random)) for index in chosen]
        b = [(int(random.integers(len(self.domains.b))), *self._draw(side, random)) for _ in chosen]
        return (_to_tensor([self._cut("a", side, *drawn) for drawn in a[self.rows]]),
                _to_tensor([self._cut("b", side, *drawn) for drawn in b[self.rows]]))

    def _permutation(self, epoch: int) -> np.ndarray:
        if self._order[0] != epoch:
            # the last number keeps it apart from the steps' streams; it must not be 0, which numpy would not tell
            random = np.random.default_rng([self.seed, epoch, 1])
            self._order = epoch, random.permutation(self.epoch_length)
        return self._order[1]

    def _draw(self, side: int, random: np.random.Generator) -> tuple[int, int, bool]:
        """Where a crop begins, and whether it is flipped; the crop is the same with and without `augment`."""
        top, left = random.integers(side - self.crop + 1, size=2)
        return int(top), int(left), random.random() < 0.5 and self.augment

    def _cut(self, domain: str, side: int, index: int, top: int, left: int, flip: bool) -> np.ndarray:
        part = self._resized(domain, index, side)[top : top + self.crop, left : left + self.crop]
        return part[:, ::-1] if flip else part

    def _resized(self, domain: str, index: int, side: int) -> np.ndarray:
        """A picture at side x side, remembered while there is room."""
        if side != self._cached_side:  # the decay phase has begun: the former size is not wanted again
            self._cache, self._cached_bytes, self._cached_side = {}, 0, side
        key = domain, index
        if key not in self._cache:
            image = resize((self.domains.a if domain == "a" else self.domains.b).read(index), side, self.resample)
            if self._cached_bytes + image.nbytes > 2 * CACHE_BYTES:
                return image
            self._cached_bytes += image.nbytes
            self._cache[key] = image
        return self._cache[key]


def _to_tensor(images: list[np.ndarray]) -> Tensor:
    batch_BCHW = np.stack(images).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(batch_BCHW)).float() / 127.5 - 1
