"""External negatives of PatchNCE: keys of earlier batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from reprolib import distributed

BANK = 16_384
"""External keys of each layer (Park et al., section 4.3; so in MoCo)."""


class MemoryBank:
    """The last `size` keys of each layer, first in first out (MoCo, He et al., CVPR 2020; slides' external form).

    It starts empty and `bank[layer]` grows to `size` keys, so that no invented key is ever a negative. The loss of an
    empty bank's only candidate, the positive, is 0.

    Args:
        layers: how many.
        size: keys of each layer.
        channels: numbers in a key.
        device: where keys are kept: 84 MB for 5 layers of 16,384 keys of 256 numbers.
    """

    def __init__(self, layers: int, size: int = BANK, channels: int = 256, device: torch.device | str = "cpu"):
        self.keys_LKC = torch.zeros(layers, size, channels, device=device)
        self.seen = 0
        """Keys that ever came in, in each layer."""

    def __getitem__(self, layer: int) -> Tensor:
        """Keys of a layer, K x C in no particular order. Back-propagate before the next `enqueue`."""
        return self.keys_LKC[layer, : self.seen]

    @torch.no_grad()
    def enqueue(self, keys: Sequence[Tensor]) -> None:
        """Take in the keys of a batch, B, S, C for each layer, over the oldest ones; those of all processes."""
        size = self.keys_LKC.shape[1]
        new_LNC = torch.stack([distributed.gather(key).flatten(0, 1) for key in keys])
        count = new_LNC.shape[1]
        kept_LNC = new_LNC[:, -size:]
        slots = torch.arange(count - kept_LNC.shape[1], count, device=new_LNC.device).add(self.seen) % size
        self.keys_LKC[:, slots] = kept_LNC.to(self.keys_LKC.dtype)
        self.seen += count

    def state_dict(self) -> dict[str, Any]:
        return {"keys": self.keys_LKC, "seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.keys_LKC.copy_(state["keys"])
        self.seen = state["seen"]
