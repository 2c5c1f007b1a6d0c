"""Random crops of clear pictures under haze that is drawn anew at every step, for training."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from reprolib.data import reside
from reprolib.data.batches import StepBatches
from reprolib.data.paired import number
from reprolib.data.paired_batches import CHECKED_AHEAD, Window, check_batch, check_size, to_tensor
from reprolib.data.scenes import SceneFolder
from reprolib.errors import UserError


class HazeBatches(StepBatches):
    """Training batches as a pure function of (seed, step): `batches[step]` is (hazy, clear), BCHW in [0, 1].

    Each batch draws distinct scenes; each row its own window, flip and quarter turns, as `CropBatches` does, and its
    own haze from the ranges of its dataset, over the depth of the scene (`reprolib.data.reside`). Hazy pictures are
    rounded to 8 bits, as those on disk are. With `rows` set, only these rows of the batch are decoded and returned.

    Raises:
        UserError: a batch larger than the set, pictures smaller than the crop, or scenes of the test set among them.
    """

    def __init__(self, scenes: SceneFolder, crop: int, batch: int, steps: int, seed: int, augment: bool = True):
        check_batch(crop, batch, len(scenes), "scenes")
        tested = [name for name, _, _ in scenes.files if number(name) in reside.TEST]
        if tested:
            raise UserError(f"scenes of SOTS among those to train on: {', '.join(tested[:3])}",
                            fix=f"leave {reside.TEST[0]} to {reside.TEST[-1]} out: they are what is measured")
        super().__init__(steps, seed)
        self.scenes, self.crop, self.batch, self.augment = scenes, crop, batch, augment
        for index in range(min(len(scenes), CHECKED_AHEAD)):  # what does not fit is told before training starts
            check_size(scenes.files[index][0], *scenes.size(index), crop)

    def draw(self, step: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        wanted, hazy, clear = range(self.batch)[self.rows], [], []
        for row, index in enumerate(random.choice(len(self.scenes), self.batch, replace=False).tolist()):
            name, (width, height) = self.scenes.files[index][0], self.scenes.size(index)
            window = Window.draw(random, name, width, height, self.crop)
            veil = self.scenes.haze.draw(random)
            if row in wanted:  # of the others only the draws are needed: those of later rows come after them
                scene = self.scenes[index]
                part, haze = scene.clear[window.inside], scene.hazy(veil, window.inside)
                hazy.append(window.turn(haze) if self.augment else haze)
                clear.append(window.turn(part) if self.augment else part)
        return to_tensor(np.stack(hazy)), to_tensor(np.stack(clear))
