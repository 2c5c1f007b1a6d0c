"""The ledger: every cell, each with the right number, status and reason."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reprolib import models
from reprolib.errors import UserError
from reprolib.results import gate, ledger
from reprolib.papers.cells import load
from reprolib.evaluation.record import Record, records_folder, write_records

BASE = Record(profile="mini", experiment="base", system="aecrnet", rows=("table2/base",), dataset="haze-homogeneous",
              metric="psnr", unit="dB", value=20.0, protocol="aecr", n=16, seed=0, input_value=12.5, reduced=True,
              network={"width": 16}, params=2_614_229, steps=150, batch=10, crop=40,
              note="synthetic haze, assumed depth", features="vgg16", code_hash="now")
REAL = replace(BASE, profile="paper", dataset="sots-indoor", reduced=False, network={}, note="", features="vgg19")
KEYS = {"paper", "table", "row", "dataset", "metric", "unit", "paper_value", "value", "spread", "n_seeds", "status",
        "why", "record", "better", "stand_in"}


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No dataset of this machine may matter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)


def put(root: Path, *records: Record) -> None:
    for r in records:
        name = r.experiment if r.seed == 0 else f"{r.experiment}-seed{r.seed}"
        write_records(records_folder(r.profile, root) / f"{name}.json", [r])


def entry(root: Path, row: str = "table2/base", dataset: str = "sots", metric: str = "psnr", profile: str = "mini",
          **options: Any) -> dict[str, Any]:
    found = [e for e in ledger.build(profile, root, **options)
             if (e["row"], e["dataset"], e["metric"]) == (row, dataset, metric)]
    assert len(found) == 1
    return found[0]


def expect(root: Path, profile: str, records: list[Record]) -> None:
    path = gate.expected_file(profile, root)
    path.parent.mkdir()
    path.write_text(json.dumps({"results": gate.derive(records)}))


def test_every_cell_once_in_order(tmp_path: Path) -> None:
    entries = ledger.build("mini", tmp_path)
    assert len(entries) == 149
    assert [(e["row"], e["dataset"], e["metric"], e["paper_value"]) for e in entries] == [
        (c.row, c.dataset, c.metric, c.value) for c in load()]
    assert all(set(e) >= KEYS and list(e) == list(entries[0]) for e in entries)
    assert all(e["status"] and e["why"] for e in entries)


def test_without_records_nothing_is_claimed(tmp_path: Path) -> None:
    entries = [e for e in ledger.build("mini", tmp_path) if e["metric"] != "params"]
    assert Counter(e["status"] for e in entries) == {"not printed": 4, "not attempted": 136}
    assert all(e["value"] is None and e["gap"] is None and e["n_seeds"] == 0 for e in entries)


def test_a_system_that_does_not_exist_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, absent = models.names, ("ffanet", "cut", "aodnet")
    monkeypatch.setattr(models, "names", lambda task=None: [n for n in names(task) if n not in absent])
    for row, dataset, metric in (("table1/ffanet", "", "params"), ("table1/ffanet", "sots", "psnr"),
                                 ("cut/cut", "cat2dog", "fid"), ("table1/aodnet", "", "params")):
        e = entry(tmp_path, row, dataset, metric)
        assert (e["status"], e["value"]) == ("not attempted", None) and "not built yet" in e["why"]


def test_mini_is_measured_and_says_why_it_is_not_comparable(tmp_path: Path) -> None:
    put(tmp_path, BASE)
    e = entry(tmp_path)
    assert (e["status"], e["value"], e["paper_value"], e["spread"], e["n_seeds"]) == ("measured", 20.0, 33.85, None, 1)
    for said in ("not comparable", "synthetic haze, assumed depth", "reduced network (width 16)",
                 "150 steps of batch 10", "crop 40", "vgg16"):
        assert said in e["why"]
    assert e["stand_in"] == "haze-homogeneous" and e["input_value"] == 12.5
    assert e["gap"] is None
    path, _, metric = e["record"].partition("#")
    assert metric == "psnr" and json.loads((tmp_path / path).read_text())[0]["value"] == 20.0


def test_one_record_fills_every_row_that_it_stands_for(tmp_path: Path) -> None:
    put(tmp_path, replace(BASE, rows=("table1/aecrnet", "table2/ours", "table4/1:1")))
    filled = {e["row"] for e in ledger.build("mini", tmp_path) if e["status"] == "measured"}
    assert filled == {"table1/aecrnet", "table2/ours", "table4/1:1"}


@pytest.mark.parametrize(("dataset", "column", "stand_in"), [
    ("haze-homogeneous", "sots", True), ("haze-dense", "dense-haze", True), ("haze-nonhomogeneous", "nh-haze", True),
    ("sots-indoor", "sots", False), ("dense-haze", "dense-haze", False), ("nh-haze", "nh-haze", False)])
def test_columns(tmp_path: Path, dataset: str, column: str, stand_in: bool) -> None:
    put(tmp_path, replace(BASE, rows=("table1/aecrnet",), dataset=dataset))
    filled = [e for e in ledger.build("mini", tmp_path) if e["status"] == "measured"]
    assert [(e["dataset"], e["stand_in"]) for e in filled] == [(column, dataset if stand_in else None)]


def test_datasets_without_a_column_and_other_protocols_fill_nothing(tmp_path: Path) -> None:
    put(tmp_path, replace(BASE, dataset="motorcycle"), replace(BASE, experiment="b", protocol="skimage"))
    assert entry(tmp_path)["status"] == "not attempted"


def test_several_seeds_give_mean_and_sample_deviation(tmp_path: Path) -> None:
    """What is not a number of its own (the hazy input's score) is seed 0's, whatever the order of the files."""
    put(tmp_path, BASE, *(replace(BASE, seed=seed, value=20.0 + seed, input_value=0.0) for seed in (1, 2)))
    e = entry(tmp_path)
    assert (e["value"], e["spread"], e["n_seeds"], e["input_value"]) == (21.0, 1.0, 3, 12.5)
    assert e["record"] == "results/mini/records/base.json#psnr"


def test_experiments_are_never_averaged_and_the_real_benchmark_goes_first(tmp_path: Path) -> None:
    put(tmp_path, BASE, replace(BASE, experiment="other", dataset="sots-indoor", value=30.0))
    e = entry(tmp_path)
    assert (e["value"], e["n_seeds"], e["spread"], e["stand_in"]) == (30.0, 1, None, None)
    assert "also measured by base" in e["why"]


def test_one_seed_takes_its_spread_from_the_calibration(tmp_path: Path) -> None:
    put(tmp_path, BASE)
    expect(tmp_path, "mini", [BASE, replace(BASE, seed=1, value=21.0), replace(BASE, seed=2, value=22.0)])
    e = entry(tmp_path)
    assert (e["value"], e["spread"], e["n_seeds"]) == (20.0, 1.0, 3)
    assert "value of seed 0, spread over the 3 seeds of the calibration" in e["why"]


def test_a_damaged_calibration_is_told(tmp_path: Path) -> None:
    (tmp_path / "expected").mkdir()
    (tmp_path / "expected" / "mini.json").write_text("{}")
    with pytest.raises(UserError, match="not a file of recorded results"):
        ledger.build("mini", tmp_path)


@pytest.mark.parametrize("status", ["collapsed", "non-finite"])
def test_a_collapsed_seed_is_not_averaged_away(tmp_path: Path, status: str) -> None:
    put(tmp_path, BASE, replace(BASE, seed=1, value=None, status=status))
    e = entry(tmp_path)
    assert (e["status"], e["value"]) == (status, None) and "seed 1" in e["why"]


def test_stale(tmp_path: Path) -> None:
    put(tmp_path, BASE)
    assert entry(tmp_path, current_hash=lambda r: "now")["status"] == "measured"
    e = entry(tmp_path, current_hash=lambda r: "later")
    assert (e["status"], e["value"]) == ("stale", 20.0) and "dvc repro" in e["why"]


@pytest.mark.parametrize(("value", "status"), [
    (33.85, "reproduced"), (33.8549, "reproduced"), (33.8451, "reproduced"), (33.86, "off by +0.01"),
    (33.0, "off by -0.85")])
def test_paper_one_seed(tmp_path: Path, value: float, status: str) -> None:
    put(tmp_path, replace(REAL, value=value))
    e = entry(tmp_path, profile="paper")
    assert e["status"] == status and e["gap"] == pytest.approx(value - 33.85)


@pytest.mark.parametrize(("values", "status"), [
    ((33.0, 33.6), "within seed noise"),  # mean 33.3, sd 0.424: gap -0.55
    ((33.2, 33.4), "off by -0.55"),       # the same gap, sd 0.141
    ((33.4, 34.3), "reproduced")])        # mean 33.85
def test_paper_several_seeds(tmp_path: Path, values: tuple[float, ...], status: str) -> None:
    put(tmp_path, *(replace(REAL, seed=seed, value=value) for seed, value in enumerate(values)))
    assert entry(tmp_path, profile="paper")["status"] == status


@pytest.mark.parametrize("change", [{"reduced": True, "network": {"width": 16}}, {"dataset": "haze-homogeneous"}])
def test_paper_status_needs_the_full_network_on_the_real_benchmark(tmp_path: Path, change: dict[str, Any]) -> None:
    put(tmp_path, replace(REAL, value=33.85, **change))
    assert entry(tmp_path, profile="paper")["status"] == "measured"


def test_a_measured_number_without_a_printed_one(tmp_path: Path) -> None:
    put(tmp_path, replace(BASE, rows=("table1/fdu",), dataset="haze-dense"))
    e = entry(tmp_path, "table1/fdu", "dense-haze")
    assert (e["status"], e["value"], e["gap"]) == ("measured", 20.0, None) and "prints no number" in e["why"]
    assert entry(tmp_path, "table1/fdu", "nh-haze")["status"] == "not printed"


def test_impossible_without_the_benchmark_and_possible_with_it(tmp_path: Path) -> None:
    e = entry(tmp_path, "table1/aecrnet", "dense-haze", profile="paper")
    assert e["status"] == "impossible here" and "reprolib data register dense-haze PATH" in e["why"]
    assert entry(tmp_path, "table1/aecrnet", "dense-haze")["status"] == "not attempted"
    (tmp_path / "data" / "dense-haze").mkdir(parents=True)
    assert entry(tmp_path, "table1/aecrnet", "dense-haze", profile="paper")["status"] == "not attempted"


def test_parameter_counts_are_there_in_every_profile(tmp_path: Path) -> None:
    for profile in ("mini", "paper"):
        counts = {e["row"]: e for e in ledger.build(profile, tmp_path) if e["metric"] == "params"}
        ours = counts["table1/aecrnet"]
        assert (ours["status"], ours["value"], ours["paper_value"]) == ("matched", 2_614_229, 2_610_000)
        assert ours["gap"] == 4_229
        assert "verified" in ours["why"]
        assert counts["table1/aodnet"]["value"] == 1_761 and counts["table1/aodnet"]["status"] == "matched"
        assert counts["table1/dcp"]["status"] == counts["table1/fdu"]["status"] == "not printed"
        assert counts["table1/kddn"]["status"] == "not matched"
        assert "count not matched" in counts["table1/kddn"]["why"]


def test_written_files_are_whole_and_byte_stable(tmp_path: Path) -> None:
    put(tmp_path, BASE)
    folder = tmp_path / "results" / "mini"
    written = []
    for _ in range(2):
        ledger.write("mini", ledger.build("mini", tmp_path), tmp_path)
        written.append([(folder / f"ledger.{kind}").read_bytes() for kind in ("json", "csv", "md")])
    assert written[0] == written[1]
    entries = json.loads(written[0][0])
    assert len(entries) == 149 and all(set(e) >= KEYS for e in entries)
    with (folder / "ledger.csv").open(newline="") as stream:
        assert [r["row"] for r in csv.DictReader(stream)] == [c.row for c in load()]
    page = written[0][2].decode()
    assert page.count("\n|") == 149 + 2
    assert "| table2/base | sots | psnr | 33.85 | 20.0000 |  |  | measured |" in page
    assert "1 measured" in page and str(tmp_path) not in page
