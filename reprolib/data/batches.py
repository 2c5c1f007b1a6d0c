"""What all batches of a training have in common."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset


class StepBatches(Dataset[tuple[Tensor, Tensor]]):
    """Batches as a pure function of (seed, step): whichever process asks for `batches[step]` gets the same.

    With `rows` set, only these rows of each batch are decoded and returned.
    """

    def __init__(self, steps: int, seed: int):
        self.steps, self.seed, self.rows = steps, seed, slice(None)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of {self.steps}")
        return self.draw(step, np.random.default_rng([self.seed, step]))

    @abstractmethod
    def draw(self, step: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """The batch of a step; everything random in it comes from `random`."""
