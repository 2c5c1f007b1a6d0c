"""A claim held against measurements: which evidence counts, the interval of a difference, the verdict."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import stdev

import pytest

from reprolib.evaluation.record import Record, write_records
from reprolib.papers import claims, papers
from reprolib.papers.claims import Claim
from reprolib.results import gate
from reprolib.results.claims import Evidence, evidence, verdict
from reprolib.results.ledger import Source
from reprolib.runs.places import records_folder, results_folder

CLAIM = next(c for c in claims() if c.id == "table2/ours>table2/base+dfe+mixup+cr*@sots/psnr")
OURS = Record(profile="mini", experiment="ours", system="aecrnet", rows=(CLAIM.left,), dataset="haze-homogeneous",
              metric="psnr", unit="dB", value=20.0, protocol="aecr", n=16, seed=0, reduced=True, steps=300,
              network={"width": 16})
STAR = replace(OURS, experiment="star", rows=(CLAIM.right,))


def put(root: Path, *records: Record) -> None:
    for r in records:
        name = r.experiment if r.seed == 0 else f"{r.experiment}-seed{r.seed}"
        write_records(records_folder(r.profile, root) / r.system / f"{name}.json", [r])


def pair(root: Path, lead: list[float], **changes: object) -> None:
    """Both sides with a seed for each number, ours above by it; both drift with the seed, which pairing takes out."""
    for seed, above in enumerate(lead):
        both = (replace(r, seed=seed, **changes) for r in (OURS, STAR))  # type: ignore[arg-type]
        put(root, *(replace(r, value=20.0 + 5 * seed + extra) for r, extra in zip(both, (above, 0.0), strict=True)))


def found(root: Path, *names: str, claim: Claim = CLAIM) -> list[Evidence]:
    return evidence(claim, [Source(name, root, None) for name in names or ("mini",)])


def test_nothing_measured_is_not_tested(tmp_path: Path) -> None:
    assert found(tmp_path) == [] and verdict([]) == "not tested"
    put(tmp_path, OURS)
    assert verdict(found(tmp_path)) == "not tested"
    put(tmp_path, replace(STAR, dataset="sots-indoor"))
    assert verdict(found(tmp_path)) == "not tested", "two test sets are never compared"


@pytest.mark.parametrize(("lead", "says"), [([0.3, 0.4, 0.5], "holds"), ([-0.3, -0.4, -0.5], "does not hold"),
                                            ([0.3, -0.4, 0.5], "within noise")])
def test_the_interval_is_students_over_seeds_paired(tmp_path: Path, lead: list[float], says: str) -> None:
    pair(tmp_path, lead)
    (e,) = found(tmp_path)
    assert e.difference == pytest.approx(sum(lead) / 3) and e.seeds == 3
    assert e.margin == pytest.approx(4.302653 * stdev(lead) / math.sqrt(3), rel=1e-5)
    assert e.verdict == says


def test_better_may_mean_lower() -> None:
    for claim in claims():
        values = {(c.row, c.column, c.metric): c.value for c in papers()[claim.paper].cells}
        left, right = (values[row, claim.column, claim.metric] for row in (claim.left, claim.right))
        assert left is not None and right is not None
        sign = 1 if claim.better == "higher" else -1
        assert Evidence("", "", claim.metric, sign * (left - right), 0.0, "printed").verdict == "holds"
        assert Evidence("", "", claim.metric, sign * (right - left), 0.0, "printed").verdict == "does not hold"
    assert Evidence("", "", "psnr", 0.0, 0.0, "equal").verdict == "does not hold"


def test_seeds_of_the_calibration_count(tmp_path: Path) -> None:
    pair(tmp_path, [0.3])
    records = [replace(r, seed=s, value=20 + s + (0.1 * s if r is OURS else 0)) for r in (OURS, STAR) for s in range(3)]
    path = gate.expected_file("mini", tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"results": gate.derive(records)}))
    (e,) = found(tmp_path)
    assert e.seeds == 3 and e.difference == pytest.approx((0.3 + 0.1 + 0.2) / 3)


def test_a_single_seed_borrows_the_spread_of_other_runs(tmp_path: Path) -> None:
    pair(tmp_path, [1.0])
    put(tmp_path, *(replace(OURS, experiment="other", rows=(), seed=s, value=v) for s, v in enumerate((19.9, 20.1))))
    (e,) = found(tmp_path)
    assert e.margin == pytest.approx(12.7062 * math.sqrt(2 * 0.02), rel=1e-4) and "spread of 1 other run" in e.basis


def test_without_any_spread_pictures_are_compared_one_by_one(tmp_path: Path) -> None:
    pair(tmp_path, [0.2])
    for name, values in (("ours", (20.0, 22.0, 24.0)), ("star", (19.9, 21.8, 23.7))):
        path = results_folder("mini", tmp_path) / "images" / "aecrnet" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows([("image", "psnr"), *enumerate(values)])
    (e,) = found(tmp_path)
    assert e.margin == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-5)
    assert e.verdict == "within noise" and "noise is not in it" in e.basis


def test_one_seed_of_unknown_noise_is_no_test(tmp_path: Path) -> None:
    pair(tmp_path, [0.2])
    (e,) = found(tmp_path)
    assert (e.margin, e.verdict) == (None, "not tested")


def test_the_real_test_set_goes_before_stand_ins_and_more_seeds_before_fewer(tmp_path: Path) -> None:
    pair(tmp_path, [0.3, 0.4, 0.5])
    pair(tmp_path, [-0.30, -0.31], profile="indoor", dataset="sots-indoor", n=500)
    pair(tmp_path, [-0.3, -0.4, -0.2], profile="lab")
    best, *others = found(tmp_path, "mini", "indoor", "lab")
    assert (best.profile, best.dataset, best.verdict) == ("indoor", "sots-indoor", "does not hold")
    assert {e.profile for e in others} == {"mini", "lab"} and "haze-homogeneous stands in" in others[0].why


def test_stale_evidence_goes_last(tmp_path: Path) -> None:
    (tmp_path / "profiles/mini").mkdir(parents=True)
    (tmp_path / "profiles/mini/params.yaml").write_text("systems: {}\n")
    pair(tmp_path, [0.3, 0.4], profile="mini", dataset="sots-indoor", n=500)
    pair(tmp_path, [0.1, 0.2], profile="bare")
    among = [Source("mini", tmp_path), Source("bare", tmp_path, None)]
    assert [e.profile for e in evidence(CLAIM, among)] == ["bare", "mini"]


def test_counts_are_exact_and_costs_come_from_one_run(tmp_path: Path) -> None:
    size = next(c for c in claims() if c.metric == "params")
    (e,) = found(tmp_path, claim=size)
    assert (e.margin, e.verdict) == (0.0, "holds")
    assert verdict(found(tmp_path, claim=next(c for c in claims() if c.metric == "memory"))) == "not tested"
