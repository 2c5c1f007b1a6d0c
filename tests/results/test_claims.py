"""A claim held against measurements: it holds, falls, drowns in seed noise, or was not measured."""

from __future__ import annotations

import math

import pytest

from reprolib.papers import claims, papers
from reprolib.results.claims import check, spreads, values

PAPER = {(c.row, c.column, c.metric): c.value for paper in papers().values() for c in paper.cells}
CLAIM = next(c for c in claims() if c.id == "table4/1:r>table4/1:1@sots/psnr")
LEFT, RIGHT = ("table4/1:r", "sots", "psnr"), ("table4/1:1", "sots", "psnr")


def test_every_claim_holds_on_the_papers_numbers_and_falls_when_they_are_swapped() -> None:
    for claim in claims():
        assert check(claim, PAPER) == "holds"
        keys = [(row, claim.column, claim.metric) for row in (claim.left, claim.right)]
        assert check(claim, {keys[0]: PAPER[keys[1]], keys[1]: PAPER[keys[0]]}) == "does not hold"


def test_equal_numbers_do_not_hold() -> None:
    assert check(CLAIM, {LEFT: 30.0, RIGHT: 30.0}) == "does not hold"


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_not_measured(value: float | None) -> None:
    assert check(CLAIM, {LEFT: value, RIGHT: 30.0}) == "not measured"
    assert check(CLAIM, {LEFT: 30.0, RIGHT: value}) == "not measured"
    assert check(CLAIM, {LEFT: 30.0}) == "not measured"


@pytest.mark.parametrize(("lead", "outcome"), [(0.99, "within seed noise"), (-0.99, "within seed noise"),
                                               (1.01, "holds"), (-1.01, "does not hold")])
def test_seed_noise_is_twice_the_spread_of_the_difference(lead: float, outcome: str) -> None:
    """Standard deviations 0.3 and 0.4 give 0.5 for the difference, so the limit is 1."""
    assert check(CLAIM, {LEFT: 30 + lead, RIGHT: 30.0}, {LEFT: 0.3, RIGHT: 0.4}) == outcome


def test_unknown_spread_counts_as_none() -> None:
    assert check(CLAIM, {LEFT: 30.3, RIGHT: 30.0}, {LEFT: None}) == "holds"
    assert check(CLAIM, {LEFT: 30.3, RIGHT: 30.0}, {LEFT: 0.2}) == "within seed noise"


def test_a_ledger_gives_values_and_spreads() -> None:
    entries = [{"row": row, "dataset": column, "metric": metric, "value": value, "spread": spread}
               for (row, column, metric), value, spread in ((LEFT, 30.3, 0.2), (RIGHT, 30.0, None))]
    assert check(CLAIM, values(entries), spreads(entries)) == "within seed noise"
