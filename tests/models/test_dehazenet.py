"""DehazeNet against its published facts: count, arithmetic re-stated in NumPy, MATLAB weights, two real pictures."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from reprolib import models
from reprolib.data.paired import open_split
from reprolib.errors import UserError
from reprolib.metrics.protocols import measure
from reprolib.models.dehazing.dehazenet import SYSTEM, DehazeNet, airlight, pad_symmetric
from reprolib.models.inference import restore
from reprolib.models.weights import load_weights

LAYERS = {"conv1": (16, 3, 5), "conv3x3": (16, 4, 3), "conv5x5": (16, 4, 5), "conv7x7": (16, 4, 7), "ip": (1, 48, 6)}
"""Outputs, inputs and side of the kernel."""

# The same arithmetic, once more, in NumPy; pictures are CHW in float64


def windows(x: NDArray, side: int, mode: str | None, before: int, after: int) -> NDArray:
    """C, H, W, side, side: what lies under the window at each place; mode None adds no border."""
    border = ((0, 0), (before, after), (before, after))
    return sliding_window_view(x if mode is None else np.pad(x, border, mode=mode), (side, side), axis=(1, 2))


def correlate(state: dict[str, NDArray], layer: str, x: NDArray, mode: str | None) -> NDArray:
    weight = state[f"{layer}.weight"]
    side = weight.shape[-1]
    under = windows(x, side, mode, (side - 1) // 2, side // 2)
    return np.einsum("oiyx,ihwyx->ohw", weight, under) + state[f"{layer}.bias"][:, None, None]


def transmission(state: dict[str, NDArray], hazy: NDArray, *, whole: bool) -> NDArray:
    """HW; `whole` for pictures with borders, otherwise patches as in training."""
    borders = ("symmetric", "symmetric", "edge") if whole else (None, "constant", None)
    f1 = correlate(state, "conv1", hazy - 0.5, borders[0])
    f1 = np.stack([f1[4 * i : 4 * i + 4].max(0) for i in range(4)])
    f2 = np.concatenate([correlate(state, layer, f1, borders[1]) for layer in ("conv3x3", "conv5x5", "conv7x7")])
    f3 = windows(f2, 7, borders[2], 3, 3).max((3, 4))
    return correlate(state, "ip", f3, borders[0])[0].clip(0, 1)


def box(x: NDArray, radius: int) -> NDArray:
    height, width = x.shape
    rows = [slice(max(0, i - radius), i + radius + 1) for i in range(height)]
    columns = [slice(max(0, j - radius), j + radius + 1) for j in range(width)]
    return np.array([[x[row, column].mean() for column in columns] for row in rows])


def recover(hazy: NDArray, t: NDArray, radius: int, epsilon: float, t0: float) -> NDArray:
    luma = np.einsum("c,chw->hw", [0.299, 0.587, 0.114], hazy)
    threshold = np.sort(t.ravel())[max(1, int(0.01 * t.size + 0.5)) - 1]
    candidates = [(y, x) for y, x in np.ndindex(t.shape) if t[y, x] <= threshold]
    brightest = max(luma[y, x] for y, x in candidates)
    light = np.mean([hazy[:, y, x] for y, x in candidates if luma[y, x] == brightest], axis=0)[:, None, None]
    variance = box(luma**2, radius) - box(luma, radius) ** 2
    slope = (box(luma * t, radius) - box(luma, radius) * box(t, radius)) / (variance + epsilon)
    offset = box(t, radius) - slope * box(luma, radius)
    refined = np.maximum(box(slope, radius) * luma + box(offset, radius), t0)
    return (hazy - light) / refined + light


def numpy_state(model: DehazeNet) -> dict[str, NDArray]:
    return {k: v.numpy() for k, v in model.double().state_dict().items()}


def lively(**options: float) -> DehazeNet:
    """Random weights large enough that the transmission reaches from one limit to the other."""
    model = DehazeNet(**options).eval()
    torch.nn.init.normal_(model.ip.weight, std=0.1)
    with torch.no_grad():
        model.ip.bias.copy_(0.5 - (model.transmission(torch.rand(1, 3, 40, 40)).mean() - 0.5))
    return model


# Tests


def test_parameters_of_table_1() -> None:
    assert models.count_parameters(models.get("dehazenet").build()) == 8_305
    assert sum(o * i * k * k + o for o, i, k in LAYERS.values()) == 8_305


def test_layers() -> None:
    state = DehazeNet().state_dict()
    expected = {f"{name}.weight": (o, i, k, k) for name, (o, i, k) in LAYERS.items()}
    expected |= {f"{name}.bias": (o,) for name, (o, _, _) in LAYERS.items()}
    assert {k: tuple(v.shape) for k, v in state.items()} == expected


@pytest.mark.parametrize("size", [(5, 7), (2, 3), (1, 1)])
@pytest.mark.parametrize("border", [(2, 2), (2, 3), (3, 1)])
def test_symmetric_padding_is_numpys(size: tuple[int, int], border: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), border, border), mode="symmetric")
    np.testing.assert_array_equal(pad_symmetric(x, *border).numpy(), expected)


@torch.no_grad()
@pytest.mark.parametrize("size", [(20, 17), (9, 24), (3, 4)])
def test_transmission_restated(size: tuple[int, int]) -> None:
    model, x = lively().double(), torch.rand(2, 3, *size, dtype=torch.float64)
    t = model.transmission(x).numpy()
    expected = np.stack([transmission(numpy_state(model), picture, whole=True)[None] for picture in x.numpy()])
    np.testing.assert_allclose(t, expected, atol=1e-12)
    assert np.ptp(t) > 0.05


@torch.no_grad()
def test_patch_transmission_restated() -> None:
    model, x = lively().double(), torch.rand(3, 3, 16, 16, dtype=torch.float64)
    t = model.patch_transmission(x).numpy()
    assert t.shape == (3, 1, 1, 1)
    expected = [transmission(numpy_state(model), patch, whole=False)[None] for patch in x.numpy()]
    np.testing.assert_allclose(t, np.stack(expected), atol=1e-12)


@torch.no_grad()
def test_patches_and_whole_pictures_agree_away_from_the_borders() -> None:
    """The 16x16 pixels that a value depends on reach 7 pixels up and left, and 8 down and right."""
    model, x = lively().double(), torch.rand(1, 3, 36, 30, dtype=torch.float64)
    whole, patches = model.transmission(x), model.patch_transmission(x)
    assert patches.shape == (1, 1, 36 - 15, 30 - 15)
    # Three more at each side see the zeros around F1.
    torch.testing.assert_close(patches[..., 3:-3, 3:-3], whole[..., 10:-11, 10:-11], rtol=1e-5, atol=1e-6)
    assert (patches - whole[..., 7:-8, 7:-8]).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("t0", [0.1, 0.4])
def test_the_whole_network_restated(t0: float) -> None:
    model, x = lively(radius=4, epsilon=1e-2, t0=t0).double(), torch.rand(2, 3, 18, 13, dtype=torch.float64)
    state = numpy_state(model)
    expected = [recover(p, transmission(state, p, whole=True), 4, 1e-2, t0) for p in x.numpy()]
    np.testing.assert_allclose(model(x).numpy(), np.stack(expected), rtol=1e-8, atol=1e-8)


@torch.no_grad()
def test_a_constant_transmission_inverts_the_haze_model_exactly() -> None:
    """I = J t + A (1 - t) with A among the pixels of J, hence also the brightest pixel of I."""
    model, clear = DehazeNet().double(), torch.rand(2, 3, 12, 15, dtype=torch.float64) * 0.8
    light = torch.tensor([0.95, 0.9, 0.85], dtype=torch.float64).view(3, 1, 1)
    clear[..., 2:4, 5:7] = light
    torch.nn.init.zeros_(model.ip.weight)
    torch.nn.init.constant_(model.ip.bias, 0.6)
    torch.testing.assert_close(model(0.6 * clear + 0.4 * light), clear, rtol=0, atol=1e-9)


def test_airlight_is_sought_in_the_haziest_hundredth_of_each_picture() -> None:
    t, x = torch.linspace(0.2, 0.9, 400).view(1, 1, 20, 20).repeat(2, 1, 1, 1), torch.full((2, 3, 20, 20), 0.3)
    x[0, :, 0, 1] = torch.tensor([0.5, 0.6, 0.7])
    x[0, :, 0, 4] = 0.9  # the fifth lowest of 400: not among the haziest 4
    x[1, :, 0, 0], x[1, :, 0, 3] = torch.tensor([0.6, 0.5, 0.4]), torch.tensor([0.6, 0.5, 0.4])
    expected = torch.tensor([[0.5, 0.6, 0.7], [0.6, 0.5, 0.4]]).view(2, 3, 1, 1)
    torch.testing.assert_close(airlight(x, t), expected)


@pytest.mark.parametrize("form", ["forward", "patch_transmission"])
def test_every_parameter_is_trained_from_the_start(form: str) -> None:
    model = DehazeNet().train()
    x = torch.rand(8, 3, 16, 16)
    getattr(model, form)(x).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@torch.no_grad()
@pytest.mark.parametrize("seed", range(5))
def test_the_limiter_is_open_at_the_start(seed: int) -> None:
    torch.manual_seed(seed)
    t = DehazeNet().transmission(torch.rand(4, 3, 32, 32))
    assert ((t > 0) & (t < 1)).float().mean() > 0.99


@torch.no_grad()
def test_one_picture_gives_the_same_alone_and_in_a_batch() -> None:
    model, x = lively(), torch.rand(3, 3, 21, 30)
    torch.testing.assert_close(model(x[1:2]), model(x)[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(413, 550), (46, 62), (47, 63), (17, 41), (1, 3), (1, 1)])
def test_any_picture_size_without_padding(height: int, width: int) -> None:
    assert SYSTEM.multiple == 1
    hazy = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    restored = restore(lively(), hazy, SYSTEM.multiple)
    assert restored.shape == (height, width, 3) and np.isfinite(restored).all()


@torch.no_grad()
def test_bf16_autocast_on_the_cpu() -> None:
    model, x = lively(), torch.rand(1, 3, 24, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half, restored = model.transmission(x), model(x)
    torch.testing.assert_close(half, model.transmission(x), rtol=0.05, atol=0.05)
    assert restored.dtype == torch.float32 and restored.isfinite().all()


# Published weights


def published_arrays(generator: np.random.Generator) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
    """A .mat file's content with the published names and shapes, and the state dict that it stands for."""
    arrays, state = {}, {}
    for layer, (out, channels, side) in LAYERS.items():
        weight = generator.standard_normal((out, channels, side, side)).astype(np.float32)
        # MATLAB's A(:): a kernel column by column.
        packed = np.stack([[kernel.ravel(order="F") for kernel in kernels] for kernels in weight], axis=-1)
        arrays[f"weights_{layer}"] = packed[..., 0] if out == 1 else packed
        state[f"{layer}.weight"] = weight
        state[f"{layer}.bias"] = generator.standard_normal(out).astype(np.float32)
        arrays[f"biases_{layer}"] = state[f"{layer}.bias"][:, None]
    return arrays, state


def test_published_arrays_load_strictly_with_their_kernels_turned(tmp_path: Path) -> None:
    arrays, state = published_arrays(np.random.default_rng(0))
    assert {k: v.shape for k, v in arrays.items() if k.startswith("weights")} == {
        "weights_conv1": (3, 25, 16), "weights_conv3x3": (4, 9, 16), "weights_conv5x5": (4, 25, 16),
        "weights_conv7x7": (4, 49, 16), "weights_ip": (48, 36),
    }
    scipy.io.savemat(tmp_path / "dehaze.mat", arrays)
    model = DehazeNet()
    load_weights(model, tmp_path / "dehaze.mat", SYSTEM.importer)
    for key, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), state[key], err_msg=key)


def test_our_own_weights_need_no_importer_and_survive_it(tmp_path: Path) -> None:
    source, target = lively(), DehazeNet()
    torch.save(source.state_dict(), tmp_path / "ours.pth")
    load_weights(target, tmp_path / "ours.pth", SYSTEM.importer)
    assert all(torch.equal(tensor, source.state_dict()[key]) for key, tensor in target.state_dict().items())


@pytest.mark.parametrize(("change", "difference"), [
    ({"weights_conv1": np.ones((3, 9, 16))}, "1 other shape: conv1.weight 16x3x3x3 instead of 16x3x5x5"),
    ({"weights_conv1": np.ones((3, 24, 16))}, "another network, nothing was loaded"),
    ({"biases_ip": None}, "1 missing: ip.bias"),
])
def test_other_arrays_are_refused_with_the_differences(tmp_path: Path, change: dict, difference: str) -> None:
    arrays = published_arrays(np.random.default_rng(0))[0] | change
    scipy.io.savemat(tmp_path / "other.mat", {k: v for k, v in arrays.items() if v is not None})
    model = DehazeNet()
    before = model.conv1.weight.clone()
    with pytest.raises(UserError, match=difference):
        load_weights(model, tmp_path / "other.mat", SYSTEM.importer)
    assert torch.equal(model.conv1.weight, before)


def test_published_weights_restore_two_pictures_of_sots(shared: Path) -> None:
    model = DehazeNet().eval()
    load_weights(model, shared / "weights/dehazenet_caibolun.mat", SYSTEM.importer)
    assert sum(prod(p.shape) for p in model.parameters()) == 8_305
    pairs = open_split("sots-indoor", "test", root=shared / "data/sots-indoor")
    gains = []
    for pair in (pairs[0], pairs[len(pairs) - 1]):
        clear = np.float32(pair.clear) / 255
        restored = measure(restore(model, pair.hazy, SYSTEM.multiple), clear, "8bit")["psnr"]
        gains.append(restored - measure(np.float32(pair.hazy) / 255, clear, "8bit")["psnr"])
    assert min(gains) > 2, gains
