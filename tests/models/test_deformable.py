"""The deformable convolution against torchvision's operator: values and all gradients, kinks of interpolation too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.ops import deform_conv2d as reference

from reprolib.errors import UserError
from reprolib.models.layers.deformable import ModulatedDeformConv2d, deform_conv2d

OFFSETS = {
    "zero": lambda shape: torch.zeros(shape, dtype=torch.float64),
    "whole pixels": lambda shape: torch.randint(-4, 5, shape).double(),
    "half pixels": lambda shape: torch.randint(-9, 10, shape).double() / 2,
    "fractions": lambda shape: 2 * torch.randn(shape, dtype=torch.float64),
    "nearly zero": lambda shape: 1e-20 * torch.randn(shape, dtype=torch.float64),
    "far outside": lambda shape: 1e4 * torch.randn(shape, dtype=torch.float64),
}


def with_gradients(operator, arguments: dict[str, Tensor], **options):
    leaves = {name: value.clone().requires_grad_() for name, value in arguments.items()}
    x, offset, weight, bias, mask = (leaves.get(name) for name in ("x", "offset", "weight", "bias", "mask"))
    out = operator(x, offset, weight, bias, mask=mask, **options)
    probe = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return out.detach(), dict(zip(leaves, torch.autograd.grad((out * probe).sum(), leaves.values()), strict=True))


@pytest.mark.parametrize("kind", OFFSETS)
@pytest.mark.parametrize("size", [(8, 8), (7, 10), (1, 1), (1, 5)])
@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (5, 2), (3, 2)])
def test_same_values_and_gradients_as_torchvision(kind: str, size: tuple[int, int], kernel: int, padding: int) -> None:
    rows, columns = (n + 2 * padding - kernel + 1 for n in size)
    arguments = {
        "x": torch.randn(2, 3, *size, dtype=torch.float64),
        "offset": OFFSETS[kind]((2, 2 * kernel**2, rows, columns)),
        "weight": torch.randn(4, 3, kernel, kernel, dtype=torch.float64),
        "bias": torch.randn(4, dtype=torch.float64),
        "mask": torch.rand(2, kernel**2, rows, columns, dtype=torch.float64),
    }
    ours, our_gradients = with_gradients(deform_conv2d, arguments, padding=padding)
    theirs, their_gradients = with_gradients(reference, arguments, padding=padding)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    for name, gradient in their_gradients.items():
        torch.testing.assert_close(our_gradients[name], gradient, rtol=0, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("size", [6, 8])
def test_same_gradient_at_the_border(size: int) -> None:
    """One tap on a line through every half-pixel from 3 pixels before the map to 3 behind it."""
    steps = torch.arange(-6, 2 * size + 6, dtype=torch.float64) / 2
    x = torch.randn(1, 2, size, size, dtype=torch.float64).expand(len(steps), -1, -1, -1)
    for axis in range(2):
        offset = torch.zeros(len(steps), 2, size, size, dtype=torch.float64)
        offset[:, axis, 0, 0] = steps  # the output pixel at the origin looks at position `steps`
        arguments = {"x": x, "offset": offset, "weight": torch.ones(1, 2, 1, 1, dtype=torch.float64)}
        ours, our_gradients = with_gradients(deform_conv2d, arguments, padding=0)
        theirs, their_gradients = with_gradients(reference, arguments, padding=0)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
        torch.testing.assert_close(our_gradients, their_gradients, rtol=0, atol=1e-12)
        assert their_gradients["offset"].abs().max() > 0


@pytest.mark.parametrize("kind", OFFSETS)
def test_dcnv2_gives_offsets_that_lead_out_no_gradient(kind: str) -> None:
    """Restated from torchvision's gradient: none where the sampled row or column is -1, the size, or beyond."""
    rows, columns, kernel, padding = 7, 10, 3, 1
    arguments = {
        "x": torch.randn(2, 3, rows, columns, dtype=torch.float64),
        "offset": OFFSETS[kind]((2, 2 * kernel**2, rows, columns)),
        "weight": torch.randn(4, 3, kernel, kernel, dtype=torch.float64),
        "mask": torch.rand(2, kernel**2, rows, columns, dtype=torch.float64),
    }
    ours, our_gradients = with_gradients(deform_conv2d, arguments, padding=padding, border="dcnv2")
    theirs, expected = with_gradients(reference, arguments, padding=padding)
    for tap in range(kernel**2):
        for r in range(rows):
            for c in range(columns):
                dy, dx = arguments["offset"][:, 2 * tap, r, c], arguments["offset"][:, 2 * tap + 1, r, c]
                y, x = r + tap // kernel - padding + dy, c + tap % kernel - padding + dx
                out = (y <= -1) | (y >= rows) | (x <= -1) | (x >= columns)
                expected["offset"][out, 2 * tap : 2 * tap + 2, r, c] = 0
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    torch.testing.assert_close(our_gradients, expected, rtol=0, atol=1e-10)


def test_borders_differ_at_the_start_only_in_the_layer_that_predicts_offsets() -> None:
    torch.manual_seed(3)
    ours, released = ModulatedDeformConv2d(16), ModulatedDeformConv2d(16, operator="dcnv2")
    released.load_state_dict(ours.state_dict())
    x = torch.randn(2, 16, 16, 16)
    for layer in (ours, released):
        layer(x).square().sum().backward()
    gradients = [{name: p.grad for name, p in layer.named_parameters()} for layer in (ours, released)]
    share = {name: (g - gradients[1][name]).norm() / g.norm() for name, g in gradients[0].items()}  # type: ignore[operator]
    assert share["weight"] == share["bias"] == 0 and 0.005 < share["conv_offset_mask.weight"] < 0.2


@pytest.mark.parametrize("size", [(12, 20), (25, 13)])
def test_fp32_takes_the_same_side_of_the_kink_at_whole_pixels(size: tuple[int, int]) -> None:
    """All offsets start at zero, where the gradient differs between the two sides; no rounding may choose."""
    arguments = {
        "x": torch.randn(1, 4, *size), "offset": torch.zeros(1, 18, *size), "weight": torch.randn(4, 4, 3, 3),
        "mask": torch.full((1, 9, *size), 0.5),
    }
    _, our_gradients = with_gradients(deform_conv2d, arguments)
    _, their_gradients = with_gradients(reference, arguments, padding=1)
    torch.testing.assert_close(our_gradients, their_gradients, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_memory_layout_does_not_matter(layout: torch.memory_format) -> None:
    layer = ModulatedDeformConv2d(8)
    torch.nn.init.normal_(layer.conv_offset_mask.weight, std=0.2)
    x = torch.randn(2, 8, 6, 9)
    expected = layer(x)
    torch.testing.assert_close(layer.to(memory_format=layout)(x.contiguous(memory_format=layout)), expected)


def test_offset_that_is_not_finite_spoils_its_own_results_only() -> None:
    """A diverging run must show a loss that is not finite, and must not end in a memory error."""
    offset = torch.zeros(1, 18, 4, 5)
    offset[0, 0, 1, 2], offset[0, 7, 3, 0], offset[0, 4, 0, 4] = torch.nan, torch.inf, -torch.inf
    out = deform_conv2d(torch.rand(1, 2, 4, 5), offset, torch.rand(3, 2, 3, 3))
    spoilt = torch.zeros(4, 5, dtype=torch.bool)
    spoilt[[1, 3, 0], [2, 0, 4]] = True
    assert torch.equal(out.isnan(), spoilt.expand(1, 3, 4, 5))


def test_a_second_run_gives_the_same_bits() -> None:
    """Resumed training is compared bit by bit: sums over samples that share a pixel must keep their order."""
    layer, x = ModulatedDeformConv2d(32), torch.rand(4, 32, 24, 24)
    torch.nn.init.normal_(layer.conv_offset_mask.weight, std=0.2)
    offset, mask = layer.conv_offset_mask(x).detach().split((18, 9), dim=1)
    arguments = {"x": x, "offset": offset, "weight": layer.weight.detach(), "mask": mask}
    (first, gradients), (second, again) = (with_gradients(deform_conv2d, arguments) for _ in range(2))
    assert torch.equal(first, second) and all(torch.equal(gradients[name], again[name]) for name in arguments)


def test_without_offsets_it_is_a_convolution() -> None:
    x, weight, bias = torch.randn(2, 3, 6, 9), torch.randn(5, 3, 3, 3), torch.randn(5)
    plain = torch.nn.functional.conv2d(x, weight, bias, padding=1)
    torch.testing.assert_close(deform_conv2d(x, torch.zeros(2, 18, 6, 9), weight, bias), plain, rtol=1e-4, atol=1e-5)


def test_layer_starts_as_half_a_convolution_with_zero_offsets() -> None:
    layer = ModulatedDeformConv2d(8)
    assert {k: tuple(v.shape) for k, v in layer.state_dict().items()} == {
        "weight": (8, 8, 3, 3), "bias": (8,), "conv_offset_mask.weight": (27, 8, 3, 3), "conv_offset_mask.bias": (27,)}
    bound = (8 * 9) ** -0.5
    assert 0.9 * bound < layer.weight.abs().max() <= bound and not layer.bias.any()
    x = torch.randn(1, 8, 5, 7)
    half = torch.nn.functional.conv2d(x, layer.weight, padding=1) / 2
    torch.testing.assert_close(layer(x), half, rtol=1e-4, atol=1e-5)


def test_layer_agrees_between_operators() -> None:
    ours, theirs = ModulatedDeformConv2d(8).double(), ModulatedDeformConv2d(8, operator="torchvision").double()
    torch.nn.init.normal_(ours.conv_offset_mask.weight, std=0.3)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 8, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-10)
    with pytest.raises(UserError, match="operator"):
        ModulatedDeformConv2d(8, operator="cuda")


def test_bf16_autocast_samples_in_fp32() -> None:
    """Offsets of 1/64 pixel at column 100: bf16 positions would lose them entirely."""
    x = torch.arange(128.0).view(1, 1, 1, 128).expand(1, 1, 4, 128)
    offset = torch.zeros(1, 2, 4, 128)
    offset[:, 1] = 1 / 64
    weight = torch.ones(1, 1, 1, 1, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = deform_conv2d(x - 100, offset.bfloat16(), weight, padding=0)
    assert out.dtype == torch.bfloat16
    assert out[0, 0, 0, 100].item() == 1 / 64
    out.float().sum().backward()
    assert weight.grad is not None and weight.grad.isfinite().all()
