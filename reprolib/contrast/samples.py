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
            raise UserError(f"rate {self} is too low", fix="at least 1 positive and 0 negatives")

    def __str__(self) -> str:
        return f"{self.positives}:{self.negatives}"

    @classmethod
    def parse(cls, text: str) -> Rate:
        """'1:10' is one positive and ten negatives. The paper's letter r has to be given as its number.

        Raises:
            UserError: not two whole numbers, or no positive.
        """
        found = re.fullmatch(r"([0-9]+):([0-9]+)", str(text))
        if found is None:
            raise UserError(f"'{text}' is not a rate", fix="write positives:negatives in numbers, such as 1:10")
        return cls(int(found[1]), int(found[2]))


def draw(batch: int, rate: Rate, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Choose the samples of every anchor from its own batch, as the authors do.

    An anchor's own clear (hazy) picture always comes first; the others are distinct pictures of the batch, every choice
    equally likely, drawn separately for positives and for negatives. The paper leaves this open; without an anchor's
    own pair the term would not ask for the haze of that picture to go. A rate of 1:1 takes nothing from the generator.

    Args:
        batch: pictures in the batch.
        rate: samples of each anchor.
        generator: on any device; None uses torch's own random stream.

    Returns:
        positives [batch, p] and negatives [batch, n], indices into the batch (int64), on the generator's device.

    Raises:
        UserError: more samples asked than the batch has pictures.
    """
    largest = max(rate.positives, rate.negatives)
    if largest > batch:
        raise UserError(f"rate {rate} needs {largest} pictures, a batch has {batch}",
                        fix="raise batch or lower the rate; or set pool to gathered if this is one process's share")
    return _choose(batch, rate.positives, generator), _choose(batch, rate.negatives, generator)


def _choose(batch: int, count: int, generator: torch.Generator | None) -> Tensor:
    device = generator.device if generator is not None else None
    if count <= 1:
        return torch.arange(batch, device=device)[:, None][:, :count]
    keys = torch.rand(batch, batch, generator=generator, device=device)
    keys.fill_diagonal_(-1)  # each anchor's own picture sorts first, the others in random order
    return keys.argsort(1)[:, :count]
