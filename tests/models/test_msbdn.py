"""MSBDN against its published facts: counts, key names, and a functional re-statement of every part."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib import models
from reprolib.errors import UserError
from reprolib.models.dehazing.msbdn import MSBDN, SYSTEM, DenseFusion, ResBlock
from reprolib.models.inference import pad_to_multiple, restore
from reprolib.models.weights import load_weights, read_state

WIDTHS = (16, 32, 64, 128, 256)


def published_shapes(widths: tuple[int, ...] = WIDTHS, blocks: int = 18) -> dict[str, tuple[int, ...]]:
    """Key names and shapes of the released MSBDN-DFF v1-1, written out from its layer table."""
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(stem: str, weight: tuple[int, ...], bias: int) -> None:
        shapes.update({f"{stem}.weight": weight, f"{stem}.bias": (bias,)})

    def residual(stem: str, c: int) -> None:
        layer(f"{stem}.conv1.conv2d", (c, c, 3, 3), c)
        layer(f"{stem}.conv2.conv2d", (c, c, 3, 3), c)
        shapes[f"{stem}.relu.weight"] = (1,)

    layer("conv_input.conv2d", (widths[0], 3, 11, 11), widths[0])
    layer("conv_output.conv2d", (3, widths[0], 3, 3), 3)
    for i in range(blocks):
        residual(f"dehaze.res{i}", widths[4])
    for level in range(4):
        small, large = widths[level], widths[level + 1]
        for k in range(3):
            residual(f"dense{level}.{k}", small)
            residual(f"dense_{level + 1}.{k}", small)
        factor = 2 ** (level + 1)
        layer(f"conv{factor}x.conv2d", (large, small, 3, 3), large)
        layer(f"convd{factor}x.conv2d", (large, small, 3, 3), small)
        for k in range(level + 1):  # encoder fusion at `large`, towards the level above
            near, far = widths[level + 1 - k], widths[level - k]
            layer(f"fusion{level + 1}.up_convs.{k}.deconv", (near, far, 4, 4), far)
            layer(f"fusion{level + 1}.down_convs.{k}.conv", (near, far, 4, 4), near)
        for k in range(4 - level):  # decoder fusion at `small`, towards the level below
            near, far = widths[level + k], widths[level + k + 1]
            layer(f"fusion_{level + 1}.down_convs.{k}.conv", (far, near, 4, 4), far)
            layer(f"fusion_{level + 1}.up_convs.{k}.deconv", (far, near, 4, 4), near)
    for stem in [key.rsplit(".", 2)[0] for key in list(shapes) if key.endswith(("conv.weight", "deconv.weight"))]:
        shapes[f"{stem}.act.weight"] = (1,)
    return shapes


def published_state(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A checkpoint with those names; every tensor holds a number of its own."""
    return {key: torch.full(shape, float(i)) for i, (key, shape) in enumerate(shapes.items())}


# The same network, once more, as functions of a state dict


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x > 0, x, slope * x)


def conv(state: dict[str, Tensor], stem: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = state[f"{stem}.conv2d.weight"]
    pad = weight.shape[-1] // 2
    return F.conv2d(F.pad(x, (pad,) * 4, mode="reflect"), weight, state[f"{stem}.conv2d.bias"], stride=stride)


def residual_block(state: dict[str, Tensor], stem: str, x: Tensor) -> Tensor:
    inner = prelu(conv(state, f"{stem}.conv1", x), state[f"{stem}.relu.weight"])
    return x + conv(state, f"{stem}.conv2", inner) / 10


def chain(state: dict[str, Tensor], stems: list[str], x: Tensor) -> Tensor:
    for stem in stems:
        x = residual_block(state, stem, x)
    return x


def project(state: dict[str, Tensor], stem: str, x: Tensor) -> Tensor:
    if f"{stem}.deconv.weight" in state:
        y = F.conv_transpose2d(x, state[f"{stem}.deconv.weight"], state[f"{stem}.deconv.bias"], stride=2, padding=1)
    else:
        y = F.conv2d(x, state[f"{stem}.conv.weight"], state[f"{stem}.conv.bias"], stride=2, padding=1)
    return prelu(y, state[f"{stem}.act.weight"])


def fuse(state: dict[str, Tensor], stem: str, x: Tensor, memory: list[Tensor], encoder: bool) -> Tensor:
    """By recursion over scales: err(k, y, m) = back_k(err(k + 1, towards_k(y), m)), and y - m at the far end."""
    towards, back = ("up_convs", "down_convs") if encoder else ("down_convs", "up_convs")

    def error(k: int, depth: int, y: Tensor, remembered: Tensor) -> Tensor:
        if k == depth:
            return y - remembered
        inner = error(k + 1, depth, project(state, f"{stem}.{towards}.{k}", y), remembered)
        return project(state, f"{stem}.{back}.{k}", inner)

    for t, remembered in enumerate(memory):
        x = x + error(0, len(memory) - t, x, remembered)
    return x


def network(state: dict[str, Tensor], x: Tensor, blocks: int) -> Tensor:
    h = [conv(state, "conv_input", x)]
    skips = [h[0] + chain(state, [f"dense0.{k}" for k in range(3)], h[0])]
    for level in (1, 2, 3):
        h.append(fuse(state, f"fusion{level}", conv(state, f"conv{2**level}x", skips[-1], 2), h, True))
        skips.append(h[-1] + chain(state, [f"dense{level}.{k}" for k in range(3)], h[-1]))
    f = fuse(state, "fusion4", conv(state, "conv16x", skips[-1], 2), h, True)
    memory = [chain(state, [f"dehaze.res{i}" for i in range(blocks)], 2 * f) + 2 * f - f]
    for level in (4, 3, 2, 1):
        skip = skips[level - 1]
        stem = f"convd{2**level}x.conv2d"
        up = F.conv_transpose2d(memory[-1], state[f"{stem}.weight"], state[f"{stem}.bias"], stride=2)
        u = F.interpolate(up, size=skip.shape[2:], mode="bilinear", align_corners=False)
        s = u + skip
        s = chain(state, [f"dense_{level}.{k}" for k in range(3)], s) + s - u
        memory.append(fuse(state, f"fusion_{level}", s, memory, False))
    return conv(state, "conv_output", memory[-1])


def small(width: int = 2, blocks: int = 2) -> MSBDN:
    return MSBDN(width, blocks).eval()


# Tests


def test_parameters_of_table_1() -> None:
    assert models.count_parameters(models.get("msbdn").build()) == 31_353_061
    assert sum(int(np.prod(shape)) for shape in published_shapes().values()) == 31_353_061


@pytest.mark.parametrize(("width", "blocks"), [(16, 18), (4, 3), (2, 0)])
def test_names_and_shapes_are_the_published_ones(width: int, blocks: int) -> None:
    with torch.device("meta"):
        state = MSBDN(width, blocks).state_dict()
    expected = published_shapes(tuple(width * 2**i for i in range(5)), blocks)
    assert {k: tuple(v.shape) for k, v in state.items()} == expected


@torch.no_grad()
def test_residual_block_restated() -> None:
    block, x = ResBlock(5).double(), torch.randn(2, 5, 7, 9, dtype=torch.float64)
    state = {f"b.{k}": v for k, v in block.state_dict().items()}
    torch.testing.assert_close(block(x), residual_block(state, "b", x), rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("encoder", [True, False])
def test_dense_fusion_restated(encoder: bool) -> None:
    scale = 2.0 if encoder else 0.5
    fusion, x = DenseFusion(8, 3, encoder=encoder).double(), torch.randn(2, 8, 16, 24, dtype=torch.float64)
    sizes = [(2, int(8 / scale**n), int(16 * scale**n), int(24 * scale**n)) for n in (3, 2, 1)]
    memory = [torch.randn(size, dtype=torch.float64) for size in sizes]
    state = {f"f.{k}": v for k, v in fusion.state_dict().items()}
    fused = fusion(x, memory)
    torch.testing.assert_close(fused, fuse(state, "f", x, memory, encoder), rtol=0, atol=1e-12)
    assert (fused - fuse(state, "f", x, [m.flip(2) for m in memory], encoder)).abs().max() > 1e-3


@torch.no_grad()
def test_fusion_leaves_a_feature_that_projects_onto_the_remembered_one() -> None:
    """Nothing to correct: a zero difference comes back as zero when the projections have no bias."""
    fusion, x = DenseFusion(8, 1, encoder=True), torch.randn(1, 8, 6, 6)
    nn.init.zeros_(fusion.down_convs[0].conv.bias)
    remembered = fusion.up_convs[0](x)
    assert torch.equal(fusion(x, [remembered]), x)
    assert not torch.equal(fusion(x, [remembered + 1]), x)


@torch.no_grad()
def test_the_whole_network_restated() -> None:
    model, x = small(width=3, blocks=2).double(), torch.rand(2, 3, 32, 48, dtype=torch.float64)
    torch.testing.assert_close(model(x), network(model.state_dict(), x, blocks=2), rtol=0, atol=1e-10)


def test_every_parameter_is_trained() -> None:
    model = small().train()
    model(torch.rand(1, 3, 32, 32)).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@torch.no_grad()
def test_one_picture_gives_the_same_alone_and_in_a_batch() -> None:
    model, x = small(), torch.rand(3, 3, 32, 48)
    torch.testing.assert_close(model(x[1:2]), model(x)[1:2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(413, 550), (46, 62), (47, 63), (32, 33), (17, 40)])
def test_any_picture_size_by_padding(height: int, width: int) -> None:
    model = small(width=1, blocks=1)
    hazy = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    restored = restore(model, hazy, SYSTEM.multiple)
    assert restored.shape == (height, width, 3) and np.isfinite(restored).all()
    x = pad_to_multiple(torch.from_numpy(hazy).permute(2, 0, 1)[None] / 255, SYSTEM.multiple)
    with torch.no_grad():
        expected = model(x)[0, :, :height, :width].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(restored, expected)


@pytest.mark.parametrize(("height", "width"), [(16, 64), (64, 16), (40, 64), (64, 65)])
def test_a_size_that_it_cannot_take_is_said(height: int, width: int) -> None:
    with pytest.raises(UserError, match=f"cannot take {width}x{height} pixels.*multiples of 16.*at least 32"):
        small()(torch.rand(1, 3, height, width))


@torch.no_grad()
def test_bf16_autocast_on_the_cpu() -> None:
    model, x = small(width=4), torch.rand(1, 3, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(x)
    torch.testing.assert_close(half.float(), model(x), rtol=0.05, atol=0.05)


# Published weights


def test_a_published_state_dict_loads_strictly(tmp_path: Path) -> None:
    state = published_state(published_shapes((2, 4, 8, 16, 32), blocks=18))
    torch.save({f"module.{k}": v for k, v in state.items()}, tmp_path / "msbdn.pth")
    model = MSBDN(width=2)
    load_weights(model, tmp_path / "msbdn.pth", SYSTEM.importer)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_the_published_form_a_pickled_module_of_a_class_that_is_gone(tmp_path: Path, zipped: bool) -> None:
    """Both file formats of torch.save; the older one is what a model of 2020 comes in."""
    width, path = 2, tmp_path / "model.pkl"
    shapes = published_shapes(tuple(width * 2**i for i in range(5)))
    code = types.ModuleType("networks_of_2020")
    exec("from torch import nn\nclass Net(nn.Module): pass\nclass Layer(nn.Module): pass", code.__dict__)
    net, state = code.Net(), published_state(shapes)
    for key, tensor in state.items():
        *parents, name = key.split(".")
        owner = net
        for parent in parents:
            if parent not in owner._modules:
                owner.add_module(parent, code.Layer())
            owner = owner._modules[parent]
        owner.register_parameter(name, nn.Parameter(tensor))
    sys.modules[code.__name__] = code
    try:
        torch.save(net, path, _use_new_zipfile_serialization=zipped)
    finally:
        del sys.modules[code.__name__]
    assert read_state(path).keys() == shapes.keys()
    model = MSBDN(width)
    load_weights(model, path, SYSTEM.importer)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())


def test_another_network_is_refused_with_the_differences(tmp_path: Path) -> None:
    state = published_state(published_shapes((2, 4, 8, 16, 32), blocks=2))
    state["dense5.0.relu.weight"] = state.pop("dense0.0.relu.weight")
    torch.save(state, tmp_path / "other.pth")
    model = small(width=2, blocks=2)
    before = model.conv_input.conv2d.weight.clone()
    with pytest.raises(UserError, match="1 missing: dense0.0.relu.weight; 1 unexpected: dense5.0.relu.weight"):
        load_weights(model, tmp_path / "other.pth", SYSTEM.importer)
    assert torch.equal(model.conv_input.conv2d.weight, before)
