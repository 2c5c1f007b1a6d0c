"""Networks out of files: what a file of ours says of itself, and which of its parts are loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from evaluation.conftest import dehazing_run, leave_checkpoint, translation_run

from reprolib import models
from reprolib.errors import UserError
from reprolib.evaluation.networks import count, load_network


def test_a_kept_file_gives_the_generator_alone_or_with_its_heads(place: Path) -> None:
    system, weights = models.get("cut"), leave_checkpoint(translation_run())
    one, both = load_network(system, weights), load_network(system, weights, system.saved)
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(one(x), both(x))
    torch.manual_seed(0)
    made = system.build(width=4, blocks=1).get_submodule("heads").state_dict()
    loaded = both.get_submodule("heads").state_dict()
    assert made.keys() == loaded.keys() and all(torch.equal(made[k], loaded[k]) for k in made)


def test_weights_of_another_system(place: Path) -> None:
    with pytest.raises(UserError, match="weights of aodnet, not of ffanet"):
        load_network(models.get("ffanet"), leave_checkpoint(dehazing_run()))


@pytest.mark.parametrize("system", ["aecrnet", "cut"])
def test_the_size_is_counted_without_building(system: str) -> None:
    spec, options = models.get(system), {"width": 4, "blocks": 1}
    network = spec.build(**options)
    counted = network.get_submodule(spec.inference[0]) if spec.inference else network
    assert count(system, options) == sum(p.numel() for p in counted.parameters()) < models.full_size_count(system)
    assert count(system, {}) == models.full_size_count(system)
