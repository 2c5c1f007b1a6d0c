"""Counts against closed forms and published ones; time and memory of steps whose cost is known."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from reprolib import models
from reprolib.bench import cost
from reprolib.bench.cost import ceilings, macs, step_cost
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


def test_time_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that is told what to show: warm-up is not timed, the median and the quartiles are."""
    durations = iter([1.0, 2.0, 3.0, 4.0, 100.0])
    now, timing, calls = 0.0, False, 0

    def clock() -> float:
        nonlocal now, timing
        timing = not timing
        if not timing:
            now += next(durations)
        return now

    def step() -> None:
        nonlocal calls
        calls += 1

    monkeypatch.setattr(time, "perf_counter", clock)
    found = step_cost(step, "cpu", warmup=2, repeats=5)
    assert calls == 7
    assert (found["seconds"], found["iqr"], found["repeats"]) == (3.0, 2.0, 5)


def test_memory_of_a_step_on_a_cpu() -> None:
    """The peak within the steps, whether or not it is freed; a second measurement starts anew."""
    size = 64 * 2**20

    def step() -> None:
        torch.ones(size, dtype=torch.uint8)

    for _ in range(2):
        found = step_cost(step, "cpu", warmup=0, repeats=2)
        assert "resident" in found["memory_kind"] and found["driver_memory"] is None
        if "lower bound" not in found["memory_kind"]:
            assert 0.9 * size < found["peak_memory"] < 1.5 * size
    assert step_cost(lambda: None, "cpu", repeats=2)["peak_memory"] < 0.3 * size


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_memory_of_a_step_on_a_gpu() -> None:
    size = 256 * 2**20
    held = torch.ones(size, dtype=torch.uint8, device="cuda")
    found = step_cost(lambda: torch.ones(size, dtype=torch.uint8, device="cuda"), "cuda", repeats=2)
    assert 2 * size <= found["peak_memory"] < 2.2 * size <= 2.2 * found["driver_memory"]
    assert held.numel() == size


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
