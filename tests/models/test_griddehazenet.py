"""GridDehazeNet against its published facts: counts, key names, and a functional re-statement."""

from __future__ import annotations

from functools import cache
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from reprolib import models
from reprolib.errors import UserError
from reprolib.models.dehazing.griddehazenet import RDB, SYSTEM, GridDehazeNet, Up
from reprolib.models.inference import restore
from reprolib.models.weights import load_weights


def published_shapes(width: int = 16, growth: int = 16) -> dict[str, tuple[int, ...]]:
    """Key names and shapes of the released network, written out from its layer table."""
    shapes: dict[str, tuple[int, ...]] = {"coefficient": (3, 6, 2, 4 * width)}

    def layer(stem: str, weight: tuple[int, ...], bias: int) -> None:
        shapes.update({f"{stem}.weight": weight, f"{stem}.bias": (bias,)})

    def rdb(stem: str, c: int) -> None:
        for k in range(4):
            layer(f"{stem}.residual_dense_layers.{k}.conv", (growth, c + k * growth, 3, 3), growth)
        layer(f"{stem}.conv_1x1", (c, c + 4 * growth, 1, 1), c)

    layer("conv_in", (width, 3, 3, 3), width)
    layer("conv_out", (3, width, 3, 3), 3)
    rdb("rdb_in", width)
    rdb("rdb_out", width)
    for row in range(3):
        c = width * 2**row
        for column in range(5):
            rdb(f"rdb_module.{row}_{column}", c)
        for column in (0, 1, 2) if row < 2 else ():
            layer(f"downsample_module.{row}_{column}.conv1", (c, c, 3, 3), c)
            layer(f"downsample_module.{row}_{column}.conv2", (2 * c, c, 3, 3), 2 * c)
        for column in (3, 4, 5) if row < 2 else ():
            layer(f"upsample_module.{row}_{column}.deconv", (2 * c, 2 * c, 3, 3), 2 * c)
            layer(f"upsample_module.{row}_{column}.conv", (c, 2 * c, 3, 3), c)
    return shapes


def published_state(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A checkpoint with those names; every tensor holds a number of its own."""
    return {key: torch.full(shape, float(i)) for i, (key, shape) in enumerate(shapes.items())}


# The same network, once more: each node of the grid asks for the nodes that it needs


def conv(state: dict[str, Tensor], stem: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = state[f"{stem}.weight"]
    return F.conv2d(x, weight, state[f"{stem}.bias"], stride=stride, padding=weight.shape[-1] // 2)


def dense_block(state: dict[str, Tensor], stem: str, x: Tensor) -> Tensor:
    joined = [x]
    for k in range(4):
        joined.append(conv(state, f"{stem}.residual_dense_layers.{k}.conv", torch.cat(joined, 1)).clamp_min(0))
    return x + conv(state, f"{stem}.conv_1x1", torch.cat(joined, 1))


def upwards(state: dict[str, Tensor], stem: str, x: Tensor, like: Tensor) -> Tensor:
    """A transposed convolution with stride 2 is a convolution, with the flipped kernel, of x between zeros."""
    spread = x.new_zeros(*x.shape[:2], *like.shape[2:])
    spread[..., ::2, ::2] = x
    weight = state[f"{stem}.deconv.weight"].transpose(0, 1).flip(2, 3)
    y = F.conv2d(spread, weight, state[f"{stem}.deconv.bias"], padding=1).clamp_min(0)
    return conv(state, f"{stem}.conv", y).clamp_min(0)


def network(state: dict[str, Tensor], hazy: Tensor) -> Tensor:
    @cache
    def node(row: int, column: int) -> Tensor:
        if (row, column) == (0, 0):
            return dense_block(state, "rdb_in", conv(state, "conv_in", (hazy - 0.5) / 0.5))
        paths = {}
        if column > 0:
            paths[0] = dense_block(state, f"rdb_module.{row}_{column - 1}", node(row, column - 1))
        if column < 3 and row > 0:
            stem = f"downsample_module.{row - 1}_{column}"
            inner = conv(state, f"{stem}.conv1", node(row - 1, column), stride=2).clamp_min(0)
            paths[1] = conv(state, f"{stem}.conv2", inner).clamp_min(0)
        if column > 2 and row < 2:
            paths[1] = upwards(state, f"upsample_module.{row}_{column}", node(row + 1, column), node(row, column - 1))
        if len(paths) == 1:
            return next(iter(paths.values()))
        factors = state["coefficient"][row, column]
        return sum(paths[i] * factors[i, : paths[i].shape[1]].view(-1, 1, 1) for i in (0, 1))

    return conv(state, "conv_out", dense_block(state, "rdb_out", node(0, 5))).clamp_min(0)


def small(width: int = 4, growth: int = 3) -> GridDehazeNet:
    """Reduced, with fusion coefficients that differ from each other and a bright output."""
    model = GridDehazeNet(width, growth).eval()
    torch.nn.init.uniform_(model.coefficient, 0.5, 1.5)
    torch.nn.init.constant_(model.conv_out.bias, 0.5)
    return model


# Tests


def test_parameters_of_table_1() -> None:
    assert models.count_parameters(models.get("griddehazenet").build()) == 958_051
    assert sum(prod(shape) for shape in published_shapes().values()) == 958_051


@pytest.mark.parametrize(("width", "growth"), [(16, 16), (4, 3)])
def test_names_and_shapes_are_the_published_ones(width: int, growth: int) -> None:
    with torch.device("meta"):
        state = GridDehazeNet(width, growth).state_dict()
    assert {k: tuple(v.shape) for k, v in state.items()} == published_shapes(width, growth)


def test_fusion_begins_with_equal_shares() -> None:
    assert torch.equal(GridDehazeNet(2, 2).coefficient, torch.ones(3, 6, 2, 8))


@torch.no_grad()
def test_dense_block_restated() -> None:
    block, x = RDB(5, 3).double(), torch.randn(2, 5, 7, 9, dtype=torch.float64)
    state = {f"b.{k}": v for k, v in block.state_dict().items()}
    torch.testing.assert_close(block(x), dense_block(state, "b", x), rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("size", [(8, 6), (7, 6), (8, 5), (7, 5)])
def test_up_restated_for_even_and_odd_sizes(size: tuple[int, int]) -> None:
    up, x = Up(4).double(), torch.randn(2, 4, 4, 3, dtype=torch.float64)
    like = torch.empty(2, 2, *size, dtype=torch.float64)
    state = {f"u.{k}": v for k, v in up.state_dict().items()}
    y = up(x, like)
    assert y.shape[2:] == size
    torch.testing.assert_close(y, upwards(state, "u", x, like), rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("size", [(16, 20), (13, 11), (14, 9)])
def test_the_whole_network_restated(size: tuple[int, int]) -> None:
    model, x = small().double(), torch.rand(2, 3, *size, dtype=torch.float64)
    restored = model(x)
    torch.testing.assert_close(restored, network(model.state_dict(), x), rtol=0, atol=1e-10)
    assert restored.std() > 1e-3


@torch.no_grad()
def test_the_full_size_network_restated_in_single_precision() -> None:
    model, x = GridDehazeNet().eval(), torch.rand(1, 3, 12, 10)
    torch.nn.init.constant_(model.conv_out.bias, 0.5)
    torch.testing.assert_close(model(x), network(model.state_dict(), x), rtol=1e-5, atol=1e-6)


def test_exactly_672_fusion_coefficients_are_trained() -> None:
    """Both shares at four downward nodes and six upward ones: 2 * (2 * (32 + 64) + 3 * (16 + 32))."""
    model = GridDehazeNet().train()
    torch.nn.init.constant_(model.conv_out.bias, 0.5)
    model(torch.rand(2, 3, 16, 16)).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    touched = model.coefficient.grad != 0
    where = {tuple(map(int, index)) for index in touched.any(3).nonzero()}
    expected = [(1, 1), (1, 2), (2, 1), (2, 2), *((row, column) for row in (0, 1) for column in (3, 4, 5))]
    assert where == {(*node, side) for node in expected for side in (0, 1)}
    assert touched.sum() <= 672
    for row, column, side in where:
        assert not touched[row, column, side, 16 * 2**row :].any()


@torch.no_grad()
def test_one_picture_gives_the_same_alone_and_in_a_batch() -> None:
    model, x = small(), torch.rand(3, 3, 15, 17)
    torch.testing.assert_close(model(x[1:2]), model(x)[1:2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(413, 550), (46, 62), (47, 63), (17, 40), (1, 1), (2, 5)])
def test_any_picture_size_without_padding(height: int, width: int) -> None:
    assert SYSTEM.multiple == 1
    model = small(width=1, growth=1)
    hazy = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    restored = restore(model, hazy, SYSTEM.multiple)
    assert restored.shape == (height, width, 3) and np.isfinite(restored).all()


@torch.no_grad()
def test_bf16_autocast_on_the_cpu() -> None:
    model, x = small(width=8, growth=8), torch.rand(1, 3, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(x)
    torch.testing.assert_close(half.float(), model(x), rtol=0.05, atol=0.05)


# Published weights


def test_a_published_state_dict_loads_strictly(tmp_path: Path) -> None:
    state = published_state(published_shapes())
    torch.save({f"module.{k}": v for k, v in state.items()}, tmp_path / "grid.pth")
    model = GridDehazeNet()
    load_weights(model, tmp_path / "grid.pth", SYSTEM.importer)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())


def test_another_network_is_refused_with_the_differences(tmp_path: Path) -> None:
    state = published_state(published_shapes(4, 3))
    state["rdb_module.2_5.conv_1x1.bias"] = state.pop("rdb_module.2_4.conv_1x1.bias")
    torch.save(state, tmp_path / "other.pth")
    model = small()
    before = model.coefficient.clone()
    message = "1 missing: rdb_module.2_4.conv_1x1.bias; 1 unexpected: rdb_module.2_5.conv_1x1.bias"
    with pytest.raises(UserError, match=message):
        load_weights(model, tmp_path / "other.pth", SYSTEM.importer)
    assert torch.equal(model.coefficient, before)
