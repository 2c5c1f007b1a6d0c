"""Steps of every system on a CUDA device without values, in bf16: no mixture of devices, and float32 where it matters.

Backward passes are left out: autograd asks the driver for a stream.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from devices.stand_ins import Copies, Device, batch_of, chosen_steps, fake_cuda, kinds, open_task, untrained_extractors
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional as F

from reprolib.models.layers.deformable import deform_conv2d
from reprolib.training.segmentation import segmenter_run

KINDS: dict[str, Any] = {**kinds(), "segmenter": segmenter_run("cityscapes", "mini", {"batch": 2, "crop": 32})}


@pytest.mark.parametrize("name", KINDS)
def test_losses_of_bf16_networks_are_float32(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, device = KINDS[name], Device("cuda", bf16=True)
    monkeypatch.setattr(torch.autograd, "grad", lambda _, of, **__: [torch.zeros_like(p) for p in of])
    with untrained_extractors(), fake_cuda() as mode:
        task, batch = open_task(run, device), batch_of(run, device.device)
        for step in chosen_steps(run):
            with Copies() as copies:
                terms = task.step(device, batch, step, torch.Generator().manual_seed(step))
            assert copies.waited == []
            assert {(term.device.type, term.dtype) for term in terms.values()
                    if term.is_floating_point()} == {("cuda", torch.float32)}
        assert mode.narrow == set()
    assert all(group["fused"] for optimiser in task.optimisers.values() for group in optimiser.param_groups)
    assert all(isinstance(p, FakeTensor) and p.dtype == torch.float32
               for network in task.networks.values() for p in network.parameters())


def test_deformable_sampling_is_float32_and_its_product_is_not() -> None:
    with fake_cuda() as mode:
        x, weight = (torch.rand(2, 4, 8, 8, device="cuda"), torch.rand(4, 4, 3, 3, device="cuda"))
        with torch.autocast("cuda", torch.bfloat16):
            y = deform_conv2d(x.bfloat16(), torch.rand(2, 18, 8, 8, device="cuda").bfloat16(), weight)
        assert y.dtype == torch.bfloat16 and mode.narrow == set()


def test_the_stand_in_sees_mistakes() -> None:
    with fake_cuda() as mode:
        x = torch.rand(3, 3, device="cuda")
        for mistake in (lambda: x + torch.rand(3, 3), lambda: x @ torch.rand(3, 3), lambda: bool(x[0, 0] > 0),
                        lambda: x.sum().item(), lambda: x[x > 0.5] + x.new_ones(4)):
            with pytest.raises(Exception):  # noqa: B017 - of several kinds
                mistake()
        with torch.autocast("cuda", torch.bfloat16):
            F.mse_loss((x @ x).to(torch.bfloat16), x)
            assert mode.narrow == set()  # autocast widens
            (x @ x).mean()
        assert mode.narrow == {"mean"}
