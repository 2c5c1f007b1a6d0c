"""Kind 15: pictures too large to be computed at once, with every dehazer, and what is exact of it."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from reprolib import models
from reprolib.models import strips
from reprolib.models.dehazing import dehazenet, gcanet
from reprolib.models.inference import restore
from reprolib.models.large import Large, global_operations
from reprolib.models.statistics import sampled, with_means
from reprolib.models.tiling import OVERLAP, in_tiles

TILE = 2 * OVERLAP
SMALL = {"griddehazenet": {"width": 4, "growth": 4}, "fdu": {"width": 4, "blocks": 2}}


def smooth(height: int = 600, width: int = 96) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack((rows / 4, columns / 5, (rows + columns) / 8), axis=2).astype(np.uint8)


@pytest.mark.parametrize("name", SMALL)
def test_kind_15_no_seam_is_seen_on_a_smooth_picture(name: str) -> None:
    """Steps between neighbours are those of the whole picture, to less than one of 8 bits."""
    system = models.get(name)
    network = system.build(**SMALL[name])
    picture = smooth()
    whole, tiled = (restore(n, picture, system.multiple) for n in (network, Large(network, system, TILE)))
    for axis in (0, 1):
        assert np.abs(np.diff(whole, axis=axis) - np.diff(tiled, axis=axis)).max() < 1 / 255
    if not Large(network, system).takes_means:
        assert np.abs(whole - tiled).max() < 1e-5


@pytest.mark.parametrize(("name", "others", "means"), [
    ("aodnet", False, False), ("griddehazenet", False, False), ("msbdn", False, False), ("ffanet", False, True),
    ("kddn", False, True), ("fdu", False, True), ("aecrnet", False, True), ("gcanet", True, False),
    ("dcp", True, False), ("dehazenet", True, False), ("cut", True, False)])
def test_kind_15_what_networks_take_of_all_pixels_is_found(name: str, others: bool, means: bool) -> None:
    system = models.get(name)
    found, takes_means = global_operations(system.build(), system.multiple)
    assert (found is not None, takes_means) == (others, means)


def test_kind_15_every_dehazer_has_a_way_with_large_pictures() -> None:
    """Only DCP, whose maps have one channel, takes all at once."""
    at_once = []
    for name in models.names("dehazing"):
        system = models.get(name)
        large = Large(system.build(), system)
        at_once += [] if large.tiled or system.large else [name]
    assert at_once == ["dcp"]


@pytest.mark.parametrize("middle", [0, 4, 7])
@pytest.mark.parametrize(("size", "rows"), [((100, 40), 12), ((20, 24), 64), ((36, 28), 5)])
def test_kind_15_gcanet_in_strips_is_gcanet(monkeypatch: pytest.MonkeyPatch, middle: int, size: tuple[int, int],
                                            rows: int) -> None:
    monkeypatch.setattr(strips, "ROWS", rows)
    network = gcanet.GCANet(width=6, middle=middle).double().eval()
    for name, weight in network.named_parameters():
        if "pre_conv" in name or weight.dim() == 1:
            nn.init.normal_(weight, std=0.3)
    x = torch.rand(1, 3, *size, dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(gcanet.in_strips(network, x), network(x), rtol=1e-5, atol=1e-6)


def test_kind_15_dehazenet_in_tiles_is_dehazenet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dehazenet, "in_tiles", partial(in_tiles, tile=TILE))
    network = dehazenet.DehazeNet().eval()
    x = torch.from_numpy(smooth(560, 80)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        torch.testing.assert_close(dehazenet.in_tiles_first(network, x), network(x), rtol=1e-3, atol=1e-4)


class Attention(nn.Module):
    """Twice channel attention, by the two ways in use."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * nn.functional.adaptive_avg_pool2d(x, 1)
        return x + 1 / x.mean((2, 3))[..., None, None]


def test_kind_15_means_are_one_over_all_crops_layer_by_layer() -> None:
    """Of a picture that repeats itself from crop to crop, the means are those of the whole."""
    x = torch.rand(1, 3, 128, 128).repeat(1, 1, 7, 9)
    wanted = Attention()(x)
    means = sampled(Attention(), x, multiple=128)
    assert [tuple(mean.shape) for mean in means] == [(1, 3, 1, 1), (1, 3)]
    torch.testing.assert_close(with_means(Attention(), means)(x), wanted)
    torch.testing.assert_close(with_means(Attention(), means)(x[:, :, :50, 100:170]), wanted[:, :, :50, 100:170])


@pytest.mark.parametrize("size", [(60, 4000), (129, 130), (900, 700)])
def test_kind_15_crops_lie_in_pictures_of_any_shape(size: tuple[int, int]) -> None:
    mean = sampled(lambda x: x.mean((2, 3)), torch.ones(1, 3, *size), multiple=4)
    assert len(mean) == 1 and math.isclose(mean[0].sum().item(), 3, rel_tol=1e-5)
