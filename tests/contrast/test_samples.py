"""Which samples an anchor is compared with."""

from __future__ import annotations

import pytest
import torch

from reprolib.contrast.samples import Rate, draw
from reprolib.errors import UserError


def test_samples_own_first_distinct_and_even() -> None:
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(6, 6)
    for _ in range(2000):
        p, n = draw(6, Rate(3, 6), generator)
        assert torch.equal(p[:, 0], torch.arange(6)) and torch.equal(n[:, 0], torch.arange(6))
        assert all(len(set(row.tolist())) == len(row) for row in [*p, *n])
        for j in range(6):
            counts[j, p[j, 1:]] += 1
    others = counts[~torch.eye(6, dtype=torch.bool)] / 2000
    assert torch.all((others - 2 / 5).abs() < 0.06)  # 5 standard deviations


@pytest.mark.parametrize("rate", ["1:5", "5:1"])
def test_rate_beyond_the_batch(rate: str) -> None:
    with pytest.raises(UserError, match="needs 5 pictures, a batch has 4"):
        draw(4, Rate.parse(rate))


@pytest.mark.parametrize("rate", ["1", "a:b", "0:1", "1:-1"])
def test_bad_rate(rate: str) -> None:
    with pytest.raises(UserError):
        Rate.parse(rate)
