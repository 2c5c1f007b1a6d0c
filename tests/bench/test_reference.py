"""The plain way computes what training does: the same loss and the same gradients, whatever it costs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from extractors import random_vgg
from lightning_fabric import Fabric
from torch import Tensor, nn

from reprolib import models
from reprolib.bench import case as cases
from reprolib.bench.case import BETA, MODES, Case, missing, open_task, open_way, plain_network, random_batch
from reprolib.bench.reference import PlainDehazing, PlainTranslation, plain_restore
from reprolib.contrast.samples import Rate
from reprolib.models.inference import restore, translate
from reprolib.training.dehazing import task as dehazing
from reprolib.training.translation import cut as method

LOSS, GRADIENT = 1e-5, 2e-3
"""Relative, in float32: the largest differences seen are 1e-7, and 8e-4 of the norm of FastDeconv's gradient, whose
whitening amplifies the order of sums."""


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.detach().clone() for name, p in network.named_parameters() if p.grad is not None}


def assert_same(ours: nn.Module, plain: nn.Module, relative: float) -> None:
    """Every gradient, to a share of its norm."""
    found, wanted = gradients(ours), gradients(plain)
    assert found.keys() == wanted.keys() and found
    for name, gradient in wanted.items():
        assert (found[name] - gradient).norm() <= relative * gradient.norm() + 1e-12, name


@pytest.mark.parametrize("rate", ["1:1", "1:3", "3:1", "1:0"])
def test_dehazing_step(rate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """AECR-Net + CR; its offsets start at zero, so they are moved: only then do the deformable layers differ."""
    monkeypatch.setattr(dehazing, "load_features", random_vgg)
    case = Case("aecrnet", batch=4, crop=32, network={"width": 8}, rate=rate)
    fabric = Fabric(accelerator="cpu", devices=1)
    batch = random_batch(case)
    task = open_task(case.run, fabric)
    nn.init.normal_(task.network.dcn_block.dcn.conv_offset_mask.weight, std=0.1)
    network = plain_network(case)
    network.load_state_dict(task.network.state_dict())
    plain = PlainDehazing(network, random_vgg(), Rate.parse(rate), BETA)
    wanted = plain.step(*batch, torch.Generator().manual_seed(7))
    found = task.step(fabric, batch, 0, torch.Generator().manual_seed(7))["loss"]
    torch.testing.assert_close(found, wanted, rtol=LOSS, atol=0)
    assert_same(task.network, network, GRADIENT)


@pytest.mark.parametrize(("system", "seed"), [("cut", 3), ("fastcut", 3), ("fastcut", 4)])
def test_translation_step(system: str, seed: int) -> None:
    """In float64, over two pictures; FastCUT with and without its mirror. Initial weights are made larger, because
    norms of 1e-5 beside the guard of 1e-7 say little."""
    flips = {s: bool(torch.rand((), generator=torch.Generator().manual_seed(s)) < 0.5) for s in (3, 4)}
    assert set(flips.values()) == {True, False}
    case = Case(system, batch=2, crop=32, network={"width": 4, "blocks": 2})
    batch = tuple(x.double() for x in random_batch(case))
    ours: Any = models.get(system).build(**case.network).double()
    with torch.no_grad():
        for p in ours.parameters():
            p.normal_(std=0.1)
    plain_networks: Any = models.get(system).build(**case.network).double()
    plain_networks.load_state_dict(ours.state_dict())
    objective: Any = replace(models.get(system).objective, patches=16)  # type: ignore[type-var]
    step = method.CUTMethod(ours, Fabric(accelerator="cpu", devices=1), 2e-4, objective)
    known = {k: getattr(objective, k) for k in ("lambda_x", "lambda_y", "flip", "patches")}
    plain = PlainTranslation(plain_networks, **known)
    wanted = plain.step(*batch, torch.Generator().manual_seed(seed))
    found = step.step(*batch, torch.Generator().manual_seed(seed))["loss"]
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=0)
    assert_same(ours, plain_networks, 1e-8)


@pytest.mark.parametrize("case", [
    Case("aecrnet", batch=2, crop=32, network={"width": 8}, accelerator="cpu"),
    Case("cut", batch=1, crop=64, network={"width": 4, "blocks": 2}, accelerator="cpu"),
    Case("aecrnet", "evaluate", crop=None, network={"width": 4}, accelerator="cpu")], ids=["aecrnet", "cut", "picture"])
def test_every_way_computes_the_same(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over two steps, so that the first one's gradients count. Of torch.compile this is its way through the code, not
    what a compiler makes of it; that is held against ours whenever it is measured (`difference`)."""
    for module in (dehazing, cases):
        monkeypatch.setattr(module, "load_features", random_vgg)
    monkeypatch.setattr(cases, "PICTURE", (36, 52))
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    found = {}
    for mode in (m for m in MODES if not missing(case, m)):
        way = open_way(case, mode)
        found[mode] = [float(way.run().mean()) for _ in range(2)]
    for mode in found:
        assert found[mode] == pytest.approx(found["ours"], rel=2e-2 if mode == "bf16" else 2e-4), mode
    assert found.get("bf16") != found["plain"] == found["untuned"]


@pytest.mark.parametrize("system", ["aecrnet", "cut"])
def test_whole_picture(system: str) -> None:
    """A size that has to be padded."""
    case = Case(system, network={"width": 8})
    multiple = models.get(system).multiple
    plain = plain_network(case)
    ours = models.get(system).build(**case.network)
    ours.load_state_dict(plain.state_dict())
    picture = np.random.default_rng(0).integers(0, 255, (45, 62, 3), dtype=np.uint8)
    low, apply = (-1.0, translate) if system == "cut" else (0.0, restore)
    wanted = plain_restore(plain, picture, multiple, low)
    np.testing.assert_allclose(apply(ours, picture, multiple), wanted, atol=1e-5)
