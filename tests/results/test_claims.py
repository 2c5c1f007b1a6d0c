"""The claims hold on the papers' own cells, and the check can tell when they do not elsewhere."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from reprolib.papers.cells import load
from reprolib.results.claims import CLAIMS, Claim, check

PAPER = {(c.row, c.dataset, c.metric): c.value for c in load()}
CLAIM = next(c for c in CLAIMS if c.id == "table4/1:r>table4/1:1@sots/psnr")
LEFT, RIGHT = ("table4/1:r", "sots", "psnr"), ("table4/1:1", "sots", "psnr")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.id)
def test_holds_on_the_papers_cells(claim: Claim) -> None:
    """Compared here by hand, not only by the function that is tested below."""
    left, right = (PAPER[row, claim.dataset, claim.metric] for row in (claim.left, claim.right))
    assert left is not None and right is not None
    assert left > right if claim.relation == ">" else left < right
    assert check(claim, PAPER) == "holds"


def test_ids_are_unique_and_name_one_table() -> None:
    assert max(Counter(c.id for c in CLAIMS).values()) == 1
    assert all(c.left.split("/")[0] == c.right.split("/")[0] == c.table for c in CLAIMS)
    assert {c.relation for c in CLAIMS if c.metric in ("psnr", "ssim", "miou", "pixacc", "classacc")} == {">"}
    assert {c.relation for c in CLAIMS if c.metric in ("fid", "params", "memory", "sec_per_iter")} == {"<"}


def test_how_many_of_each() -> None:
    """8 rivals in PSNR on SOTS and 7 on the others (FDU has no cells there); the same in SSIM; and so on."""
    table1 = Counter((c.left, c.dataset, c.metric) for c in CLAIMS if c.table == "table1")
    ours = "table1/aecrnet"
    assert table1 == {(ours, "sots", "psnr"): 8, (ours, "dense-haze", "psnr"): 7, (ours, "nh-haze", "psnr"): 7,
                      (ours, "sots", "ssim"): 8, (ours, "nh-haze", "ssim"): 7,
                      ("table1/msbdn", "dense-haze", "ssim"): 7, (ours, "", "params"): 3}
    assert Counter(c.metric for c in CLAIMS if c.table == "table2") == {"psnr": 7, "ssim": 7}
    assert Counter(c.metric for c in CLAIMS if c.table == "cut") == {
        "fid": 21, "miou": 7, "pixacc": 7, "classacc": 7, "sec_per_iter": 7, "memory": 8}


def test_the_relations_that_the_slides_speak_of() -> None:
    ids = {c.id for c in CLAIMS}
    rows = ("ours", "base+dfe+mixup+cr*", "base+dfe+mixup", "base+dfe+sc", "base+dfe", "base")
    for metric in ("psnr", "ssim"):
        for more, less in zip(rows, rows[1:], strict=False):
            assert f"table2/{more}>table2/{less}@sots/{metric}" in ids
        assert f"table2/base+mixup>table2/base@sots/{metric}" in ids
        assert f"table4/1:r>table4/1:1@sots/{metric}" in ids and f"table4/1:1>table4/r:1@sots/{metric}" in ids


def test_what_the_numbers_do_not_bear_is_not_claimed() -> None:
    ids = {c.id for c in CLAIMS}
    assert "table1/aecrnet>table1/msbdn@dense-haze/ssim" not in ids
    assert "table4/r:r>table4/r:1@sots/ssim" not in ids
    assert "cut/fastcut<cut/distancegan@horse2zebra/sec_per_iter" not in ids
    assert not any("fdu" in c.right and c.dataset != "sots" for c in CLAIMS)


def test_every_claim_falls_when_its_numbers_are_swapped() -> None:
    for claim in CLAIMS:
        keys = [(row, claim.dataset, claim.metric) for row in (claim.left, claim.right)]
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
