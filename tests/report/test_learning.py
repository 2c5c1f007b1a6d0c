"""Two rows of a claim along their training: paired by seed, averaged over parts, with the interval over seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from reprolib.evaluation.record import Record, write_records
from reprolib.report.learning import WINDOWS, differences, figure
from reprolib.runs.places import Places
from reprolib.runs.profile import read_profile

PROFILE = """
systems:
  aecrnet:
    runs:
      none: {dataset: haze-homogeneous, steps: 200, contrast: null, seeds: 3, rows: [table2/base+dfe+mixup]}
      star: {dataset: haze-homogeneous, steps: 200, contrast: {rate: "1:0"}, seeds: 3,
             rows: ["table2/base+dfe+mixup+cr*"]}
      ours: {dataset: haze-homogeneous, steps: 200, batch: BATCH, seeds: 3, rows: [table2/ours]}
"""
KEY = "base+DFE+mixup+CR* beside base+DFE+mixup"


def train(root: Path, batch: int = 8) -> None:
    """Logs every second step: none has L1 0.2 + 0.01 seed; star is 2, 4 and 6 grey levels below it, ours above it."""
    folder = root / "profiles" / "mini"
    folder.mkdir(parents=True, exist_ok=True)
    text = PROFILE.replace("BATCH", str(batch)).replace("runs:\n", "batch: 8\n    runs:\n", 1)
    (folder / "params.yaml").write_text(text)
    for run in read_profile("mini", root).runs.values():
        l1 = 0.2 + 0.01 * run.seed + {"none": 0, "star": -1, "ours": 1}[run.name] * 2 * (run.seed + 1) / 255
        path = Places(run, root).checkpoint / "log.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("step,l1\n" + "".join(f"{step},{l1:.9f}\n" for step in range(2, 201, 2)))


def test_differences_are_paired_by_seed_and_have_students_interval(tmp_path: Path) -> None:
    train(tmp_path)
    found = differences("mini", "table2", tmp_path)
    assert set(found) == {KEY, "Ours beside base+DFE+mixup", "Ours beside base+DFE+mixup+CR*"}
    along = found[KEY]
    assert list(along["step"]) == [20 * part for part in range(1, WINDOWS + 1)] and set(along["seeds"]) == {3}
    # values -2, -4, -6: mean -4, standard deviation 2, t of two degrees of freedom 4.302653
    assert along["difference"].to_numpy() == pytest.approx(-4, abs=1e-5)
    assert along["margin"].to_numpy() == pytest.approx(4.302653 * 2 / 3**0.5, abs=1e-4)
    assert found["Ours beside base+DFE+mixup"]["difference"].iloc[0] == pytest.approx(4, abs=1e-5)
    drawn = figure(found)
    assert sum(axes.get_visible() for axes in drawn.axes) == 3


def test_only_runs_on_the_same_batches_are_compared(tmp_path: Path) -> None:
    train(tmp_path, batch=4)
    assert set(differences("mini", "table2", tmp_path)) == {KEY}


def test_what_is_unfinished_or_has_no_l1_is_left_out(tmp_path: Path) -> None:
    train(tmp_path)
    for run in read_profile("mini", tmp_path).runs.values():
        path = Places(run, tmp_path).checkpoint / "log.csv"
        if run.name == "ours":
            path.write_text(path.read_text().replace("l1", "l2"))
        elif run.name == "star" and run.seed == 2:
            path.write_text("".join(path.read_text().splitlines(keepends=True)[:50]))
    found = differences("mini", "table2", tmp_path)
    assert set(found) == {KEY} and set(found[KEY]["seeds"]) == {2}


def test_a_row_of_which_a_seed_collapsed_is_left_out(tmp_path: Path) -> None:
    train(tmp_path)
    run = read_profile("mini", tmp_path).runs["star-seed1"]
    write_records(Places(run, tmp_path).records, [
        Record(profile="mini", experiment="star", system="aecrnet", rows=run.rows, dataset="haze-homogeneous", seed=1,
               metric="psnr", unit="dB", value=None, status="collapsed", protocol="aecr", n=16)])
    assert set(differences("mini", "table2", tmp_path)) == {"Ours beside base+DFE+mixup"}


def test_one_seed_says_nothing(tmp_path: Path) -> None:
    train(tmp_path)
    for run in read_profile("mini", tmp_path).runs.values():
        if run.seed:
            (Places(run, tmp_path).checkpoint / "log.csv").unlink()
    assert differences("mini", "table2", tmp_path) == {}
