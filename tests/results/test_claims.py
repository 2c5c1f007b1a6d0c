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
from reprolib.runs.places import records_folder, results_folder, translator_costs

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


def calibrated(root: Path, *records: Record) -> None:
    path = gate.expected_file("mini", root)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"results": gate.derive(records)}))


def test_seeds_of_the_calibration_count(tmp_path: Path) -> None:
    pair(tmp_path, [0.3])
    records = [replace(r, seed=s, value=20 + s + (0.1 * s if r is OURS else 0)) for r in (OURS, STAR) for s in range(3)]
    calibrated(tmp_path, *records)
    (e,) = found(tmp_path)
    assert e.seeds == 3 and e.difference == pytest.approx((0.3 + 0.1 + 0.2) / 3)


def test_a_calibration_that_the_present_number_does_not_pass_is_of_another_training(tmp_path: Path) -> None:
    pair(tmp_path, [0.3])
    calibrated(tmp_path, *(replace(r, seed=s, value=5.0 + 0.01 * s) for r in (OURS, STAR) for s in range(3)))
    (e,) = found(tmp_path)
    assert e.seeds == 1 and e.difference == pytest.approx(0.3)


def test_a_single_seed_borrows_the_spread_of_other_runs(tmp_path: Path) -> None:
    pair(tmp_path, [1.0])
    apart = {"size": {"reduced": False}, "system": {"system": "aodnet"}, "data": {"dataset": "haze-dense"}}
    others = [replace(OURS, experiment=name, rows=(), **change) for name, change in apart.items()]  # type: ignore[arg-type]
    put(tmp_path, *(replace(r, seed=s, value=v) for r in others for s, v in enumerate((10.0, 30.0))))
    (e,) = found(tmp_path)
    assert e.margin is None, "runs of another system, size or test set know nothing of this one's noise"
    put(tmp_path, *(replace(OURS, experiment="other", rows=(), seed=s, value=v) for s, v in enumerate((19.9, 20.1))))
    (e,) = found(tmp_path)
    assert e.margin == pytest.approx(12.7062 * math.sqrt(2 * 0.02), rel=1e-4) and "spread of 1 run of" in e.basis


def of_pictures(root: Path, name: str, values: tuple[float, ...]) -> None:
    path = results_folder("mini", root) / "images" / "aecrnet" / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([("image", "psnr"), *enumerate(values)])


@pytest.mark.parametrize("steps", [0, 300])
def test_pictures_are_compared_one_by_one_only_where_nothing_is_trained(tmp_path: Path, steps: int) -> None:
    """Another seed would give other numbers on the same pictures, and they cannot tell by how much."""
    pair(tmp_path, [0.2], steps=steps)
    of_pictures(tmp_path, "ours", (20.0, 22.0, 24.0))
    of_pictures(tmp_path, "star", (19.9, 21.8, 23.7))
    (e,) = found(tmp_path)
    if steps:
        assert (e.margin, e.verdict) == (None, "not tested")
    else:
        assert e.margin == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-5)
        assert e.verdict == "within noise" and "nothing is trained" in e.basis


def test_what_learns_nothing_is_the_same_for_every_seed(tmp_path: Path) -> None:
    put(tmp_path, *(replace(OURS, seed=seed, value=value) for seed, value in enumerate((20.0, 20.2, 20.4))),
        replace(STAR, steps=0, value=19.0))
    (e,) = found(tmp_path)
    assert e.seeds == 3 and e.difference == pytest.approx(1.2)
    assert e.margin == pytest.approx(4.302653 * 0.2 / math.sqrt(3), rel=1e-5) and e.verdict == "holds"


def test_rows_that_differ_in_more_than_the_paper_varies_are_not_tested(tmp_path: Path) -> None:
    """A contrastive term, a network: what an ablation is about. A learning rate is not."""
    path = tmp_path / "profiles" / "mini" / "params.yaml"
    path.parent.mkdir(parents=True)
    text = """
systems:
  aecrnet:
    steps: 300
    runs:
      ours: {dataset: haze-homogeneous, network: {width: 16}}
      star: {dataset: haze-homogeneous, network: {width: 16}, contrast: {rate: "1:0"}}
"""
    pair(tmp_path, [0.3, 0.4, 0.5])
    path.write_text(text)
    assert verdict(found(tmp_path)) == "holds"
    path.write_text(text.replace('{rate: "1:0"}', '{rate: "1:0"}, learning_rate: 5.0e-3, batch: 2'))
    (e,) = found(tmp_path)
    assert e.verdict == "not tested" and e.difference == pytest.approx(0.4)
    assert e.basis == "the rows differ in batch and learning rate too, which the paper does not vary"


def test_one_seed_of_unknown_noise_is_no_test(tmp_path: Path) -> None:
    pair(tmp_path, [0.2])
    (e,) = found(tmp_path)
    assert (e.margin, e.verdict) == (None, "not tested")


def test_a_row_of_which_a_seed_collapsed_has_no_mean(tmp_path: Path) -> None:
    pair(tmp_path, [0.3, 0.4, 0.5])
    put(tmp_path, replace(STAR, seed=1, value=None, status="collapsed"))
    (e,) = found(tmp_path)
    assert (e.margin, e.verdict, e.basis) == (None, "not tested", "seed 1 of 'star' is collapsed")
    assert e.difference == pytest.approx(0.4) and e.seeds == 2, "of the other two"
    for seed in (0, 2):
        put(tmp_path, replace(STAR, seed=seed, value=None, status="non-finite"))
    assert found(tmp_path) == [], "nothing to compare"


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


def test_a_difference_of_times_has_their_noise(tmp_path: Path) -> None:
    """Quartiles of 0.1 s apart, three timed steps each: 2.776 * 1.2533 * hypot(0.1, 0.1) / 1.349 / sqrt 3 = 0.2106."""
    path = translator_costs("paper", tmp_path)
    path.parent.mkdir(parents=True)
    claim = next(c for c in claims() if (c.metric, c.right) == ("sec_per_iter", "cut/cyclegan"))
    rows = [{"system": name, "sec_per_iter": value, "sec_per_iter_ratio": value, "memory": 1.0, "memory_ratio": 1.0,
             "iqr": 0.1, "repeats": 3} for name, value in (("cyclegan", 1.0), (claim.left.partition("/")[2], 0.9))]
    path.write_text(json.dumps({"conditions": "a machine", "systems": rows}))
    (tmp_path / "profiles" / "mini").mkdir(parents=True)
    (tmp_path / "profiles" / "mini" / "params.yaml").write_text(
        "systems: {cut: {runs: {a: {dataset: photos-hazy2clear}}}}\n")
    (e,) = found(tmp_path, claim=claim)
    assert (e.difference, e.margin) == (pytest.approx(0.1), pytest.approx(0.2106, abs=1e-4))
    assert (e.verdict, e.profile) == ("within noise", ""), "the bench's, whichever profile asks"
