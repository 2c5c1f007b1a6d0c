"""Winograd's way against the direct sum: values, gradients, layouts, and when it is taken."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.models.layers import winograd
from reprolib.models.layers.winograd import CHANNELS, Conv3x3, accelerate

LAYOUTS = {"first": torch.contiguous_format, "last": torch.channels_last}


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast way for every size, so that small pictures can be used."""
    for name, value in (("CHANNELS", 1), ("TILES", 1), ("WASTE", 1e9)):
        monkeypatch.setattr(winograd, name, value)


def both(layer: nn.Conv2d, x_BCHW: Tensor) -> list[dict[str, Tensor]]:
    """Result and gradients of the fast layer and of the plain one, in this order."""
    found = []
    for conv in (Conv3x3(layer), layer):
        x = x_BCHW.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        layer.zero_grad()
        y = conv(x)
        y.backward(torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y).sin())
        of_parameters = {name: p.grad for name, p in layer.named_parameters() if p.grad is not None}
        found.append({"y": y.detach(), "x": x.grad, **of_parameters})  # type: ignore[dict-item]
    return found


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("padding", "mode"), [(0, "zeros"), (1, "zeros"), (1, "reflect")])
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 8, 8), (2, 7, 13), (3, 3, 4), (1, 18, 6)])
@pytest.mark.parametrize("block", [1, 60, 2**15])
def test_is_the_same_convolution(layout: str, padding: int, mode: str, batch: int, height: int, width: int,
                                 block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "BLOCK", block)
    layer = nn.Conv2d(5, 7, 3, padding=padding, padding_mode=mode, bias=block > 1).double()
    layer.to(memory_format=LAYOUTS[layout])
    x = torch.randn(batch, 5, height, width, dtype=torch.float64).contiguous(memory_format=LAYOUTS[layout])
    fast, plain = both(layer, x)
    assert fast.keys() == plain.keys()
    for name, tensor in plain.items():
        torch.testing.assert_close(fast[name], tensor, rtol=1e-10, atol=1e-10, msg=f"{name}: {{}}")
    assert fast["y"].is_contiguous(memory_format=LAYOUTS[layout])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_float32_differs_by_rounding_only(layout: str) -> None:
    """Against float64, on a layer of VGG: at most 5e-6 of the size of each result; the direct sum has 3e-7 to 2e-6."""
    layer = nn.Conv2d(256, 256, 3, padding=1).to(memory_format=LAYOUTS[layout])
    x = torch.randn(2, 256, 16, 16).relu().contiguous(memory_format=LAYOUTS[layout])
    fast, _ = both(layer, x)
    _, exact = both(copy.deepcopy(layer).double(), x.double())
    for name, tensor in exact.items():
        assert (fast[name] - tensor).norm() <= 5e-6 * tensor.norm(), name


def test_a_network_keeps_its_parameters_their_names_and_its_randomness() -> None:
    c = CHANNELS
    shared = nn.Conv2d(c, c, 3, padding=1)
    network = nn.Sequential(nn.Conv2d(3, c, 3, padding=1), shared, nn.ReLU(), shared, nn.Conv2d(c, c, 3, stride=2),
                            nn.Conv2d(c, c, 3, dilation=2), nn.Conv2d(c, c, 3, groups=2), nn.Conv2d(c, c, 1))
    before, random = dict(network.named_parameters()), torch.get_rng_state()
    accelerate(network)
    assert [type(layer) is Conv3x3 for layer in network] == [False, True, False, True] + [False] * 4
    assert network[1] is network[3], "a layer that is applied twice stays one"
    assert {k: id(v) for k, v in network.named_parameters()} == {k: id(v) for k, v in before.items()}
    assert torch.equal(torch.get_rng_state(), random)
    accelerated = network[1]
    assert accelerate(network)[1] is accelerated


def took_the_fast_way(layer: nn.Module, x_BCHW: Tensor) -> bool:
    return "Winograd" in type(layer(x_BCHW.requires_grad_()).grad_fn).__name__


def test_is_taken_only_where_it_is_faster() -> None:
    layer = Conv3x3(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))
    assert took_the_fast_way(layer, torch.zeros(1, CHANNELS, 16, 16))
    assert not took_the_fast_way(layer, torch.zeros(1, CHANNELS, 8, 8)), "4 tiles"
    assert not took_the_fast_way(layer, torch.zeros(64, CHANNELS, 2, 2)), "a tile for a quarter of its outputs"
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.zeros(1, CHANNELS, 16, 16)).dtype == torch.bfloat16
    assert layer.to("meta")(torch.zeros(1, CHANNELS, 16, 16, device="meta")).shape == (1, CHANNELS, 16, 16)


def test_frozen_filters_are_kept_until_the_weights_change() -> None:
    plain = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1).requires_grad_(False)
    layer, x = Conv3x3(plain), torch.randn(1, CHANNELS, 16, 16)
    with torch.inference_mode():
        layer(x)
    kept = layer._kept[False][1]
    x.requires_grad_()
    layer(x).sum().backward()
    assert layer._kept[False][1] is kept and layer._kept.keys() == {False, True}
    layer.load_state_dict(nn.Conv2d(CHANNELS, CHANNELS, 3).state_dict())
    torch.testing.assert_close(layer(x), F.conv2d(x, plain.weight, plain.bias, padding=1), rtol=1e-3, atol=1e-4)


def test_what_follows_may_work_in_place() -> None:
    """As VGG's ReLUs do."""
    layer = Conv3x3(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))
    for layout in LAYOUTS.values():
        for side in (16, 18):
            x = torch.randn(1, CHANNELS, side, side).contiguous(memory_format=layout)
            layer(x).relu_().sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.norm() > 0


def test_weights_that_change_before_the_way_back_are_noticed() -> None:
    layer = Conv3x3(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))
    y = layer(torch.randn(1, CHANNELS, 16, 16, requires_grad=True))
    with torch.no_grad():
        layer.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
