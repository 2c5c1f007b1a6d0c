"""Winograd's way against the direct sum: values, gradients, layouts, and when it is taken."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.contrast import winograd
from reprolib.contrast.winograd import CHANNELS, WinogradConv2d

LAYOUTS = {"first": torch.contiguous_format, "last": torch.channels_last}


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast way for every size, so that small pictures can be used."""
    for name, value in (("CHANNELS", 1), ("TILES", 1), ("WASTE", 1e9)):
        monkeypatch.setattr(winograd, name, value)


def frozen(channels: int = CHANNELS, out: int = CHANNELS) -> WinogradConv2d:
    layer = WinogradConv2d(channels, out)
    layer.requires_grad_(False)
    return layer


def direct(layer: nn.Conv2d, x_BCHW: Tensor) -> Tensor:
    return F.conv2d(x_BCHW, layer.weight, layer.bias, padding=1)


def both(layer: WinogradConv2d, x_BCHW: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Result and gradient of the layer and of the direct sum, in this order."""
    found = []
    for convolve in (layer, partial(direct, layer)):
        x = x_BCHW.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        y = convolve(x)
        y.backward(torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y).sin())
        assert x.grad is not None
        found.append((y.detach(), x.grad))
    return found


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 8, 8), (2, 7, 13), (3, 3, 4), (1, 18, 6), (1, 1, 1)])
@pytest.mark.parametrize("block", [1, 60, 2**15])
def test_is_the_same_convolution(layout: str, batch: int, height: int, width: int, block: int,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "BLOCK", block)
    layer = frozen(5, 7).double().to(memory_format=LAYOUTS[layout])
    x = torch.randn(batch, 5, height, width, dtype=torch.float64).contiguous(memory_format=LAYOUTS[layout])
    assert took_the_fast_way(layer, x.clone())
    for fast, plain in zip(*both(layer, x), strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-10)
        assert fast.is_contiguous(memory_format=LAYOUTS[layout])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_float32_differs_by_rounding_only(layout: str) -> None:
    """Against float64, on a layer of VGG: at most 5e-6 of the size of each result; the direct sum has 3e-7 to 2e-6."""
    layer = frozen(256, 256).to(memory_format=LAYOUTS[layout])
    x = torch.randn(2, 256, 16, 16).relu().contiguous(memory_format=LAYOUTS[layout])
    fast, _ = both(layer, x)
    _, exact = both(copy.deepcopy(layer).double(), x.double())
    for ours, wanted in zip(fast, exact, strict=True):
        assert (ours - wanted).norm() <= 5e-6 * wanted.norm()


def test_has_the_parameters_and_the_randomness_of_an_ordinary_convolution() -> None:
    found = []
    for kind in (WinogradConv2d, partial(nn.Conv2d, kernel_size=3, padding=1)):
        torch.manual_seed(3)
        found.append((kind(5, 7).state_dict(), torch.get_rng_state()))
    (ours, state), (plain, wanted) = found
    assert ours.keys() == plain.keys() and all(torch.equal(ours[key], plain[key]) for key in plain)
    assert torch.equal(state, wanted)


def took_the_fast_way(layer: nn.Module, x_BCHW: Tensor) -> bool:
    return "Winograd" in type(layer(x_BCHW.requires_grad_()).grad_fn).__name__


def test_is_taken_only_where_it_is_faster() -> None:
    layer, c = frozen(), CHANNELS
    assert took_the_fast_way(layer, torch.zeros(1, c, 16, 16))
    assert not took_the_fast_way(layer, torch.zeros(1, c, 8, 8)), "4 tiles"
    assert not took_the_fast_way(layer, torch.zeros(64, c, 2, 2)), "a tile for a quarter of its outputs"
    assert not took_the_fast_way(frozen(c - 1, c), torch.zeros(1, c - 1, 16, 16)), "too few channels"
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.zeros(1, c, 16, 16)).dtype == torch.bfloat16
    assert layer(torch.zeros(c, 16, 16)).shape == (c, 16, 16), "a picture without a batch, as nn.Conv2d takes it"
    assert layer.to("meta")(torch.zeros(1, c, 16, 16, device="meta")).shape == (1, c, 16, 16)


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_what_is_trained_is_summed_directly(name: str) -> None:
    layer, x = frozen(), torch.randn(1, CHANNELS, 16, 16)
    parameter = layer.get_parameter(name).requires_grad_()
    assert not took_the_fast_way(layer, x.clone())
    layer(x).sum().backward()
    assert parameter.grad is not None and parameter.grad.any()


def test_filters_are_kept_until_the_weights_change() -> None:
    layer, x = frozen(), torch.randn(1, CHANNELS, 16, 16)
    with torch.inference_mode():
        layer(x)
    kept = layer._kept[False][1]
    x.requires_grad_()
    layer(x).sum().backward()
    assert layer._kept[False][1] is kept and layer._kept.keys() == {False, True}
    layer.load_state_dict(nn.Conv2d(CHANNELS, CHANNELS, 3).state_dict())
    torch.testing.assert_close(layer(x), direct(layer, x), rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        layer.weight *= 2
    torch.testing.assert_close(layer(x), direct(layer, x), rtol=1e-3, atol=1e-4)


def test_weights_made_in_inference_mode() -> None:
    with torch.inference_mode():
        layer, x = frozen(), torch.randn(1, CHANNELS, 16, 16)
        for _ in range(2):
            torch.testing.assert_close(layer(x), direct(layer, x), rtol=1e-3, atol=1e-4)
            layer.weight.mul_(2)


def test_what_follows_may_work_in_place() -> None:
    """As VGG's ReLUs do."""
    layer = frozen()
    for layout in LAYOUTS.values():
        for side in (16, 18):
            x = torch.randn(1, CHANNELS, side, side).contiguous(memory_format=layout).requires_grad_()
            layer(x).relu_().sum().backward()
            assert x.grad is not None and x.grad.any()


def test_weights_that_change_before_the_way_back_are_noticed() -> None:
    layer = frozen()
    y = layer(torch.randn(1, CHANNELS, 16, 16, requires_grad=True))
    with torch.no_grad():
        layer.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
