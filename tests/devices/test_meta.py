"""One step of every system on the meta device: what is made on the wrong device, asks for a value, or makes the host
wait for a copy, shows without a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from devices.stand_ins import (
    Copies,
    Device,
    batch_of,
    chosen_steps,
    kinds,
    meta_without_autocast,
    open_task,
    untrained_extractors,
)

from reprolib import models
from reprolib.training.segmentation import segmenter_run

KINDS: dict[str, Any] = {**kinds(), "segmenter": segmenter_run("cityscapes", "mini", {"batch": 2, "crop": 32})}


def test_every_trained_system_is_here() -> None:
    assert {run.system for run in KINDS.values()} >= {name for name in models.names() if models.get(name).trained}


@pytest.mark.parametrize("name", KINDS)
def test_a_step_stays_on_the_device(name: str) -> None:
    run, device = KINDS[name], Device("meta")
    with untrained_extractors(), meta_without_autocast():
        task, batch = open_task(run, device), batch_of(run, device.device)
        for step in chosen_steps(run):
            with Copies() as copies:
                terms = task.step(device, batch, step, torch.Generator().manual_seed(step))
            assert copies.waited == []
            assert {term.device.type for term in terms.values()} == {"meta"}
    assert all(p.device.type == "meta" for network in task.networks.values() for p in network.parameters())


def test_what_would_wait_is_seen() -> None:
    x = torch.rand(3)
    with Copies() as copies:
        x.to("meta", non_blocking=True)
        x.to(torch.float64)
        assert copies.waited == []
        x.to("meta")
        torch.empty(3, device="meta").copy_(x)
    assert len(copies.waited) == 2
    for ask in (lambda y: y.item(), bool, lambda y: y.nonzero(), lambda y: [0][int(y)]):
        with pytest.raises((RuntimeError, NotImplementedError)):
            ask(torch.zeros((), device="meta"))
