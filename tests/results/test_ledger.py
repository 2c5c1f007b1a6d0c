"""The ledger: every cell, each with the right number, status, reason and evidence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import stdev
from typing import Any

import layouts
import pytest
from invented import invented

from reprolib import models, papers
from reprolib.data.paired import open_split
from reprolib.errors import UserError
from reprolib.evaluation.record import Record, write_records
from reprolib.results import gate, ledger
from reprolib.runs.digests import evaluating_digest
from reprolib.runs.places import records_folder, translator_costs
from reprolib.runs.rows import all_rows

__all__ = ["invented"]

BASE = Record(profile="mini", experiment="base", system="aecrnet", rows=("table2/base",), dataset="haze-homogeneous",
              metric="psnr", unit="dB", value=20.0, protocol="aecr", n=16, seed=0, input_value=12.5, reduced=True,
              network={"width": 16}, params=2_614_229, steps=150, batch=10, crop=40,
              note="synthetic haze, assumed depth", features="vgg16", code_hash="now")
REAL = replace(BASE, dataset="sots-indoor", reduced=False, network={}, note="", features="vgg19", n=500,
               recipe="published", steps=500_000)
KEYS = {"paper", "table", "row", "dataset", "metric", "unit", "paper_value", "value", "spread", "n_seeds", "status",
        "why", "record", "better", "stand_in", "evidence"}


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No dataset of this machine may matter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)


def put(root: Path, *records: Record) -> None:
    for r in records:
        name = r.experiment if r.seed == 0 else f"{r.experiment}-seed{r.seed}"
        write_records(records_folder(r.profile, root) / r.system / f"{name}.json", [r])


def entries(root: Path, profile: str = "mini", digest: ledger.Digest | None = None) -> list[ledger.Entry]:
    """The ledger; by default nothing is asked about the code."""
    return ledger.build(profile, root, digest)


def entry(root: Path, row: str = "table2/base", dataset: str = "sots", metric: str = "psnr",
          profile: str = "mini", digest: ledger.Digest | None = None) -> dict[str, Any]:
    key = (row, dataset, metric)
    found = [e for e in entries(root, profile, digest) if (e["row"], e["dataset"], e["metric"]) == key]
    assert len(found) == 1
    return found[0]


def describe(root: Path, text: str, profile: str = "mini") -> None:
    """A profile with these runs."""
    folder = root / "profiles" / profile
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(text)


def expect(root: Path, profile: str, records: list[Record]) -> None:
    path = gate.expected_file(profile, root)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"results": gate.derive(records)}))


def printed_cells() -> Iterator[papers.Cell]:
    return (c for paper in papers.papers().values() for c in paper.cells)


def test_every_printed_cell_once_in_order(tmp_path: Path) -> None:
    found = entries(tmp_path)
    assert [(e["row"], e["dataset"], e["metric"], e["paper_value"], e["printed"]) for e in found if e["printed"]] == [
        (c.row, c.column, c.metric, c.value, c.printed) for c in printed_cells()]
    assert all(set(e) >= KEYS and list(e) == list(found[0]) for e in found)
    assert all(e["status"] and e["why"] for e in found)


def test_without_records_nothing_is_claimed(tmp_path: Path) -> None:
    for e in entries(tmp_path):
        if e["evidence"] == "counted":
            continue
        assert e["status"] == ("not printed" if e["printed"] == "-" else "not attempted")
        assert e["value"] is None and e["gap"] is None and e["n_seeds"] == 0 and e["evidence"] is None


def test_a_system_that_does_not_exist_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, absent = models.names, ("ffanet", "cut", "aodnet")
    monkeypatch.setattr(models, "names", lambda task=None: [n for n in names(task) if n not in absent])
    for row, dataset, metric in (("table1/ffanet", "", "params"), ("table1/ffanet", "sots", "psnr"),
                                 ("cut/cut", "cat2dog", "fid"), ("table1/aodnet", "", "params")):
        e = entry(tmp_path, row, dataset, metric)
        assert (e["status"], e["value"]) == ("not attempted", None) and "not built yet" in e["why"]


def test_a_registered_system_without_a_printed_row_is_counted_and_measured(tmp_path: Path) -> None:
    row = next(row for row in all_rows().values() if row.id not in papers.rows())
    count = entry(tmp_path, row.id, "", "params")
    assert count["value"] == models.full_size_count(row.system) and count["evidence"] == "counted"
    put(tmp_path, replace(BASE, system=row.system, rows=(row.id,)))
    e = entry(tmp_path, row.id)
    assert (e["label"], e["value"], e["paper_value"], e["printed"]) == (row.label, 20.0, None, "")
    assert e["status"] == "measured" and "the paper prints no number" in e["why"]


def test_a_metric_that_the_paper_does_not_print_has_a_column_where_it_was_measured(tmp_path: Path) -> None:
    rows = ("table1/aodnet",)
    put(tmp_path, replace(BASE, system="aodnet", rows=rows, metric="ciede2000", unit="", value=7.5))
    found = [e for e in entries(tmp_path) if e["metric"] == "ciede2000"]
    assert [(e["row"], e["dataset"], e["value"]) for e in found] == [("table1/aodnet", "sots", 7.5)]
    assert found[0]["better"] == "lower"
    assert found[0]["printed"] == "" and found[0]["paper_value"] is None and found[0]["gap"] is None


def test_a_row_of_a_table_without_printed_numbers(tmp_path: Path) -> None:
    put(tmp_path, replace(BASE, experiment="x", system="cut", rows=("negatives/both",), dataset="photos-hazy2clear",
                          metric="fd_vgg16", unit="", protocol="vgg16"))
    e = entry(tmp_path, "negatives/both", "horse2zebra", "fid")
    assert (e["measured"], e["value"], e["printed"]) == ("fd_vgg16", 20.0, "") and "FD-VGG16, not FID" in e["why"]


def test_another_paper_needs_no_code(tmp_path: Path, invented: Path) -> None:
    put(tmp_path, replace(BASE, system="aodnet", rows=("toys/small",)))
    found = {(e["row"], e["metric"]): e for e in entries(tmp_path) if e["paper"] == "toy"}
    assert {key: (e["dataset"], e["printed"], e["value"]) for key, e in found.items()} == {
        ("toys/small", "psnr"): ("mine", "20.5", 20.0), ("toys/small", "ssim"): ("mine", "0.9", None),
        ("toys/prior", "psnr"): ("mine", "15.5", None)}
    assert found["toys/small", "psnr"]["stand_in"] == "haze-homogeneous"


def test_mini_is_measured_and_says_why_it_is_not_comparable(tmp_path: Path) -> None:
    put(tmp_path, BASE)
    e = entry(tmp_path)
    assert (e["status"], e["value"], e["paper_value"], e["spread"], e["n_seeds"]) == ("measured", 20.0, 33.85, None, 1)
    for said in ("not comparable", "synthetic haze, assumed depth", "reduced network (width 16)",
                 "150 steps of batch 10", "crop 40", "vgg16"):
        assert said in e["why"]
    assert e["stand_in"] == "haze-homogeneous" and e["input_value"] == 12.5
    assert e["gap"] is None
    assert e["evidence"] == "trained here"
    path, _, metric = e["record"].partition("#")
    assert metric == "psnr" and json.loads((tmp_path / path).read_text())[0]["value"] == 20.0


def test_one_record_fills_every_row_that_it_stands_for(tmp_path: Path) -> None:
    put(tmp_path, replace(BASE, rows=("table1/aecrnet", "table2/ours", "table4/1:1")))
    filled = {e["row"] for e in entries(tmp_path) if e["record"]}
    assert filled == {"table1/aecrnet", "table2/ours", "table4/1:1"}


@pytest.mark.parametrize(("dataset", "column", "stand_in"), [
    ("haze-homogeneous", "sots", True), ("haze-dense", "dense-haze", True), ("haze-nonhomogeneous", "nh-haze", True),
    ("sots-indoor", "sots", False), ("dense-haze", "dense-haze", False), ("nh-haze", "nh-haze", False)])
def test_columns(tmp_path: Path, dataset: str, column: str, stand_in: bool) -> None:
    put(tmp_path, replace(BASE, rows=("table1/aecrnet",), dataset=dataset))
    filled = [e for e in entries(tmp_path) if e["record"]]
    assert [(e["dataset"], e["stand_in"]) for e in filled] == [(column, dataset if stand_in else None)]


def test_datasets_without_a_column_and_other_protocols_fill_nothing(tmp_path: Path) -> None:
    put(tmp_path, replace(BASE, dataset="motorcycle"), replace(BASE, experiment="b", protocol="skimage7"))
    assert entry(tmp_path)["status"] == "not attempted"


def test_several_seeds_give_mean_and_sample_deviation(tmp_path: Path) -> None:
    """What is not a number of its own (the hazy input's score) is seed 0's, whatever the order of the files."""
    put(tmp_path, BASE, *(replace(BASE, seed=seed, value=20.0 + seed, input_value=0.0) for seed in (1, 2)))
    e = entry(tmp_path)
    assert (e["value"], e["spread"], e["n_seeds"], e["input_value"]) == (21.0, 1.0, 3, 12.5)
    assert e["record"] == "results/mini/records/aecrnet/base.json#psnr"


def test_experiments_are_never_averaged_and_the_real_benchmark_goes_first(tmp_path: Path) -> None:
    put(tmp_path, BASE, replace(BASE, experiment="other", dataset="sots-indoor", value=30.0))
    e = entry(tmp_path)
    assert (e["value"], e["n_seeds"], e["spread"], e["stand_in"]) == (30.0, 1, None, None)
    assert "also measured by base" in e["why"]


def test_seeds_of_the_calibration_count_with_the_one_that_is_measured_now(tmp_path: Path) -> None:
    """A mean beside its own spread: seed 0 alone beside the spread of three would say another thing."""
    put(tmp_path, replace(BASE, value=20.3))
    expect(tmp_path, "mini", [BASE, replace(BASE, seed=1, value=21.0), replace(BASE, seed=2, value=22.0)])
    e = entry(tmp_path)
    assert e["value"] == pytest.approx(21.1) and e["spread"] == pytest.approx(stdev((20.3, 21.0, 22.0)))
    assert e["n_seeds"] == 3 and "mean of 3 seeds, 1 and 2 from the calibration" in e["why"]


def test_a_damaged_calibration_is_told(tmp_path: Path) -> None:
    path = gate.expected_file("mini", tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    put(tmp_path, BASE)
    with pytest.raises(UserError, match="not a file of recorded results"):
        entries(tmp_path)


@pytest.mark.parametrize("status", ["collapsed", "non-finite"])
def test_a_collapsed_seed_is_not_averaged_away(tmp_path: Path, status: str) -> None:
    put(tmp_path, BASE, replace(BASE, seed=1, value=None, status=status))
    e = entry(tmp_path)
    assert (e["status"], e["value"]) == (status, None) and "seed 1" in e["why"]


RUNS = "systems: {aecrnet: {network: {dfe: false, mix: none}, contrast: null, runs: {base: {dataset: DATA}}}}\n"


def test_stale(tmp_path: Path) -> None:
    """A record of other code, of other settings, or of a run that is gone."""
    describe(tmp_path, RUNS.replace("DATA", "haze-homogeneous"))
    put(tmp_path, BASE)
    assert entry(tmp_path, digest=lambda run: "now")["status"] == "measured"
    e = entry(tmp_path, digest=lambda run: "later")
    assert (e["status"], e["value"]) == ("stale", 20.0) and "code has changed" in e["why"] and "dvc repro" in e["why"]
    put(tmp_path, replace(BASE, fingerprint="another"))
    assert "settings have changed" in entry(tmp_path, digest=lambda run: "now")["why"]
    put(tmp_path, replace(BASE, experiment="gone"))
    (records_folder("mini", tmp_path) / "aecrnet" / "base.json").unlink()
    e = entry(tmp_path, digest=lambda run: "now")
    assert e["status"] == "stale" and "no run 'gone'" in e["why"]


@pytest.mark.parametrize(("value", "status"), [
    (33.85, "reproduced"), (33.8549, "reproduced"), (33.8451, "reproduced"), (33.86, "off by +0.01"),
    (33.0, "off by -0.85")])
def test_comparable_one_seed(tmp_path: Path, value: float, status: str) -> None:
    put(tmp_path, replace(REAL, value=value))
    e = entry(tmp_path)
    assert e["status"] == status and e["gap"] == pytest.approx(value - 33.85)


@pytest.mark.parametrize(("values", "status"), [
    ((33.0, 33.6), "within seed noise"),  # mean 33.3, sd 0.424: gap -0.55
    ((33.2, 33.4), "off by -0.55"),       # the same gap, sd 0.141
    ((33.4, 34.3), "reproduced")])        # mean 33.85
def test_comparable_several_seeds(tmp_path: Path, values: tuple[float, ...], status: str) -> None:
    put(tmp_path, *(replace(REAL, seed=seed, value=value) for seed, value in enumerate(values)))
    assert entry(tmp_path)["status"] == status


@pytest.mark.parametrize(("change", "says"), [
    ({"reduced": True, "network": {"width": 16}}, "reduced network (width 16)"),
    ({"dataset": "haze-homogeneous", "note": "synthetic haze", "n": 16}, "synthetic haze"),
    ({"n": 120}, "sample: 120 of 500"),
    ({"recipe": "common"}, "not its authors' training"),
    ({"steps": 1000}, "not its authors' training"),
])
def test_what_is_not_comparable_says_what_differs(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    put(tmp_path, replace(REAL, value=33.85, **change))
    e = entry(tmp_path)
    assert (e["status"], e["gap"]) == ("measured", None) and "not comparable" in e["why"] and says in e["why"]


GRID = replace(REAL, profile="published", experiment="griddehazenet-sots-indoor", system="griddehazenet", rows=(),
               checkpoint="published", recipe="common", steps=0, value=32.16, note="their file")


@pytest.mark.parametrize("profile", ["mini", "paper"])
def test_the_authors_weights_stand_beside_our_own_training_in_every_profile(tmp_path: Path, profile: str) -> None:
    ours = replace(BASE, profile=profile, experiment="grid", system="griddehazenet", rows=("table1/griddehazenet",))
    put(tmp_path, GRID, ours)
    found = [e for e in entries(tmp_path, profile) if (e["row"], e["metric"]) == ("table1/griddehazenet", "psnr")
             and e["dataset"] == "sots"]
    assert [(e["value"], e["n"], e["evidence"], e["status"]) for e in found] == [
        (20.0, 16, "trained here", "measured"), (32.16, 500, "authors' weights", "reproduced")]
    assert ledger.own(found) == found[:1] and ledger.strongest(found) == found[1:]


@pytest.mark.parametrize(("change", "status"), [({"value": 32.2}, "off by +0.04"), ({"n": 150}, "measured"),
                                                ({"value": None, "status": "non-finite"}, "non-finite")])
def test_the_authors_weights_are_held_against_the_paper_on_the_whole_test_set(tmp_path: Path, change: dict[str, Any],
                                                                              status: str) -> None:
    put(tmp_path, replace(GRID, **change))
    (e,) = (e for e in entries(tmp_path) if e["evidence"] == "authors' weights")
    assert e["status"] == status and "their file" in e["why"]


def test_numbers_of_the_authors_weights_say_when_other_code_measured_them(tmp_path: Path) -> None:
    now = evaluating_digest("griddehazenet", ["psnr"])
    for code, said in ((now, False), ("0" * 16, True)):
        put(tmp_path, replace(GRID, code_hash=code))
        (e,) = (e for e in ledger.build("mini", tmp_path) if e["evidence"] == "authors' weights")
        assert ("by an earlier state of this code" in e["why"]) == said


def test_weights_that_never_saw_a_test_sets_own_training_pictures_are_not_held_against_the_paper(tmp_path: Path) -> None:
    """Dense-Haze has pictures to train on, and SOTS has not; a prior learns from none."""
    dense = replace(GRID, dataset="dense-haze", n=5, value=8.70)
    prior = replace(dense, system="dcp", experiment="dcp-dense-haze", checkpoint="none", value=11.62)
    put(tmp_path, dense, prior)
    theirs = {e["row"]: e for e in entries(tmp_path) if e["evidence"] == "authors' weights"}
    assert theirs["table1/griddehazenet"]["status"] == "measured" and theirs["table1/griddehazenet"]["gap"] is None
    assert "not trained on Dense-Haze" in theirs["table1/griddehazenet"]["why"]
    assert theirs["table1/dcp"]["status"] == "off by +1.56"


def test_a_measured_number_without_a_printed_one(tmp_path: Path) -> None:
    put(tmp_path, replace(BASE, rows=("table1/fdu",), dataset="haze-dense"))
    e = entry(tmp_path, "table1/fdu", "dense-haze")
    assert (e["status"], e["value"], e["gap"]) == ("measured", 20.0, None) and "prints no number" in e["why"]
    assert entry(tmp_path, "table1/fdu", "nh-haze")["status"] == "not printed"


def test_impossible_without_the_benchmark_and_possible_with_it(tmp_path: Path) -> None:
    """Only what the profile would measure is impossible; the rest was never asked for."""
    describe(tmp_path, "systems: {aecrnet: {runs: {dense: {dataset: dense-haze, rows: [table1/aecrnet]}}}}\n")
    e = entry(tmp_path, "table1/aecrnet", "dense-haze")
    assert e["status"] == "impossible here" and "reprolib data register dense-haze PATH" in e["why"]
    e = entry(tmp_path, "table1/aecrnet", "nh-haze")
    assert e["status"] == "not attempted" and "no run of profile 'mini'" in e["why"]
    (tmp_path / "data" / "dense-haze").mkdir(parents=True)
    e = entry(tmp_path, "table1/aecrnet", "dense-haze")
    assert e["status"] == "not attempted" and "not measured yet" in e["why"]


def test_parameter_counts_are_there_in_every_profile(tmp_path: Path) -> None:
    for profile in ("mini", "paper"):
        counts = {e["row"]: e for e in entries(tmp_path, profile) if e["metric"] == "params"}
        ours = counts["table1/aecrnet"]
        assert (ours["status"], ours["value"], ours["paper_value"]) == ("matched", 2_614_229, 2_610_000)
        assert ours["gap"] == 4_229
        assert "verified" in ours["why"]
        assert counts["table1/aodnet"]["value"] == 1_761 and counts["table1/aodnet"]["status"] == "matched"
        assert counts["table1/dcp"]["status"] == counts["table1/fdu"]["status"] == "not printed"
        assert counts["table1/kddn"]["status"] == "not matched"
        assert "count not matched" in counts["table1/kddn"]["why"]


COSTS = {"conditions": "a machine", "systems": [
    {"system": "cyclegan", "sec_per_iter": 0.5, "sec_per_iter_ratio": 1.0, "memory": 2.0, "memory_ratio": 1.0},
    {"system": "cut", "sec_per_iter": 0.25, "sec_per_iter_ratio": 0.5, "memory": 3.0, "memory_ratio": 1.5}]}


def test_costs_are_the_benchs(tmp_path: Path) -> None:
    path = translator_costs("paper", tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(COSTS))
    describe(tmp_path, "systems: {aodnet: {runs: {a: {dataset: haze-homogeneous}}}}\n", "haze")
    assert entry(tmp_path, "cut/cut", "horse2zebra", "sec_per_iter", "haze")["status"] == "not attempted"
    describe(tmp_path, "systems: {cut: {runs: {a: {dataset: photos-hazy2clear}}}}\n")
    e = entry(tmp_path, "cut/cut", "horse2zebra", "sec_per_iter")
    assert (e["value"], e["status"], e["record"]) == (0.25, "measured", path.relative_to(tmp_path).as_posix())
    assert "a machine" in e["why"] and "0.50 of CycleGAN's in the same run, in the paper 0.60" in e["why"]
    assert entry(tmp_path, "cut/fastcut", "horse2zebra", "memory")["status"] == "not attempted"
    path.write_text(json.dumps({"systems": []}))
    with pytest.raises(UserError, match="not a file of costs"):
        entries(tmp_path)


def test_kind_35_a_record_of_other_pictures_is_stale(tmp_path: Path) -> None:
    """Here the registered test pictures are not those of the record; where there are none, the record stands."""
    put(tmp_path, replace(REAL, value=33.85, n=4, data_hash="of other pictures"))
    assert (entry(tmp_path)["status"], entry(tmp_path)["sample"]) == ("measured", "sample: 4 of 500")
    layouts.install(tmp_path, ["sots-indoor"], n=2)
    e = entry(tmp_path)
    assert (e["status"], e["why"]) == ("stale", "test pictures of sots-indoor have changed since: run `dvc repro`")
    put(tmp_path, replace(REAL, value=33.85, n=4, data_hash=open_split("sots-indoor", "test").pixel_hash()))
    assert entry(tmp_path)["status"] == "measured"
