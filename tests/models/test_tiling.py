"""Tiles: the same as the whole picture where a network is local."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from reprolib.models.tiling import OVERLAP, in_tiles

TILE = 2 * OVERLAP


@pytest.mark.parametrize("size", [(TILE + 1, 40), (700, TILE), (900, 1300), (30, 40), (TILE, TILE)])
def test_local_network_is_the_same_in_tiles(size: tuple[int, int]) -> None:
    network = nn.AvgPool2d(9, stride=1, padding=4)
    x = torch.rand(1, 3, *size, dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(in_tiles(network, x, 1), network(x), rtol=0, atol=1e-12)


def test_tiles_lie_on_the_grid_of_a_network_that_halves() -> None:
    def halve(x: torch.Tensor) -> torch.Tensor:
        assert x.shape[2] % 48 == x.shape[3] % 48 == 0
        return nn.functional.interpolate(x[..., ::48, ::48], scale_factor=48)

    x = torch.rand(1, 3, 48 * 30, 48 * 20)
    torch.testing.assert_close(in_tiles(halve, x, 500, 48), halve(x))
