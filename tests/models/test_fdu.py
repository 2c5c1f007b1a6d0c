"""FDU (PFDN, third-party layout): counts, key names, and a functional re-statement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from reprolib import models
from reprolib.errors import UserError
from reprolib.models.dehazing.fdu import PFDN, SYSTEM, FeatureDehazingBlock, FeatureDehazingUnit
from reprolib.models.inference import restore
from reprolib.models.weights import load_weights


def layout(width: int = 64, blocks: int = 9) -> dict[str, tuple[int, ...]]:
    """Key names and shapes of the third-party network, written out from its layer table."""
    w, c = width, 4 * width
    layers: dict[str, tuple[tuple[int, ...], int]] = {
        "encoder.0": ((w, 3, 3, 3), w), "encoder.2": ((2 * w, w, 3, 3), 2 * w), "encoder.4": ((c, 2 * w, 3, 3), c),
        "decoder.0": ((c, 2 * w, 2, 2), 2 * w), "decoder.2": ((2 * w, w, 2, 2), w), "decoder.4": ((3, w, 3, 3), 3),
    }
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(blocks):
        layers |= {f"pfdbs.{i}.conv1": ((c, c, 3, 3), c), f"pfdbs.{i}.conv2": ((c, c, 3, 3), c)}
        shapes |= {f"pfdbs.{i}.fdu.fc.0.weight": (c // 16, c), f"pfdbs.{i}.fdu.fc.2.weight": (2 * c, c // 16)}
    for stem, (weight, bias) in layers.items():
        shapes |= {f"{stem}.weight": weight, f"{stem}.bias": (bias,)}
    return shapes


def unit(state: dict[str, Tensor], stem: str, x: Tensor) -> Tensor:
    channels = x.shape[1]
    means = torch.einsum("bchw->bc", x) / (x.shape[2] * x.shape[3])
    hidden = (means @ state[f"{stem}.fc.0.weight"].T).clamp(min=0)
    both = 1 / (1 + torch.exp(-(hidden @ state[f"{stem}.fc.2.weight"].T)))
    return torch.einsum("bchw,bc->bchw", x, both[:, :channels]) + both[:, channels:].reshape(*means.shape, 1, 1)


def block(state: dict[str, Tensor], stem: str, x: Tensor) -> Tensor:
    y = F.conv2d(x, state[f"{stem}.conv1.weight"], state[f"{stem}.conv1.bias"], padding=1).clamp(min=0)
    y = F.conv2d(y, state[f"{stem}.conv2.weight"], state[f"{stem}.conv2.bias"], padding=1)
    return x + unit(state, f"{stem}.fdu", y)


def network(state: dict[str, Tensor], x: Tensor, blocks: int) -> Tensor:
    x = (x - 0.5) / 0.5
    for i, stride in ((0, 1), (2, 2), (4, 2)):
        x = F.conv2d(x, state[f"encoder.{i}.weight"], state[f"encoder.{i}.bias"], stride, padding=1).clamp(min=0)
    for i in range(blocks):
        x = block(state, f"pfdbs.{i}", x)
    for i in (0, 2):
        x = F.conv_transpose2d(x, state[f"decoder.{i}.weight"], state[f"decoder.{i}.bias"], stride=2).clamp(min=0)
    x = F.conv2d(x, state["decoder.4.weight"], state["decoder.4.bias"], padding=1)
    return torch.sigmoid(2 * x)  # (tanh(x) + 1) / 2


def test_parameters_of_the_third_party_layout() -> None:
    assert models.count_parameters(models.get("fdu").build()) == 11_268_611
    assert sum(int(np.prod(shape)) for shape in layout().values()) == 11_268_611
    assert "third-party" in SYSTEM.source


@pytest.mark.parametrize(("width", "blocks"), [(64, 9), (8, 2)])
def test_names_and_shapes_are_those_of_the_layout(width: int, blocks: int) -> None:
    with torch.device("meta"):
        state = PFDN(width, blocks).state_dict()
    assert {k: tuple(v.shape) for k, v in state.items()} == layout(width, blocks)


@torch.no_grad()
def test_unit_and_block_restated() -> None:
    x = torch.randn(2, 32, 5, 7, dtype=torch.float64)
    fdu, pfdb = FeatureDehazingUnit(32).double(), FeatureDehazingBlock(32).double()
    state = {f"u.{k}": v for k, v in fdu.state_dict().items()} | {f"b.{k}": v for k, v in pfdb.state_dict().items()}
    torch.testing.assert_close(fdu(x), unit(state, "u", x), rtol=0, atol=1e-12)
    torch.testing.assert_close(pfdb(x), block(state, "b", x), rtol=0, atol=1e-12)


@torch.no_grad()
def test_unit_is_one_affine_map_a_channel() -> None:
    """With its weights at zero both terms are sigmoid(0); otherwise slope and offset are constant over the picture."""
    fdu, x = FeatureDehazingUnit(32), torch.randn(1, 32, 6, 6)
    y = fdu(x)
    slope = (y - y.mean((2, 3), keepdim=True)) / (x - x.mean((2, 3), keepdim=True))
    torch.testing.assert_close(slope, slope[..., :1, :1].expand_as(slope), rtol=1e-3, atol=1e-3)
    assert ((slope > 0) & (slope < 1)).all()
    for p in fdu.parameters():
        p.zero_()
    assert torch.equal(fdu(x), x * 0.5 + 0.5)


@torch.no_grad()
def test_the_whole_network_restated() -> None:
    model, x = PFDN(width=8, blocks=3).double(), torch.rand(2, 3, 12, 20, dtype=torch.float64)
    restored = model(x)
    torch.testing.assert_close(restored, network(model.state_dict(), x, blocks=3), rtol=0, atol=1e-12)
    assert restored.min() >= 0 and restored.max() <= 1


def test_every_parameter_is_trained() -> None:
    model = PFDN(width=8, blocks=2)
    model(torch.rand(1, 3, 16, 16)).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@torch.no_grad()
def test_one_picture_gives_the_same_alone_and_in_a_batch() -> None:
    model, x = PFDN(width=8, blocks=2), torch.rand(3, 3, 16, 24)
    torch.testing.assert_close(model(x[1:2]), model(x)[1:2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(413, 550), (46, 62), (47, 63), (1, 5)])
def test_any_picture_size_by_padding(height: int, width: int) -> None:
    hazy = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    restored = restore(PFDN(width=4, blocks=1), hazy, SYSTEM.multiple)
    assert restored.shape == (height, width, 3) and np.isfinite(restored).all()


@torch.no_grad()
def test_bf16_autocast_on_the_cpu() -> None:
    model, x = PFDN(width=8, blocks=2), torch.rand(1, 3, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(x)
    torch.testing.assert_close(half.float(), model(x), rtol=0.02, atol=0.02)


def test_a_checkpoint_of_the_layout_loads_strictly_and_a_partial_one_is_refused(tmp_path: Path) -> None:
    state = {key: torch.full(shape, float(i)) for i, (key, shape) in enumerate(layout(width=8).items())}
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, tmp_path / "pfdn.pth")
    model = PFDN(width=8)
    load_weights(model, tmp_path / "pfdn.pth", SYSTEM.importer)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())

    other = PFDN(width=8, blocks=8)
    before = other.encoder[0].weight.clone()
    with pytest.raises(UserError, match=r"6 unexpected: pfdbs.8.fdu.fc.0.weight, .*, \.\.\."):
        load_weights(other, tmp_path / "pfdn.pth", SYSTEM.importer)
    assert torch.equal(other.encoder[0].weight, before)
