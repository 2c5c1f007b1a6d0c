"""The regression gate: its tolerance restated with SciPy and by simulation; whatever is amiss turns it red."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from reprolib import models
from reprolib.errors import UserError
from reprolib.evaluation.record import Record, write_records
from reprolib.results import gate
from reprolib.runs.places import records_folder
from reprolib.runs.profile import read_profile

BASE = Record(profile="mini", experiment="base", system="aecrnet", rows=("table2/base",), dataset="haze-homogeneous",
              metric="psnr", unit="dB", value=20.0, protocol="aecr", n=16, seed=0, reduced=True, steps=150, batch=10,
              crop=40, code_hash="c", data_hash="d", environment={"device": "cpu"})
SEEDS = {"base": (20.0, 20.3, 19.9), "base-dfe": (21.0, 21.1, 21.5), "rate-1-r": (22.4, 21.9, 22.0, 22.2)}
DCP = replace(BASE, experiment="dcp", system="dcp", value=15.25, steps=0, batch=0, crop=0)


def runs(seeds: dict[str, tuple[float, ...]] = SEEDS, **changes: Any) -> list[Record]:
    return [replace(BASE, experiment=name, seed=seed, value=value, **changes)
            for name, values in seeds.items() for seed, value in enumerate(values)]


def put(root: Path, *records: Record) -> None:
    for r in records:
        name = r.experiment if r.seed == 0 else f"{r.experiment}-seed{r.seed}"
        write_records(records_folder("mini", root) / r.system / f"{name}.json", [r])


def expect(root: Path, results: dict[str, Any]) -> None:
    gate.expected_file("mini", root).parent.mkdir(parents=True, exist_ok=True)
    gate.expected_file("mini", root).write_text(json.dumps({"profile": "mini", "results": results}))


def outcomes(root: Path) -> dict[str, gate.Outcome]:
    """Outcomes without the counts, which have tests of their own."""
    return {o.id: o for o in gate.check("mini", root) if not o.id.endswith("/params")}


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A project with recorded results and the records of seed 0 that they came from."""
    records = [*runs(), DCP]
    expect(tmp_path, gate.derive(records))
    put(tmp_path, *(r for r in records if r.seed == 0))
    return tmp_path


NAME = gate.key(BASE)


def restated_tolerance(value_lists: list[tuple[float, ...]], n: int) -> float:
    """The same interval by SciPy's own: pooled variance weighted by degrees of freedom, n runs against one new."""
    freedom = np.array([len(v) - 1 for v in value_lists])
    pooled = np.sqrt(np.average([np.var(v, ddof=1) for v in value_lists], weights=freedom))
    low, high = stats.t.interval(0.99, int(freedom.sum()), loc=0, scale=pooled * np.sqrt((n + 1) / n))
    assert low == -high
    return float(high)


def test_tolerance_is_the_prediction_interval_of_one_run() -> None:
    derived = gate.derive(runs())
    for name, values in SEEDS.items():
        entry = derived[f"{name}/haze-homogeneous/aecr/psnr"]
        assert entry["tolerance"] == pytest.approx(restated_tolerance(list(SEEDS.values()), len(values)), rel=1e-12)
        assert entry["value"] == pytest.approx(np.mean(values)) and entry["sd"] == pytest.approx(np.std(values, ddof=1))
        assert entry["n_seeds"] == len(values) and entry["dof"] == 7
        assert entry["values"] == {str(i): v for i, v in enumerate(values)}
        assert "99 %" in entry["derivation"] and entry["steps"] == 150 and entry["code_hash"] == "c"


def test_a_new_run_passes_in_99_of_100_cases() -> None:
    """Simulation: four experiments of three seeds, then one more run from the same normal law."""
    generator, passed, trials = np.random.default_rng(0), 0, 1200
    for _ in range(trials):
        draws = generator.normal(20.0, 0.3, size=(4, 4))
        entry = gate.derive(runs({f"e{i}": tuple(d[:3]) for i, d in enumerate(draws)}))["e0/haze-homogeneous/aecr/psnr"]
        passed += abs(draws[0, 3] - entry["value"]) <= entry["tolerance"]
    assert abs(passed / trials - 0.99) < 4 * math.sqrt(0.99 * 0.01 / trials)


@pytest.mark.parametrize("change", [{"system": "aodnet"}, {"protocol": "skimage"}, {"metric": "ssim", "unit": ""}])
def test_only_like_is_pooled_with_like(change: dict[str, str]) -> None:
    wild = runs({"wild": (0.0, 50.0, 90.0)}, **change)
    alone, beside = gate.derive(runs()), gate.derive([*runs(), *wild])
    assert {k: beside[k] for k in alone} == alone


def test_a_system_with_one_experiment_has_the_spread_of_its_dataset() -> None:
    alone = (19.0, 19.5, 19.7)
    derived = gate.derive([*runs(), *runs({"alone": alone}, system="aodnet")])
    expected = restated_tolerance([*SEEDS.values(), alone], len(alone))
    assert derived["alone/haze-homogeneous/aecr/psnr"]["tolerance"] == pytest.approx(expected, rel=1e-12)
    assert {name: derived[name] for name in gate.derive(runs())} == gate.derive(runs())


def test_untrained_systems_have_their_own_tolerance_and_leave_the_pool() -> None:
    ssim = replace(DCP, metric="ssim", unit="", value=0.6)
    derived = gate.derive([*runs(), DCP, ssim])
    assert derived[gate.key(DCP)]["tolerance"] == 1e-3 and derived[gate.key(ssim)]["tolerance"] == 1e-4
    assert derived[gate.key(DCP)]["sd"] == 0 and "nothing is trained" in derived[gate.key(DCP)]["derivation"]
    assert {k: v for k, v in derived.items() if "dcp" not in k} == gate.derive(runs())


def test_order_of_records_does_not_matter() -> None:
    assert json.dumps(gate.derive(runs())) == json.dumps(gate.derive(runs()[::-1]))


@pytest.mark.parametrize(("records", "says"), [
    (runs({"base": (20.0, 20.1)}), "2 seeds, 3 are needed"),
    ([*runs(), BASE], "two records of one seed"),
    ([*runs(), replace(BASE, experiment="bad", value=None, status="collapsed")], "collapsed"),
    ([*runs(), replace(BASE, experiment="bad", value=math.nan, status="non-finite")], "non-finite"),
])
def test_what_cannot_be_recorded(records: list[Record], says: str) -> None:
    with pytest.raises(UserError, match=says):
        gate.derive(records)


def test_unmoved_numbers_pass(recorded: Path) -> None:
    assert len(outcomes(recorded)) == 4 and all(o.ok for o in outcomes(recorded).values())
    assert outcomes(recorded)[NAME].value == 20.0 and "+-" in outcomes(recorded)[NAME].why


@pytest.mark.parametrize(("share", "ok"), [(0.999, True), (-0.999, True), (1.001, False), (-1.001, False)])
def test_a_moved_number_turns_the_gate_red_both_ways(recorded: Path, share: float, ok: bool) -> None:
    want = gate.read_expected("mini", recorded)[NAME]
    put(recorded, replace(BASE, value=want["value"] + share * want["tolerance"]))
    assert {name for name, o in outcomes(recorded).items() if not o.ok} == (set() if ok else {NAME})


@pytest.mark.parametrize("machine", [{"cpu": "another"}, {"device": "a GPU"}, {"torch": "99.0"}])
def test_on_another_machine_the_trained_numbers_are_held_all_at_once(recorded: Path, machine: dict[str, str]) -> None:
    """Three trained numbers: each keeps 99.67 % where each alone keeps 99 %. What is not trained is held as before."""
    want = gate.read_expected("mini", recorded)
    pooled, n = want[NAME]["pooled_sd"], want[NAME]["n_seeds"]
    assert sum(entry["steps"] > 0 for entry in want.values()) == 3
    low, high = stats.t.interval(1 - 0.01 / 3, want[NAME]["dof"], loc=0, scale=pooled * np.sqrt((n + 1) / n))
    assert high == pytest.approx(-low) and high > 1.1 * want[NAME]["tolerance"]
    elsewhere = {"device": "cpu", **machine}
    for share, ok in ((0.999, True), (-0.999, True), (1.001, False), (-1.001, False)):
        put(recorded, replace(BASE, value=want[NAME]["value"] + share * high, environment=elsewhere))
        assert outcomes(recorded)[NAME].ok == ok and "on another machine" in outcomes(recorded)[NAME].why
        put(recorded, replace(BASE, value=want[NAME]["value"] + share * high))
        assert not outcomes(recorded)[NAME].ok and "another machine" not in outcomes(recorded)[NAME].why
    put(recorded, replace(DCP, value=15.2511, environment=elsewhere))
    assert not outcomes(recorded)[gate.key(DCP)].ok


def test_an_untrained_number_may_hardly_move(recorded: Path) -> None:
    put(recorded, replace(DCP, value=15.2509))
    assert outcomes(recorded)[gate.key(DCP)].ok
    put(recorded, replace(DCP, value=15.2511))
    assert not outcomes(recorded)[gate.key(DCP)].ok


def test_missing_fails(recorded: Path) -> None:
    (records_folder("mini", recorded) / "aecrnet" / "base.json").unlink()
    assert not outcomes(recorded)[NAME].ok and "missing" in outcomes(recorded)[NAME].why


def test_another_seed_does_not_stand_for_seed_0(recorded: Path) -> None:
    (records_folder("mini", recorded) / "aecrnet" / "base.json").unlink()
    put(recorded, replace(BASE, seed=1))
    assert not outcomes(recorded)[NAME].ok and outcomes(recorded)[f"{NAME}#seed1"].ok


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize(("value", "status"), [(None, "collapsed"), (None, "non-finite"), (math.nan, "non-finite")])
def test_no_value_fails(recorded: Path, seed: int, value: float | None, status: str) -> None:
    bad = replace(BASE, seed=seed, value=value, status=status)
    path = records_folder("mini", recorded) / "aecrnet" / ("base-seed3.json" if seed else "base.json")
    path.write_text(json.dumps([asdict(bad)]))  # write_records would refuse the NaN
    found = outcomes(recorded)[NAME + ("#seed3" if seed else "")]
    assert not found.ok and status in found.why


def test_a_new_result_fails_until_it_is_recorded(recorded: Path) -> None:
    put(recorded, replace(BASE, experiment="new"))
    found = outcomes(recorded)["new/haze-homogeneous/aecr/psnr"]
    assert not found.ok and "reprolib calibrate" in found.why


def test_a_metric_that_was_added_since_is_told_and_gates_nothing_yet(recorded: Path) -> None:
    """Adding one is a file and a line; its tolerances come from `calibrate --add`."""
    assert gate.unrecorded("mini", recorded) == {}
    put(recorded, replace(BASE, experiment="other", metric="ciede2000", unit="", value=10.0))
    assert gate.unrecorded("mini", recorded) == {"ciede2000": 1}
    assert all(o.ok for o in outcomes(recorded).values())


@pytest.mark.parametrize("steps", [0, 150])
def test_too_few_recorded_seeds_fail(recorded: Path, steps: int) -> None:
    """Also if the record now claims that nothing was trained."""
    results = gate.read_expected("mini", recorded)
    expect(recorded, results | {NAME: results[NAME] | {"n_seeds": 2}})
    put(recorded, replace(BASE, steps=steps))
    assert not outcomes(recorded)[NAME].ok and "2 seeds" in outcomes(recorded)[NAME].why


@pytest.mark.parametrize("field", ["value", "tolerance"])
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_endless_or_undefined_bounds_fail(recorded: Path, field: str, number: float) -> None:
    results = gate.read_expected("mini", recorded)
    expect(recorded, results | {NAME: results[NAME] | {field: number}})
    assert not outcomes(recorded)[NAME].ok


def test_without_recorded_results_the_gate_cannot_pass(tmp_path: Path) -> None:
    put(tmp_path, BASE)
    with pytest.raises(UserError, match="reprolib calibrate"):
        gate.check("mini", tmp_path)


def test_counts_are_gated_beside_the_numbers(recorded: Path) -> None:
    counts = [o for o in gate.check("mini", recorded) if o.id.endswith("/params")]
    assert "aecrnet/params" in {o.id for o in counts} and all(o.ok and o.tolerance == 0 for o in counts)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"results": []}', '{"results": {}}', '{"results": null}',
                                  '{"results": {"a": 3}}', '{"results": {"a": {"value": 1.0}}}'])
def test_a_damaged_file_is_a_clear_error(tmp_path: Path, text: str) -> None:
    expect(tmp_path, {})
    gate.expected_file("mini", tmp_path).write_text(text)
    with pytest.raises(UserError, match="not a file of recorded results"):
        gate.check("mini", tmp_path)


def test_the_projects_own_tolerances_follow_from_their_seeds(project: Path) -> None:
    """Nobody may widen a bound by hand: each is computed again from the values stored beside it."""
    files = sorted((project / "profiles").glob("*/expected.json"))
    if not files:
        pytest.skip("no results recorded yet: run `reprolib calibrate`")
    for path in files:
        results = json.loads(path.read_text())["results"]
        runs_of = read_profile(path.parent.name, project).runs
        of_system: dict[str, list[tuple[float, ...]]] = {}
        of_dataset: dict[str, list[tuple[float, ...]]] = {}

        def places(name: str) -> tuple[str, str]:
            experiment, dataset, measure = name.split("/", 2)
            return f"{runs_of[experiment].system}/{measure}", f"{dataset}/{measure}"  # noqa: B023

        for name, entry in results.items():
            if entry["steps"]:
                for pools, place in zip((of_system, of_dataset), places(name), strict=True):
                    pools.setdefault(place, []).append(tuple(entry["values"].values()))
        for name, entry in results.items():
            values = tuple(entry["values"].values())
            assert entry["value"] == pytest.approx(np.mean(values), rel=1e-12), name
            untrained = 1e-4 if name.endswith("/ssim") else 1e-3
            siblings, neighbours = (pools.get(place, []) for pools, place in
                                    zip((of_system, of_dataset), places(name), strict=True))
            pool = siblings if len(siblings) > 1 else neighbours
            want = restated_tolerance(pool, len(values)) if entry["steps"] else untrained
            assert entry["tolerance"] == pytest.approx(want, rel=1e-9), name
            assert entry["n_seeds"] == len(values) >= (3 if entry["steps"] else 1), name


COUNTS = {"aecrnet": 2_614_229, "aodnet": 1_761, "cut": 11_378_179, "cyclegan": 11_378_179, "dcp": 0,
          "dehazenet": 8_305, "distancegan": 11_388_675, "fastcut": 11_378_179, "fdu": 11_268_611,
          "ffanet": 4_682_356, "gcanet": 702_818, "gcgan": 11_378_179, "griddehazenet": 958_051, "msbdn": 31_353_061,
          "munit": 15_026_187, "selfdistance": 11_388_675}
"""Typed a second time."""


def test_counts_typed_again() -> None:
    assert {name: models.get(name).verified_params for name in COUNTS} == COUNTS


def test_every_system_with_a_verified_count_has_exactly_that() -> None:
    found = {o.id: o for o in gate.check_counts()}
    verified = [name for name in models.names() if models.get(name).verified_params is not None]
    assert set(found) == {f"{name}/params" for name in verified} and set(COUNTS) <= set(verified)
    assert [o.why for o in found.values() if not o.ok] == []


def test_one_parameter_more_turns_the_gate_red(monkeypatch: pytest.MonkeyPatch) -> None:
    count = models.full_size_count
    monkeypatch.setattr(models, "full_size_count", lambda name: count(name) + (name == "aodnet"))
    assert [o.id for o in gate.check_counts() if not o.ok] == ["aodnet/params"]
