"""Several processes draw together what one draws; features and means among real processes: training/test_parallel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from reprolib import distributed
from reprolib.contrast.distributed import POOLS, draw_rows, pooled
from reprolib.contrast.samples import Rate, draw
from reprolib.errors import UserError

PROCESSES, BATCH = 3, 2


def drawn(rate: str, pool: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Positives, negatives and the generator's last state on each process."""
    monkeypatch.setattr(distributed, "count", lambda: PROCESSES)
    found = []
    for rank in range(PROCESSES):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        generator = torch.Generator().manual_seed(5)
        found.append((*draw_rows(BATCH, Rate.parse(rate), pool, generator), generator.get_state()))
    return found


@pytest.mark.parametrize("rate", ["2:3", "6:6", "1:4", "3:1", "1:1", "2:0"])
def test_gathered_samples_are_those_of_one_process(rate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lone samples are counted from the process's own first row, since nothing is gathered for them."""
    generator = torch.Generator().manual_seed(5)
    wanted = draw(PROCESSES * BATCH, Rate.parse(rate), generator)
    found = drawn(rate, "gathered", monkeypatch)
    for side, index in enumerate(wanted):
        parts = [ours[side] + (BATCH * rank if index.shape[1] == 1 else 0) for rank, ours in enumerate(found)]
        assert torch.equal(torch.cat(parts), index)
    assert all(torch.equal(state, generator.get_state()) for *_, state in found)


def test_local_samples_stay_within_the_process_and_differ_between_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.BATCH", 8)
    found = drawn("4:4", "local", monkeypatch)
    assert all(int(p.max()) < 8 and torch.equal(p[:, 0], torch.arange(8)) for p, *_ in found)
    assert not torch.equal(found[0][0], found[1][0])
    assert all(torch.equal(state, found[0][2]) for *_, state in found)


def test_a_pool_that_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn("1:6", "gathered", monkeypatch)[0][1].shape == (BATCH, PROCESSES * BATCH)
    with pytest.raises(UserError, match="needs 3 pictures, a batch has 2.*set pool to gathered"):
        drawn("1:3", "local", monkeypatch)


@pytest.mark.parametrize("pool", POOLS)
def test_one_process_computes_nothing(pool: str) -> None:
    features = [torch.rand(2, 3), torch.rand(2, 5)]
    assert all(torch.equal(a, b) for a, b in zip(pooled(features, 4, pool), features, strict=True))
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    ours, plain = draw_rows(5, Rate(2, 3), pool, generators[0]), draw(5, Rate(2, 3), generators[1])
    assert all(torch.equal(a, b) for a, b in zip(ours, plain, strict=True))
