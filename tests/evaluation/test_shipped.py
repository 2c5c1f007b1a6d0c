"""What comes with the repository agrees: DVC's locks, the remote's files, the records; and a network measured again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from reprolib import models
from reprolib.data.prepare import prepare
from reprolib.evaluation.record import read_file
from reprolib.evaluation.run import measure_run
from reprolib.evaluation.trained import RELEASED, weights_of
from reprolib.files import read_yaml
from reprolib.models.weights import read_header
from reprolib.runs.places import Places, profile_folder
from reprolib.runs.profile import find, profiles, read_profile
from reprolib.runs.run import RUNS
from reprolib.training.checkpoint import run_of

PROJECT = Path(__file__).parents[2]


def _shipped() -> Iterator[tuple[str, str, str]]:
    """Profile, system and the MD5 of the list of files, of what the remote holds."""
    for profile in profiles(PROJECT):
        lock = profile_folder(profile, PROJECT) / "dvc.lock"
        for stage, content in (read_yaml(lock)["stages"] if lock.is_file() else {}).items():
            for out in content.get("outs", ()) if stage.startswith("train@") else ():
                if _stored(out["md5"]).is_file():
                    yield profile, stage.removeprefix("train@"), out["md5"]


def _stored(md5: str) -> Path:
    return PROJECT / RELEASED / md5[:2] / md5[2:]


SHIPPED = list(_shipped())


@pytest.mark.parametrize(("profile", "system", "md5"), SHIPPED)
def test_lock_remote_and_records_agree(profile: str, system: str, md5: str) -> None:
    """Each file has its MD5; each checkpoint is of the run that the profile describes, and each record of it."""
    listing = json.loads(_stored(md5).read_text())
    for entry in listing:
        assert hashlib.md5(_stored(entry["md5"]).read_bytes()).hexdigest() == entry["md5"], entry["relpath"]
    runs = read_profile(profile, PROJECT).of_system(system)
    assert {entry["relpath"].split("/")[0] for entry in listing} == {run.trained_as for run in runs}
    for run in runs:
        path = weights_of(run, PROJECT)
        assert path is not None
        header = read_header(path, run.system)
        made_by = run_of(header, RUNS[models.get(run.system).task])
        assert made_by is not None and made_by.fingerprint == run.fingerprint and header.step == run.steps
        records = read_file(Places(run, PROJECT).records)
        assert records
        for record in records:
            assert (record.fingerprint, record.training_code) == (run.fingerprint, header.code), record.metric
            assert dict(record.data) == dict(header.data) and record.steps == header.step


def test_the_dehazer_that_ships_has_its_recorded_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the embedded street photos; other processors round otherwise."""
    run = find("desk", "aecrnet-homogeneous", root=PROJECT)
    recorded = {r.metric: r for r in read_file(Places(run, PROJECT).records)}
    weights = weights_of(run, PROJECT)
    assert weights is not None
    monkeypatch.chdir(tmp_path)
    prepare(run.measured_on)
    place = Places(run).weights
    place.parent.mkdir(parents=True)
    place.symlink_to(weights)
    found = {r.metric: r for r in measure_run(run)}
    assert found.keys() == recorded.keys()
    for name, record in found.items():
        was = recorded[name]
        assert (record.n, record.data_hash) == (was.n, was.data_hash)
        assert record.value == pytest.approx(was.value, rel=1e-3) and record.value > record.input_value
