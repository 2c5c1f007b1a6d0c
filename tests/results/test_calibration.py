"""Recording expected results: which runs are repeated with other seeds, and what stays as it was recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from reprolib.evaluation.record import Record, write_records
from reprolib.results import calibration, gate
from reprolib.runs.digests import measuring_digest
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun

PROFILE = """
systems:
  aodnet:
    steps: 9
    runs: {plain: {dataset: haze-homogeneous}, dense: {dataset: haze-dense}}
"""


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A project whose runs take no time: every value is the seed, and CIEDE2000 is measured on one dataset only."""
    done: list[str] = []

    def measure(run: TaskRun, root: Path) -> None:
        done.append(run.id)
        of = ("psnr", "ciede2000") if run.dataset == "haze-dense" else ("psnr",)
        write_records(Places(run, root).records, [Record(
            profile="mini", experiment=run.name, system=run.system, rows=(), dataset=run.dataset, metric=name, unit="",
            value=float(run.seed), protocol="aecr", n=1, seed=run.seed, steps=run.steps, fingerprint=run.fingerprint,
            code_hash=measuring_digest(run)) for name in of])

    def serial(work: Callable[[TaskRun], Any], items: Sequence[TaskRun], *_: Any, **__: Any) -> list[Any]:
        return [work(item) for item in items]

    (tmp_path / "profiles/mini").mkdir(parents=True)
    (tmp_path / "profiles/mini/params.yaml").write_text(PROFILE)
    monkeypatch.setattr(calibration, "train", lambda run, **_: None)
    monkeypatch.setattr(calibration, "measure_run", measure)
    monkeypatch.setattr(calibration, "side_by_side", serial)
    return done


def test_every_run_is_repeated_with_every_seed_once(measured: list[str], tmp_path: Path) -> None:
    calibration.calibrate("mini", 3, root=tmp_path)
    assert len(measured) == len(set(measured)) == 6
    expected = gate.read_expected("mini", tmp_path)
    assert {e["value"] for e in expected.values()} == {1.0} and {e["n_seeds"] for e in expected.values()} == {3}
    calibration.calibrate("mini", 3, root=tmp_path)
    assert len(measured) == 6, "nothing that was measured by the present code is repeated"


def test_adding_repeats_only_runs_with_numbers_that_are_not_recorded(measured: list[str], tmp_path: Path) -> None:
    calibration.calibrate("mini", 3, root=tmp_path)
    path = gate.expected_file("mini", tmp_path)
    recorded = json.loads(path.read_text())
    kept = {name: {**want, "value": 7.0} for name, want in recorded["results"].items() if "ciede2000" not in name}
    path.write_text(json.dumps({**recorded, "results": kept}))
    for run in (tmp_path / "runs/mini").glob("plain-*"):
        (run / "records.json").unlink()
    measured.clear()
    calibration.calibrate("mini", 3, root=tmp_path, add=True)
    found = gate.read_expected("mini", tmp_path)
    assert not measured and {name for name in found if name not in kept} == {"dense/haze-dense/aecr/ciede2000"}
    assert all(found[name] == kept[name] for name in kept), "what is recorded stays"
