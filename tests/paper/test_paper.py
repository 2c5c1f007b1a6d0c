"""The papers' cells and claims, the ledger that joins them with records, and the gate."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from reprolib.errors import UserError
from reprolib.paper import gate, ledger
from reprolib.paper.cells import load
from reprolib.paper.claims import CLAIMS, check
from reprolib.records import Record, records_folder, write_records


def printed(row: str) -> list[str]:
    return [c.printed for c in load() if c.row == row]


def test_cells_typed_again_from_the_slides() -> None:
    assert printed("table1/msbdn") == ["33.79", "0.9840", "15.37", "0.4858", "19.23", "0.7056", "31.35M"]
    assert printed("table1/fdu") == ["32.68", "0.9760", "-", "-", "-", "-", "-"]
    assert printed("table2/base+dfe+sc") == ["35.59", "0.9858"]
    assert printed("table4/1:r") == ["37.41", "0.9906"]
    assert printed("cut/fastcut") == ["19.1", "59.9", "24.3", "68.8", "94.0", "73.4", "0.15", "2.25"]
    assert len(load()) == 9 * 7 + 7 * 2 + 4 * 2 + 8 * 8


def test_claims_hold_on_the_papers_own_numbers() -> None:
    values = {(c.row, c.dataset, c.metric): c.value for c in load()}
    assert {c.id: check(c, values) for c in CLAIMS} == {c.id: "holds" for c in CLAIMS}
    assert len({c.id for c in CLAIMS}) == len(CLAIMS) > 40


def test_a_claim_can_fail_drown_in_noise_or_be_unmeasured() -> None:
    claim = CLAIMS[0]
    keys = [(claim.left, claim.dataset, claim.metric), (claim.right, claim.dataset, claim.metric)]
    assert check(claim, dict(zip(keys, (20.0, 21.0), strict=True))) == "does not hold"
    values = dict(zip(keys, (21.0, 20.0), strict=True))
    assert check(claim, values, {keys[0]: 0.4, keys[1]: 0.4}) == "within seed noise"
    assert check(claim, values, {keys[0]: 0.3, keys[1]: 0.3}) == "holds"
    assert check(claim, {keys[0]: 1.0}) == "not measured"


def record(value: float | None, *, metric: str = "psnr", experiment: str = "a", seed: int = 0, **changes: object) -> Record:
    base = Record(profile="mini", experiment=experiment, system="aecrnet", rows=("table2/ours", "table4/1:1"),
                  dataset="haze-homogeneous", metric=metric, unit="dB", value=value, protocol="aecr", n=16, seed=seed,
                  status="ok" if value is not None else "collapsed", steps=10, code_hash="x", note="synthetic haze, assumed depth")
    return replace(base, **changes)  # type: ignore[arg-type]


def put(root: Path, *records: Record) -> None:
    for r in records:
        write_records(records_folder("mini", root) / f"{r.experiment}.json", [r])


def entry(entries: list[dict], row: str, metric: str = "psnr") -> dict:
    return next(e for e in entries if e["row"] == row and e["metric"] == metric and e["dataset"] == "sots")


def test_ledger_lists_every_cell(tmp_path: Path) -> None:
    put(tmp_path, record(17.5))
    entries = ledger.build("mini", tmp_path)
    assert len(entries) == len(load())
    for row in ("table2/ours", "table4/1:1"):
        e = entry(entries, row)
        assert (e["status"], e["value"], e["stand_in"], e["paper_value"]) == ("measured", 17.5, "haze-homogeneous", 37.17)
        assert "assumed depth" in e["why"] and e["gap"] is None
    assert entry(entries, "table2/base")["status"] == "not attempted"
    assert {e["status"] for e in entries if e["row"] == "cut/cut"} == {"not attempted"}
    wanted = {"paper", "table", "row", "dataset", "metric", "unit", "paper_value", "value", "spread", "n_seeds", "status", "why", "record"}
    assert wanted <= set(entries[0])


def test_ledger_counts_parameters_without_records(tmp_path: Path) -> None:
    counts = {e["row"]: e for e in ledger.build("mini", tmp_path) if e["metric"] == "params"}
    assert (counts["table1/aecrnet"]["value"], counts["table1/aecrnet"]["status"]) == (2614229, "matched")
    assert (counts["table1/kddn"]["status"], counts["table1/kddn"]["value"]) == ("not matched", 2404867)


def test_ledger_marks_stale_and_collapsed(tmp_path: Path) -> None:
    put(tmp_path, record(17.5))
    assert entry(ledger.build("mini", tmp_path, lambda r: "y"), "table2/ours")["status"] == "stale"
    assert entry(ledger.build("mini", tmp_path, lambda r: "x"), "table2/ours")["status"] == "measured"
    put(tmp_path, record(None))
    assert entry(ledger.build("mini", tmp_path), "table2/ours")["status"] == "collapsed"


def test_paper_profile_compares(tmp_path: Path) -> None:
    def status(value: float, *more: float) -> tuple[str, float]:
        for old in records_folder("paper", tmp_path).glob("*"):
            old.unlink()
        for seed, v in enumerate((value, *more)):
            r = record(v, seed=seed, profile="paper", dataset="sots-indoor", note="")
            write_records(records_folder("paper", tmp_path) / f"a{seed}.json", [r])
        e = entry(ledger.build("paper", tmp_path), "table2/ours")
        return e["status"], e["gap"]

    assert status(37.174)[0] == "reproduced"
    assert status(36.5) == ("off by -0.67", pytest.approx(-0.67))
    assert status(36.5, 37.5)[0] == "within seed noise"


def calibrated() -> list[Record]:
    values = {"a": (17.0, 17.4, 17.2), "b": (15.0, 15.2, 15.7)}
    return [record(v, experiment=e, seed=s) for e, vs in values.items() for s, v in enumerate(vs)]


def test_tolerance_is_the_prediction_interval() -> None:
    expected = gate.derive(calibrated())["a/haze-homogeneous/aecr/psnr"]
    variances = [0.04, 0.13]
    pooled = math.sqrt(sum(variances) / 2)
    assert expected["pooled_sd"] == pytest.approx(pooled)
    assert expected["tolerance"] == pytest.approx(stats.t.ppf(0.995, 4) * pooled * math.sqrt(4 / 3))
    assert expected["value"] == pytest.approx(17.2)


def test_two_seeds_are_not_enough() -> None:
    with pytest.raises(UserError, match="3 are needed"):
        gate.derive([r for r in calibrated() if r.seed < 2])


@pytest.mark.parametrize(("now", "why"), [
    ([record(17.3), record(15.1, experiment="b")], None),
    ([record(20.0), record(15.1, experiment="b")], "+2.8"),
    ([record(17.3)], "missing"),
    ([record(None), record(15.1, experiment="b")], "collapsed"),
    ([record(17.3), record(15.1, experiment="b"), record(1.0, experiment="c")], "new result"),
])
def test_gate(tmp_path: Path, now: list[Record], why: str | None) -> None:
    path = gate.expected_file("mini", tmp_path)
    path.parent.mkdir()
    path.write_text(json.dumps({"results": gate.derive(calibrated())}))
    put(tmp_path, *now)
    failed = [o for o in gate.check("mini", tmp_path) if not o.ok]
    if why is None:
        assert not failed
    else:
        assert len(failed) == 1 and why in failed[0].why


def test_gate_without_recorded_results_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="reprolib calibrate"):
        gate.check("mini", tmp_path)


def test_a_changed_count_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(o.ok for o in gate.check_counts())
    monkeypatch.setitem(gate.exact_counts(), "aodnet", 1762)
    assert [o.id for o in gate.check_counts() if not o.ok] == ["aodnet/params"]


def test_record_without_value_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="status 'ok'"):
        replace(record(17.0), value=None)
