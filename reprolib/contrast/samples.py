"""First axis: which positives and negatives an anchor is compared with."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from reprolib.errors import UserError


@dataclass(frozen=True)
class Rate:
    """Positives and negatives of each anchor, printed p:n (AECR-Net, Table 4)."""

    positives: int = 1
    negatives: int = 1
    """0 is CR*: only positives."""

    def __post_init__(self) -> None:
        if self.positives < 1 or self.negatives < 0:
            raise UserError(f"rate {self.positives}:{self.negatives}", fix="at least 1 positive and 0 negatives")

    @classmethod
    def parse(cls, text: str) -> Rate:
        """'1:10' is one positive and ten negatives."""
        found = re.fullmatch(r"(\d+):(\d+)", str(text))
        if found is None:
            raise UserError(f"'{text}' is not a rate", fix="write positives:negatives, such as 1:10")
        return cls(int(found[1]), int(found[2]))


def draw(batch: int, rate: Rate, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Choose the samples of every anchor from its own batch, as the authors do.

    The own clear (hazy) picture is always the first; the others are distinct pictures of the batch. The paper leaves
    both open; without the own pair the term would not ask for this picture's haze to go.

    Returns:
        positives [batch, p] and negatives [batch, n], indices into the batch (int64).

    Raises:
        UserError: more samples asked than the batch has pictures.
    """
    largest = max(rate.positives, rate.negatives)
    if largest > batch:
        raise UserError(f"rate {rate.positives}:{rate.negatives} needs {largest} pictures, a batch has {batch}",
                        fix="raise batch or lower the rate")
    return _choose(batch, rate.positives, generator), _choose(batch, rate.negatives, generator)


def _choose(batch: int, count: int, generator: torch.Generator | None) -> Tensor:
    own = torch.arange(batch)[:, None]
    if count <= 1:
        return own[:, :count]
    keys = torch.rand(batch, batch, generator=generator)
    keys.fill_diagonal_(-1)  # the own picture sorts first, the others in random order
    return keys.argsort(1)[:, :count]
