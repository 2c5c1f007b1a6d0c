"""The methods of translation at a small size, and what their tests do with them."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from reprolib import models
from reprolib.training.translation.gan import ImagePool
from reprolib.training.translation.method import build_method

RATE = 1e-3
SIZE = (32, 40)

CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "cut": ("cut", {}, {"patches": 16}),
    "cut-external": ("cut", {}, {"patches": 16, "negatives": "external", "bank": 40}),
    "cut-both": ("cut", {}, {"patches": 16, "negatives": "both", "bank": 40}),
    "fastcut": ("fastcut", {}, {"patches": 16}),
    "cyclegan": ("cyclegan", {}, {}),
    "cyclegan-no-identity": ("cyclegan", {}, {"identity": 0.0}),
    "gcgan": ("gcgan", {}, {}),
    "gcgan-unshared-vflip": ("gcgan", {"shared": False}, {"transform": "vflip", "identity": 0.0}),
    "distancegan": ("distancegan", {}, {}),
    "distancegan-one-sided": ("distancegan", {}, {"two_sided": False}),
    "selfdistance": ("selfdistance", {}, {}),
}


class Batches:
    """Random pictures as `UnpairedBatches` gives them."""

    def __init__(self, steps: int = 4, batch: int = 2, steps_per_epoch: int = 100):
        self.steps, self.batch, self.steps_per_epoch = steps, batch, steps_per_epoch

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        return batch(step, self.batch)[:2]


def batch(step: int, size: int = 2) -> tuple[Tensor, Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(step)
    a = torch.rand(size, 3, *SIZE, generator=generator) * 2 - 1
    b = torch.rand(size, 3, *SIZE, generator=generator) ** 2 * 2 - 1
    return a, b, generator


def build(case: str, precision: Any = "32-true", **options: Any) -> tuple[Any, Any]:
    name, network_options, method_options = CASES[case]
    system = models.get(name)
    torch.manual_seed(0)
    network = system.build(width=4, blocks=2, **network_options)
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    objective: Any = replace(system.objective, **{**method_options, **options})  # type: ignore[type-var]
    return network, build_method(network, fabric, RATE, objective)


def prepared(case: str, **options: Any) -> tuple[Any, Any]:
    network, method = build(case, **options)
    method.prepare(Batches())
    return network, method


def small_pools(method: Any) -> None:
    """Pools that are full after the first step, so that later steps draw."""
    for extra in method.extras.values():
        if isinstance(extra, ImagePool):
            extra.size = 3


def run(method: Any, steps: range) -> list[dict[str, Tensor]]:
    return [method.step(*batch(step)) for step in steps]


def parts_moved(network: nn.Module, before: dict[str, Tensor]) -> set[str]:
    after = network.state_dict()
    return {name.split(".")[0] for name, tensor in after.items() if not torch.equal(tensor, before[name])}


def copy_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def state(network: nn.Module, method: Any) -> dict[str, Any]:
    """As the loop saves it: through a file, read without running code."""
    stream = io.BytesIO()
    torch.save({
        "network": network.state_dict(),
        "optimisers": {k: o.state_dict() for k, o in method.optimisers.items()},
        "extras": {k: e.state_dict() for k, e in method.extras.items()},
    }, stream)
    stream.seek(0)
    content: dict[str, Any] = torch.load(stream, weights_only=True)
    return content
