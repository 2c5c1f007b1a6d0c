"""Training batches out of several datasets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from reprolib.data.batches import StepBatches


class MixedBatches(StepBatches):
    """Training batches as a pure function of (seed, step): each step takes the whole batch from one of the parts.

    So the pictures of a batch are of one kind, and of one size; which part it is, is drawn by the shares.

    Args:
        parts: batches of single datasets, of the same crop, batch and steps.
        shares: of the steps, as numbers above 0 in any unit.
    """

    def __init__(self, parts: Sequence[StepBatches], shares: Sequence[float], steps: int, seed: int):
        assert len(parts) == len(shares) and min(shares) > 0, shares
        super().__init__(steps, seed)
        self.parts = parts
        self.shares = np.array(shares, np.float64) / sum(shares)

    def draw(self, step: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        part = self.parts[random.choice(len(self.parts), p=self.shares)]
        part.rows = self.rows
        return part.draw(step, random)
