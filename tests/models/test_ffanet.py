"""FFA-Net against its published facts: counts, key names, and a functional re-statement."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from reprolib import models
from reprolib.errors import UserError
from reprolib.models.dehazing.ffanet import SYSTEM, FFANet
from reprolib.models.inference import restore
from reprolib.models.weights import load_weights


def published_shapes(blocks: int = 19, c: int = 64, squeezed: int = 4) -> dict[str, tuple[int, ...]]:
    """Key names and shapes of the released network, written out from its layer table."""
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(stem: str, out: int, channels: int, kernel: int) -> None:
        shapes.update({f"{stem}.weight": (out, channels, kernel, kernel), f"{stem}.bias": (out,)})

    layer("pre.0", c, 3, 3)
    for group in (1, 2, 3):
        for block in range(blocks):
            stem = f"g{group}.gp.{block}"
            layer(f"{stem}.conv1", c, c, 3)
            layer(f"{stem}.conv2", c, c, 3)
            layer(f"{stem}.calayer.ca.0", c // 8, c, 1)
            layer(f"{stem}.calayer.ca.2", c, c // 8, 1)
            layer(f"{stem}.palayer.pa.0", c // 8, c, 1)
            layer(f"{stem}.palayer.pa.2", 1, c // 8, 1)
        layer(f"g{group}.gp.{blocks}", c, c, 3)
    layer("ca.1", squeezed, 3 * c, 1)
    layer("ca.3", 3 * c, squeezed, 1)
    layer("palayer.pa.0", c // 8, c, 1)
    layer("palayer.pa.2", 1, c // 8, 1)
    layer("post.0", c, c, 3)
    layer("post.1", 3, c, 3)
    return shapes


def published_state(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A checkpoint with those names; every tensor holds a number of its own."""
    return {key: torch.full(shape, float(i)) for i, (key, shape) in enumerate(shapes.items())}


# The same network, once more, as functions of a state dict


def conv(state: dict[str, Tensor], stem: str, x: Tensor) -> Tensor:
    weight = state[f"{stem}.weight"]
    return F.conv2d(x, weight, state[f"{stem}.bias"], padding=weight.shape[-1] // 2)


def gate(state: dict[str, Tensor], first: str, second: str, x: Tensor) -> Tensor:
    return torch.sigmoid(conv(state, second, conv(state, first, x).clamp_min(0)))


def mean(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)


def block(state: dict[str, Tensor], stem: str, x: Tensor) -> Tensor:
    y = conv(state, f"{stem}.conv2", conv(state, f"{stem}.conv1", x).clamp_min(0) + x)
    y = y * gate(state, f"{stem}.calayer.ca.0", f"{stem}.calayer.ca.2", mean(y))
    return x + y * gate(state, f"{stem}.palayer.pa.0", f"{stem}.palayer.pa.2", y)


def network(state: dict[str, Tensor], hazy: Tensor, blocks: int) -> Tensor:
    scaled = torch.stack([(hazy[:, c] - m) / s for c, (m, s) in enumerate(((0.64, 0.14), (0.60, 0.15), (0.58, 0.152)))])
    scaled = scaled.transpose(0, 1)
    results = [conv(state, "pre.0", scaled)]
    for group in (1, 2, 3):
        y = results[-1]
        for i in range(blocks):
            y = block(state, f"g{group}.gp.{i}", y)
        results.append(results[-1] + conv(state, f"g{group}.gp.{blocks}", y))
    stacked = torch.stack(results[1:], 1)  # batch, group, channel, height, width
    weights = gate(state, "ca.1", "ca.3", mean(stacked.flatten(1, 2))).view(*stacked.shape[:3], 1, 1)
    y = (weights * stacked).sum(1)
    y = y * gate(state, "palayer.pa.0", "palayer.pa.2", y)
    return conv(state, "post.1", conv(state, "post.0", y)) + scaled


def small(width: int = 16, blocks: int = 2) -> FFANet:
    return FFANet(width, blocks).eval()


# Tests


def test_parameters_of_table_1_and_of_the_published_weights() -> None:
    system = models.get("ffanet")
    assert models.count_parameters(system.build()) == 4_682_356
    assert sum(prod(shape) for shape in published_shapes(blocks=20).values()) == 4_682_356
    assert models.count_parameters(system.build(blocks=19)) == 4_455_913
    assert sum(prod(shape) for shape in published_shapes(blocks=19).values()) == 4_455_913


@pytest.mark.parametrize(("width", "squeezed", "blocks"), [(64, 4, 20), (64, 4, 19), (32, 2, 3), (8, 1, 0)])
def test_names_and_shapes_are_the_published_ones(width: int, squeezed: int, blocks: int) -> None:
    with torch.device("meta"):
        state = FFANet(width, blocks).state_dict()
    assert {k: tuple(v.shape) for k, v in state.items()} == published_shapes(blocks, width, squeezed)


@torch.no_grad()
def test_the_whole_network_restated() -> None:
    model, x = small().double(), torch.rand(2, 3, 9, 12, dtype=torch.float64)
    # Sigmoid gates hide an exchanged group or channel where all logits are small.
    for p in model.ca.parameters():
        p.mul_(20)
    # The constants are kept in single precision.
    torch.testing.assert_close(model(x), network(model.state_dict(), x, blocks=2), rtol=0, atol=1e-6)


@torch.no_grad()
def test_the_full_size_network_restated_in_single_precision() -> None:
    model, x = FFANet().eval(), torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(model(x), network(model.state_dict(), x, blocks=20), rtol=1e-5, atol=5e-6)


@torch.no_grad()
def test_the_residual_adds_the_normalised_picture() -> None:
    model = small()
    torch.nn.init.zeros_(model.post[1].weight)
    torch.nn.init.zeros_(model.post[1].bias)
    grey = torch.tensor([0.64, 0.60, 0.58]).view(1, 3, 1, 1).expand(1, 3, 5, 4)
    torch.testing.assert_close(model(grey), torch.zeros(1, 3, 5, 4), rtol=0, atol=1e-6)
    brighter = grey + torch.tensor([0.14, 0.15, 0.152]).view(3, 1, 1)
    torch.testing.assert_close(model(brighter), torch.ones(1, 3, 5, 4), rtol=0, atol=1e-6)


def test_every_parameter_is_trained() -> None:
    model = small().train()
    for name, p in model.named_parameters():
        if name.endswith(("ca.0.bias", "pa.0.bias", "ca.1.bias")):
            torch.nn.init.ones_(p)  # no ReLU of a gate is shut for good
    model(torch.rand(2, 3, 12, 12)).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@torch.no_grad()
def test_one_picture_gives_the_same_alone_and_in_a_batch() -> None:
    model, x = small(), torch.rand(3, 3, 11, 14)
    torch.testing.assert_close(model(x[1:2]), model(x)[1:2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(413, 550), (46, 62), (47, 63), (17, 40), (1, 2)])
def test_any_picture_size_without_padding(height: int, width: int) -> None:
    assert SYSTEM.multiple == 1
    model = small(width=8, blocks=1)
    hazy = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    restored = restore(model, hazy, SYSTEM.multiple)
    assert restored.shape == (height, width, 3) and np.isfinite(restored).all()


@torch.no_grad()
def test_bf16_autocast_on_the_cpu() -> None:
    model, x = small(), torch.rand(1, 3, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(x)
    torch.testing.assert_close(half.float(), model(x), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("width", [0, 4, 12])
def test_a_width_that_attention_cannot_divide_is_said(width: int) -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        FFANet(width)


# Published weights


def test_a_published_checkpoint_loads_strictly_with_19_blocks(tmp_path: Path) -> None:
    """In its published form: the weights under 'model', beside the history, with DataParallel's prefix."""
    state = published_state(published_shapes(blocks=19))
    checkpoint = {"step": 500_000, "max_psnr": 36.39, "max_ssim": 0.9886, "psnrs": [36.39], "losses": [0.01],
                  "model": {f"module.{k}": v for k, v in state.items()}}
    torch.save(checkpoint, tmp_path / "its_train_ffa_3_19.pk")
    model = SYSTEM.build(blocks=19)
    load_weights(model, tmp_path / "its_train_ffa_3_19.pk", SYSTEM.importer)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())


def test_another_number_of_blocks_is_refused_with_the_differences(tmp_path: Path) -> None:
    torch.save(published_state(published_shapes(blocks=2, c=16, squeezed=1)), tmp_path / "two.pth")
    model = small(blocks=3)
    before = model.pre[0].weight.clone()
    with pytest.raises(UserError, match="42 missing: g1.gp.2.conv1.weight.*6 unexpected: g1.gp.2.weight, g1.gp.2.bias"):
        load_weights(model, tmp_path / "two.pth", SYSTEM.importer)
    assert torch.equal(model.pre[0].weight, before)
