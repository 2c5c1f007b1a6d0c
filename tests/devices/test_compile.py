"""`torch.compile` takes each network and loss whole and computes the same; where it has to leave the graph, it still
does. docs/devices.md lists the places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from devices.stand_ins import kinds
from torch import nn
from torch.nn import functional as F

from reprolib import models
from reprolib.contrast.features import VGGFeatures
from reprolib.contrast.losses import ContrastiveRegularisation, contrastive_regularisation
from reprolib.contrast.patchnce import patch_nce, project, sample_positions
from reprolib.training.dehazing.terms import cut_patches, imitation
from reprolib.training.translation.distance import half_distances, pair_distances
from reprolib.training.translation.gan import least_squares

RUNS = {models.get(run.system).build: run for run in kinds().values()}
"""One for each class of networks."""
DISCRIMINATORS = {"cut": "discriminator", "munit": "dis_a", "drit": "dis_a"}
"""One of each class."""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """What Dynamo remembers of one network is of no use to the next."""
    yield
    torch._dynamo.reset()


def assert_compiled_is_the_same(function: Callable[..., Any], *inputs: Any, whole: bool = True) -> None:
    """With Dynamo's graph run as it is: what it has seen is all that is computed."""
    with torch.no_grad():
        expected = function(*inputs)
        found = torch.compile(function, fullgraph=whole, backend="eager")(*inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("run", RUNS.values(), ids=lambda run: run.system)
def test_a_network_is_one_graph(run: Any) -> None:
    system = models.get(run.system)
    few = {"blocks": 3 if run.system == "kddn" else 1} if "blocks" in run.network else {}  # KDDN compares three depths
    network, pictures = system.build(**{**run.network, **few}).eval(), torch.rand(2, 3, run.crop, run.crop)
    assert_compiled_is_the_same(network, pictures, *([torch.randn(2, system.styles)] if system.styles else []))
    if run.system in DISCRIMINATORS:
        assert_compiled_is_the_same(network.get_submodule(DISCRIMINATORS[run.system]), pictures)


def test_losses_are_one_graph() -> None:
    first, second, third = torch.rand(3, 2, 4, 32, 32)
    queries, keys = F.normalize(torch.randn(2, 2, 16, 8), dim=-1)
    for bank, negatives in ((None, "internal"), (None, "minibatch"), (keys[0], "external"), (keys[0], "both")):
        assert_compiled_is_the_same(lambda q, k, b=bank, n=negatives: patch_nce(q, k, b, negatives=n), queries, keys)
    for reduction in ("batch", "image"):
        assert_compiled_is_the_same(lambda a, p, n, how=reduction: contrastive_regularisation(
            [a], [p], [n], layer_weights=[1.0], reduction=how), first, second, third)
    maps, heads = [torch.rand(2, 16, 8, 8), torch.rand(2, 32, 4, 4)], [nn.Linear(16, 8), nn.Linear(32, 8)]
    positions = sample_positions(maps, 10, torch.Generator())
    assert_compiled_is_the_same(lambda *m: project(m, heads, positions), *maps)
    assert_compiled_is_the_same(lambda a, b: imitation([a], [b]), first, second)
    assert_compiled_is_the_same(least_squares, first, 1.0)
    assert_compiled_is_the_same(cut_patches, first, 16)
    assert_compiled_is_the_same(pair_distances, first)
    assert_compiled_is_the_same(half_distances, first)


def test_cr_of_pictures_leaves_the_graph_and_computes_the_same() -> None:
    """Winograd's convolutions ask where they are, and distances take samples on the host."""
    loss = ContrastiveRegularisation(VGGFeatures("vgg19").requires_grad_(False))
    assert_compiled_is_the_same(lambda *pictures: loss(*pictures)[0], *torch.rand(3, 2, 3, 32, 32), whole=False)
