"""A long run survives a refactoring only if its log and its records come out the same, digit by digit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from evaluation.conftest import dehazing_run

from reprolib.data.sample import choose_pictures
from reprolib.evaluation import dehazing
from reprolib.evaluation.record import read_file
from reprolib.evaluation.run import measure_run
from reprolib.evaluation.verify import compare, verify_run
from reprolib.models.weights import read_header
from reprolib.runs.digests import measuring_digest
from reprolib.runs.places import Places
from reprolib.training import run as training
from reprolib.training.run import train

RUN = dehazing_run(steps=4, batch=2, crop=16, validate_every=4, save_every=4, learning_rate=1e-3)


@pytest.fixture
def measured(place: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A run that was trained and measured; its code has changed since."""
    train(RUN, accelerator="cpu")
    measure_run(RUN)
    monkeypatch.setattr(training, "training_digest", lambda run: "later")
    return Places(RUN)


def test_the_same_log_and_records_count_as_the_present_codes(measured: Places) -> None:
    before = read_file(measured.records)
    assert verify_run(RUN, accelerator="cpu").same
    after = read_file(measured.records)
    (entry,) = read_header(measured.weights).verified
    for old, new in zip(before, after, strict=True):
        assert new.verified == (entry,) and (entry["from"], entry["to"]) == (old.training_code, "later")
        assert (new.training_code, new.code_hash) == ("later", measuring_digest(RUN, "later"))
        assert replace(new, verified=(), training_code=old.training_code, code_hash=old.code_hash) == old


def test_another_record_stays_stale_and_nothing_is_written(measured: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = measured.records.read_bytes(), measured.weights.read_bytes()
    measure = dehazing.measure
    monkeypatch.setattr(dehazing, "measure", lambda *a, **k: {n: v + 1e-5 for n, v in measure(*a, **k).items()})
    found = verify_run(RUN, accelerator="cpu")
    assert not found.same and "psnr (aecr, checkpoint: last) is" in found.difference
    assert (measured.records.read_bytes(), measured.weights.read_bytes()) == kept


def test_some_pictures_are_held_against_what_is_recorded_of_each(
        measured: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {r.metric: r.value for r in read_file(measured.records)}
    assert verify_run(RUN, accelerator="cpu", pictures=1).same
    (entry,) = read_header(measured.weights).verified
    assert (entry["to"], entry["pictures"]) == ("later", 1)
    records = read_file(measured.records)
    assert {r.metric: r.value for r in records} == values and {r.training_code for r in records} == {"later"}

    monkeypatch.setattr(training, "training_digest", lambda run: "later still")
    first = choose_pictures(RUN.measured_on, 1).files[0][0]
    lines = measured.images.read_text().splitlines()
    assert any(line.startswith(f"{first},") for line in lines)
    measured.images.write_text("\n".join(line for line in lines if not line.startswith(f"{first},")))
    found = verify_run(RUN, accelerator="cpu", pictures=1)
    assert not found.same and f"psnr of {first} is" in found.difference
    assert {r.training_code for r in read_file(measured.records)} == {"later"}


def test_a_number_that_is_gone_or_new_is_a_difference(measured: Places) -> None:
    records = read_file(measured.records)
    assert compare(records, records) == ""
    assert "is None, recorded is" in compare(records, records[1:])
    assert "recorded is None" in compare(records[1:], records)
