"""GCANet against its published facts: counts, key names, a functional re-statement, and its published weights."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from reprolib import models
from reprolib.data.paired import open_split
from reprolib.errors import UserError
from reprolib.metrics.protocols import measure
from reprolib.models.dehazing.gcanet import SYSTEM, GCANet, ResBlock, edge_map
from reprolib.models.inference import pad_to_multiple, restore
from reprolib.models.weights import load_weights

DILATIONS = {1: 2, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1}


def published_shapes(c: int = 64) -> dict[str, tuple[int, ...]]:
    """Key names and shapes of the released network, written out from its layer table."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (c, 4, 3, 3)}
    shapes |= {f"conv{i}.weight": (c, c, 3, 3) for i in (2, 3)}
    shapes |= {f"norm{i}.{kind}": (c,) for i in range(1, 6) for kind in ("weight", "bias")}
    for i, dilation in DILATIONS.items():
        side = 2 * dilation - 1
        for half in (1, 2):
            if dilation > 1:
                shapes[f"res{i}.pre_conv{half}.weight"] = (1, 1, side, side)
            shapes[f"res{i}.conv{half}.weight"] = (c, c, 3, 3)
            shapes |= {f"res{i}.norm{half}.{kind}": (c,) for kind in ("weight", "bias")}
    shapes |= {"gate.weight": (3, 3 * c, 3, 3), "gate.bias": (3,)}
    shapes |= {"deconv3.weight": (c, c, 4, 4), "deconv3.bias": (c,), "deconv2.weight": (c, c, 3, 3)}
    return shapes | {"deconv2.bias": (c,), "deconv1.weight": (3, c, 1, 1), "deconv1.bias": (3,)}


def published_state(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A checkpoint with those names; every tensor holds a number of its own."""
    return {key: torch.full(shape, float(i)) for i, (key, shape) in enumerate(shapes.items())}


# The same network, once more, as functions of a state dict


def norm(state: dict[str, Tensor], stem: str, x: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    scale, shift = (state[f"{stem}.{kind}"].view(-1, 1, 1) for kind in ("weight", "bias"))
    return (x - mean) / (variance + 1e-5).sqrt() * scale + shift


def smooth(x: Tensor, kernel: Tensor) -> Tensor:
    """Every channel of every picture is a picture of its own, with the same kernel."""
    return F.conv2d(x.flatten(0, 1)[:, None], kernel, padding=kernel.shape[-1] // 2)[:, 0].view_as(x)


def residual_block(state: dict[str, Tensor], stem: str, x: Tensor, dilation: int) -> Tensor:
    y = x
    for half in (1, 2):
        if f"{stem}.pre_conv{half}.weight" in state:
            y = smooth(y, state[f"{stem}.pre_conv{half}.weight"])
        y = F.conv2d(y, state[f"{stem}.conv{half}.weight"], padding=dilation, dilation=dilation)
        y = norm(state, f"{stem}.norm{half}", y)
        y = (y if half == 1 else x + y).clamp_min(0)
    return y


def edges(picture: np.ndarray) -> np.ndarray:
    """B3HW in 0..255, pixel by pixel."""
    batch, _, height, width = picture.shape
    result = np.zeros((batch, 1, height, width))
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                near = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
                inside = [(v, u) for v, u in near if 0 <= v < height and 0 <= u < width]
                total = sum(np.abs(picture[b, :, y, x] - picture[b, :, v, u]).sum() for v, u in inside)
                result[b, 0, y, x] = total / 3 / 4
    return result


def network(state: dict[str, Tensor], hazy: Tensor, middle: int = 4) -> Tensor:
    picture = hazy * 255
    y = torch.cat((picture - 128, torch.from_numpy(edges(picture.numpy())).to(hazy) - 128), 1)
    for i, stride in ((1, 1), (2, 1), (3, 2)):
        convolved = F.conv2d(y, state[f"conv{i}.weight"], padding=1, stride=stride)
        y = norm(state, f"norm{i}", convolved).clamp_min(0)
    depths = [y]
    for i, dilation in DILATIONS.items():
        depths.append(residual_block(state, f"res{i}", depths[-1], dilation))
    kept = [depths[0], depths[middle], depths[7]]
    gates = F.conv2d(torch.cat(kept, 1), state["gate.weight"], state["gate.bias"], padding=1)
    y = sum(gates[:, i : i + 1] * kept[i] for i in range(3))
    y = F.conv_transpose2d(y, state["deconv3.weight"], state["deconv3.bias"], stride=2, padding=1)
    y = norm(state, "norm4", y).clamp_min(0)
    y = F.conv2d(y, state["deconv2.weight"], state["deconv2.bias"], padding=1)
    y = norm(state, "norm5", y).clamp_min(0)
    residual = torch.einsum("oc,bchw->bohw", state["deconv1.weight"][:, :, 0, 0], y)
    return (picture + residual + state["deconv1.bias"].view(3, 1, 1)) / 255


def small(width: int = 6, middle: int = 4) -> GCANet:
    """Reduced, with parameters away from the ones, zeros and identities that they begin with."""
    model = GCANet(width, middle).eval()
    for name, p in model.named_parameters():
        if "norm" in name or "pre_conv" in name:
            torch.nn.init.normal_(p, std=0.5)
    return model


# Tests


def test_parameters() -> None:
    system = models.get("gcanet")
    assert models.count_parameters(system.build()) == 702_818
    assert sum(prod(shape) for shape in published_shapes().values()) == 702_818
    assert system.paper_params is None  # not a row of Table 1


@pytest.mark.parametrize("width", [64, 5])
def test_names_and_shapes_are_the_published_ones(width: int) -> None:
    with torch.device("meta"):
        state = GCANet(width).state_dict()
    assert {k: tuple(v.shape) for k, v in state.items()} == published_shapes(width)


@pytest.mark.parametrize("size", [(5, 7), (1, 4), (3, 1), (1, 1)])
def test_edge_map_pixel_by_pixel(size: tuple[int, int]) -> None:
    x = 255 * torch.rand(2, 3, *size, dtype=torch.float64)
    np.testing.assert_allclose(edge_map(x).numpy(), edges(x.numpy()), atol=1e-10)


def test_edge_map_of_a_step() -> None:
    """A step of height 120 touches one of four neighbours on either side, in one of three channels: 120 / 12."""
    x = torch.zeros(1, 3, 4, 6)
    x[:, 1, :, 3:] = 120
    expected = torch.zeros(1, 1, 4, 6)
    expected[..., 2:4] = 10
    torch.testing.assert_close(edge_map(x), expected)


@torch.no_grad()
@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_residual_block_restated(dilation: int) -> None:
    block, x = ResBlock(5, dilation).double(), torch.randn(2, 5, 9, 12, dtype=torch.float64)
    for p in block.parameters():
        torch.nn.init.normal_(p)
    state = {f"b.{k}": v for k, v in block.state_dict().items()}
    torch.testing.assert_close(block(x), residual_block(state, "b", x, dilation), rtol=0, atol=1e-10)


@torch.no_grad()
def test_smoothing_begins_as_the_identity() -> None:
    block, x = ResBlock(3, dilation=4), torch.randn(1, 3, 9, 9)
    assert torch.equal(block.pre_conv1(x), x) and torch.equal(block.pre_conv2(x), x)


@torch.no_grad()
@pytest.mark.parametrize("middle", [4, 3, 6])
def test_the_whole_network_restated(middle: int) -> None:
    model, x = small(middle=middle).double(), torch.rand(2, 3, 12, 16, dtype=torch.float64)
    restored = model(x)
    torch.testing.assert_close(restored, network(model.state_dict(), x, middle), rtol=0, atol=1e-9)
    assert (restored - x).std() > 1e-3  # in units of the picture: the residual is seen


@torch.no_grad()
def test_the_full_size_network_restated_in_single_precision() -> None:
    model, x = GCANet().eval(), torch.rand(1, 3, 12, 8)
    torch.testing.assert_close(model(x), network(model.state_dict(), x), rtol=1e-5, atol=1e-6)


def test_every_parameter_is_trained() -> None:
    """Except biases that an instance norm takes out again."""
    model = small().double().train()
    (model(torch.rand(2, 3, 16, 16, dtype=torch.float64)) ** 2).mean().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12]
    assert sorted(idle) == ["deconv2.bias", "deconv3.bias"]


@torch.no_grad()
def test_one_picture_gives_the_same_alone_and_in_a_batch() -> None:
    model, x = small(), torch.rand(3, 3, 12, 16)
    torch.testing.assert_close(model(x[1:2]), model(x)[1:2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(413, 550), (46, 62), (47, 63), (17, 41), (4, 4), (1, 3)])
def test_any_picture_size_by_padding(height: int, width: int) -> None:
    model = small(width=2)
    hazy = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    restored = restore(model, hazy, SYSTEM.multiple)
    assert restored.shape == (height, width, 3) and np.isfinite(restored).all()
    x = pad_to_multiple(torch.from_numpy(hazy).permute(2, 0, 1)[None] / 255, SYSTEM.multiple)
    with torch.no_grad():
        expected = model(x)[0, :, :height, :width].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(restored, expected)


@torch.no_grad()
def test_bf16_autocast_on_the_cpu() -> None:
    model, x = GCANet(8).eval(), torch.rand(1, 3, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(x)
    torch.testing.assert_close(half.float(), model(x), rtol=0.05, atol=0.05)


# Published weights


def test_a_published_state_dict_loads_strictly(tmp_path: Path) -> None:
    state = published_state(published_shapes())
    torch.save(state, tmp_path / "wacv_gcanet_dehaze.pth")
    model = GCANet()
    load_weights(model, tmp_path / "wacv_gcanet_dehaze.pth", SYSTEM.importer)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())


def test_another_network_is_refused_with_the_differences(tmp_path: Path) -> None:
    state = published_state(published_shapes(6))
    state["res7.pre_conv1.weight"] = torch.ones(1, 1, 1, 1)
    state["gate.bias"] = torch.ones(4)
    torch.save(state, tmp_path / "other.pth")
    model = small()
    before = model.conv1.weight.clone()
    with pytest.raises(UserError, match="1 unexpected: res7.pre_conv1.weight; 1 other shape: gate.bias 4 instead of 3"):
        load_weights(model, tmp_path / "other.pth", SYSTEM.importer)
    assert torch.equal(model.conv1.weight, before)


def test_published_weights_restore_two_pictures_of_sots(shared: Path) -> None:
    """Two scenes of the sample on which all 120 pairs go from 12.79 to 29.49 dB."""
    model = GCANet().eval()
    load_weights(model, shared / "weights/gcanet_cddlyf.pth", SYSTEM.importer)
    pairs = open_split("sots-indoor", "test", root=shared / "data/sots-indoor")
    gains = []
    for pair in (pairs[0], pairs[len(pairs) - 1]):
        clear = np.float32(pair.clear) / 255
        restored = measure(restore(model, pair.hazy, SYSTEM.multiple), clear, "8bit")["psnr"]
        gains.append(restored - measure(np.float32(pair.hazy) / 255, clear, "8bit")["psnr"])
    assert min(gains) > 6, gains
