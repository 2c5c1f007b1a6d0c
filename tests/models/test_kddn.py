"""KDDN (third-party layout): counts, a functional re-statement, and what a student imitates of its teacher."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from reprolib import models
from reprolib.errors import UserError
from reprolib.models.dehazing.kddn import KDDN, SWRCA, SYSTEM, ResBlock, build
from reprolib.models.inference import restore
from reprolib.models.weights import load_weights, save_weights

ROLES = ("student", "teacher")


def conv(state: dict[str, Tensor], stem: str, x: Tensor, stride: int = 1) -> Tensor:
    return F.conv2d(x, state[f"{stem}.weight"], state[f"{stem}.bias"], stride, padding=1)


def swrca(state: dict[str, Tensor], stem: str, x: Tensor) -> Tensor:
    """One picture at a time, pixel sums by hand."""
    u = conv(state, f"{stem}.conv1", x).clamp(min=0)
    v = conv(state, f"{stem}.conv2", u)
    gate = 1 / (1 + torch.exp(-conv(state, f"{stem}.gate", u)))
    pictures = []
    for i in range(len(x)):
        pooled = (v[i] * gate[i]).flatten(1).sum(1) / v[i][0].numel()
        weights = 1 / (1 + torch.exp(-(state[f"{stem}.fc.weight"] @ pooled + state[f"{stem}.fc.bias"])))
        pictures.append(torch.stack([w * channel for w, channel in zip(weights, v[i], strict=True)]) + x[i])
    return torch.stack(pictures)


def body_block(state: dict[str, Tensor], stem: str, x: Tensor, role: str) -> Tensor:
    if role == "teacher":
        return (x + conv(state, f"{stem}.conv2", conv(state, f"{stem}.conv1", x).clamp(min=0))).clamp(min=0)
    y = x
    for k in range(3):
        y = swrca(state, f"{stem}.blocks.{k}", y)
    return x + conv(state, f"{stem}.conv", y)


def network(state: dict[str, Tensor], x: Tensor, role: str, blocks: int) -> Tensor:
    for i in (0, 2):
        x = conv(state, f"downsample.{i}", x, stride=2).clamp(min=0)
    for i in range(blocks):
        x = body_block(state, f"body.{i}", x, role)
    for i in (0, 3):
        x = conv(state, f"upsample.{i}", x).clamp(min=0)
        x = F.interpolate(x, size=(2 * x.shape[2], 2 * x.shape[3]), mode="bilinear", align_corners=False)
    return torch.sigmoid(2 * conv(state, "reconstruction", x))  # (tanh(x) + 1) / 2


def test_parameters_as_built() -> None:
    c3 = 64 * 64 * 9 + 64
    ends = (3 * 64 * 9 + 64) + 3 * c3 + (64 * 3 * 9 + 3)
    student, teacher = (models.count_parameters(models.get("kddn").build(**o)) for o in ({}, {"role": "teacher"}))
    assert student == ends + 6 * (3 * (3 * c3 + 64 * 64 + 64) + c3) == 2_404_867
    assert teacher == ends + 6 * 2 * c3 == 557_443
    assert SYSTEM.count_note is not None and "2,404,867" in SYSTEM.count_note and "not matched" in SYSTEM.count_note


@torch.no_grad()
def test_blocks_restated() -> None:
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64)
    block = SWRCA(8).double()
    state = {f"b.{k}": v for k, v in block.state_dict().items()}
    torch.testing.assert_close(block(x), swrca(state, "b", x), rtol=0, atol=1e-12)
    residual = ResBlock(8).double()
    state = {f"b.{k}": v for k, v in residual.state_dict().items()}
    torch.testing.assert_close(residual(x), body_block(state, "b", x, "teacher"), rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_closed_gate_leaves_the_weights_to_the_bias() -> None:
    """Where the spatial gate is shut everywhere, the picture no longer decides about its channels."""
    block, x = SWRCA(8), torch.randn(1, 8, 6, 6)
    block.gate.weight.zero_()
    block.gate.bias.fill_(-200.0)
    v = block.conv2(F.relu(block.conv1(x)))
    expected = v * block.fc.bias.sigmoid()[:, None, None] + x
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("role", ROLES)
def test_the_whole_network_restated(role: str) -> None:
    model, x = build(role, width=6, blocks=3).double(), torch.rand(2, 3, 12, 20, dtype=torch.float64)
    restored = model(x)
    torch.testing.assert_close(restored, network(model.state_dict(), x, role, blocks=3), rtol=0, atol=1e-12)
    assert restored.min() > 0 and restored.max() < 1


@torch.no_grad()
@pytest.mark.parametrize("role", ROLES)
def test_features_come_from_blocks_2_4_and_6(role: str) -> None:
    model, x = build(role, width=4), torch.rand(2, 3, 16, 24)
    seen: list[Tensor] = []
    for block in model.body:
        block.register_forward_hook(lambda module, inputs, output: seen.append(output))
    restored, features = model(x, with_features=True)
    assert [any(f is s for f in features) for s in seen] == [False, True, False, True, False, True]
    assert [f.shape for f in features] == [(2, 4, 4, 6)] * 3
    assert torch.equal(restored, model(x))
    assert all(torch.equal(a, b) for a, b in zip(features, model.features(x), strict=True))


@pytest.mark.parametrize("role", ROLES)
def test_every_parameter_is_trained(role: str) -> None:
    model = build(role, width=8, blocks=3)
    model(torch.rand(1, 3, 16, 16)).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@torch.no_grad()
def test_one_picture_gives_the_same_alone_and_in_a_batch() -> None:
    model, x = build(width=4, blocks=3), torch.rand(3, 3, 16, 24)
    torch.testing.assert_close(model(x[1:2]), model(x)[1:2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(413, 550), (46, 62), (47, 63), (1, 5)])
def test_any_picture_size_by_padding(height: int, width: int) -> None:
    hazy = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    restored = restore(build(width=4, blocks=3), hazy, SYSTEM.multiple)
    assert restored.shape == (height, width, 3) and np.isfinite(restored).all()


@torch.no_grad()
@pytest.mark.parametrize("role", ROLES)
def test_bf16_autocast_on_the_cpu(role: str) -> None:
    model, x = build(role, width=8, blocks=3), torch.rand(1, 3, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(x)
    torch.testing.assert_close(half.float(), model(x), rtol=0.02, atol=0.02)


def test_a_wrong_role_and_too_few_blocks() -> None:
    with pytest.raises(UserError, match="unknown role of KDDN 'studnet'.*did you mean 'student'"):
        build("studnet")
    with pytest.raises(ValueError, match="at least 3 blocks"):
        KDDN(ResBlock, blocks=2)


def test_a_teachers_weights_do_not_load_into_a_student(tmp_path: Path) -> None:
    teacher, student = build("teacher", width=4), build("student", width=4)
    save_weights(teacher, tmp_path / "teacher.safetensors")
    again = build("teacher", width=4)
    load_weights(again, tmp_path / "teacher.safetensors", SYSTEM.importer)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), teacher.parameters(), strict=True))
    with pytest.raises(UserError, match="missing: body.0.blocks.0.conv1.weight.*unexpected: body.0.conv1"):
        load_weights(student, tmp_path / "teacher.safetensors", SYSTEM.importer)
