"""Counts against closed forms and published ones; time and memory of steps whose cost is known."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from reprolib import models
from reprolib.bench import cost
from reprolib.bench.cost import Memory, Spread, ceilings, macs, timed
from reprolib.bench.tensors import TensorPeak
from reprolib.models.layers.deformable import ModulatedDeformConv2d


def test_macs_by_closed_form() -> None:
    x = torch.zeros(2, 6, 20, 24)
    plain = nn.Conv2d(6, 8, 3, stride=2, padding=1)
    assert macs(plain, x) == 2 * (10 * 12) * 8 * 6 * 9
    assert macs(nn.Conv2d(6, 6, 3, padding=1, groups=6), x) == 2 * (20 * 24) * 6 * 9
    assert macs(nn.ConvTranspose2d(6, 4, 4, stride=2), x) == 2 * (20 * 24) * 6 * 4 * 16  # once per input position
    assert macs(nn.Linear(24, 5), x) == 2 * 6 * 20 * 24 * 5
    assert macs(nn.Sequential(nn.InstanceNorm2d(6), nn.ReLU(), nn.Upsample(scale_factor=2)), x) == 0


def test_macs_of_both_deformable_convolutions() -> None:
    """k k C C' a position, and the plain convolution that predicts 27 numbers of offsets and masks."""
    x = torch.zeros(1, 8, 10, 12)
    expected = 120 * (8 * 8 * 9 + 8 * 27 * 9)
    for operator in ("ours", "torchvision"):
        assert macs(ModulatedDeformConv2d(8, operator=operator).eval(), x) == expected


@pytest.mark.parametrize(("name", "options", "printed"), [
    ("aodnet", {}, 0.115), ("ffanet", {"blocks": 19}, 287.8), ("griddehazenet", {}, 21.5), ("msbdn", {}, 41.5),
])
def test_macs_of_published_networks(name: str, options: dict[str, int], printed: float) -> None:
    """GMACs at 256 x 256 in gUNet's table (Song et al., 2022), whose counter takes a transposed convolution for a plain
    one on the larger map: for MSBDN that adds 17 to 24."""
    with torch.device("meta"):
        network, x = models.get(name).build(**options), torch.zeros(1, 3, 256, 256)
        added = 0.0

        def add(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            nonlocal added
            if isinstance(layer, nn.ConvTranspose2d):
                added += layer.weight.numel() * (output[0, 0].numel() - inputs[0][0, 0].numel())

        for layer in network.modules():
            layer.register_forward_hook(add)
        found = macs(network, x)
    assert (found + added) / 1e9 == pytest.approx(printed, rel=0.01)


def test_macs_of_cuts_generator() -> None:
    """Every layer of the antialiased ResNet-9 at 256 x 256, written out; CycleGAN strides instead of blurring."""
    c1, c2, c4 = 64, 128, 256
    ends = 2 * 3 * c1 * 49 * 256**2
    blocks = 18 * c4 * c4 * 9 * 64**2
    wide = 2 * 9 * (c1 * c2 * 256**2 + c2 * c4 * 128**2)
    blurs_down = 9 * (c2 * 128**2 + c4 * 64**2)
    blurs_up = 16 * (c4 * 66**2 + c2 * 130**2)  # on maps with a ring around them
    strided = 2 * 9 * (c1 * c2 * 128**2 + c2 * c4 * 64**2)
    with torch.device("meta"):
        found = {name: macs(models.get(name).build(), torch.zeros(1, 3, 256, 256)) for name in ("cut", "cyclegan")}
    assert found == {"cut": ends + blocks + wide + blurs_down + blurs_up, "cyclegan": ends + blocks + strided}


def test_counting_leaves_the_network_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    macs(network, torch.rand(2, 3, 8, 8))
    assert network.training and network[1].running_mean.abs().max() == 0
    assert network[0].weight.grad is None


def test_seconds_are_those_between_two_looks_at_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that is told what to show; the step runs once."""
    shown, calls = iter([5.0, 7.5]), []
    monkeypatch.setattr(time, "perf_counter", lambda: next(shown))
    assert timed(lambda: calls.append(1), torch.device("cpu")) == 2.5 and calls == [1]


def test_one_slow_turn_moves_neither_median_nor_quartiles() -> None:
    assert Spread.of([1.0, 2.0, 3.0, 4.0, 100.0]) == Spread(3.0, 2.0, 4.0)


def test_memory_of_a_step_on_a_cpu() -> None:
    """The peak, whether or not it is freed; a second measurement starts anew."""
    size = 64 * 2**20
    for _ in range(2):
        memory = Memory(torch.device("cpu"))
        torch.ones(size, dtype=torch.uint8)
        peak = memory.peak()
        assert "resident" in memory.kind
        if "lower bound" not in memory.kind:
            assert 0.9 * size < peak < 1.5 * size
    assert Memory(torch.device("cpu")).peak() < 0.3 * size


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_memory_of_a_step_on_a_gpu() -> None:
    size = 256 * 2**20
    held = torch.ones(size, dtype=torch.uint8, device="cuda")
    memory = Memory(held.device)
    torch.ones(size, dtype=torch.uint8, device="cuda")
    assert 2 * size <= memory.peak() < 2.2 * size
    assert held.numel() == size


def test_memory_of_tensors_by_closed_form() -> None:
    """Float32 numbers: x, both exponentials that the backward pass waits for, the sum; then their gradients."""
    with TensorPeak() as count:
        x = torch.zeros(1000, requires_grad=True)
        y = x.exp()
        total = y.exp().sum()
        assert count.held == count.peak == 4 * (3 * 1000 + 1)
        del y
        assert count.held == 4 * (3 * 1000 + 1)  # the graph holds it
        x.view(10, 100)[2:].detach().mul_(1)
        assert count.held == 4 * (3 * 1000 + 1)  # nothing new
        total.backward()
        del total
        assert count.held == 4 * 2 * 1000  # x and its gradient
        del x
        assert count.held == 0
    assert count.peak >= 4 * (4 * 1000 + 1)


def test_ceilings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work by closed form over the seconds of a clock that always shows a quarter of a second."""
    monkeypatch.setattr(cost, "CEILING_SIDE", {"cpu": 32})
    monkeypatch.setattr(cost, "COPIED_BYTES", {"cpu": 1000})
    monkeypatch.setattr(cost, "timed", lambda run, device: run() is None or 0.25)
    found = ceilings("cpu")
    assert found == {"fp32_flops": 2 * 32**3 * 4, "bf16_flops": 2 * 32**3 * 4, "copy_bytes": 2 * 1000 * 4}
    monkeypatch.undo()
    monkeypatch.setattr(cost, "CEILING_SIDE", {"cpu": 64})
    monkeypatch.setattr(cost, "COPIED_BYTES", {"cpu": 2**20})
    assert all(value > 0 for value in ceilings("cpu").values())
