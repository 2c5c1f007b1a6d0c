"""The projection heads of PatchNCE (Park et al., ECCV 2020, section 3.2): one two-layer MLP for each tap."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

FEATURES = 256
"""Numbers in a projected patch."""


def projection_heads(channels: Sequence[int]) -> nn.ModuleList:
    """One MLP a tap, each N x channels to N x 256 (560,384 parameters for CUT's 3, 128, 256, 256, 256 channels).

    The released code builds them in a first forward pass; the channels are known, so that they need none.
    """
    return nn.ModuleList([
        nn.Sequential(nn.Linear(c, FEATURES), nn.ReLU(), nn.Linear(FEATURES, FEATURES)) for c in channels
    ])
