"""What the files of a run say of it."""

from __future__ import annotations

import json
import math
import socket
from pathlib import Path

import pytest
import torch

from reprolib.models.weights import Header, save_weights
from reprolib.runs.digests import training_digest
from reprolib.runs.places import Places
from reprolib.runs.run import DehazingRun
from reprolib.training.checkpoint import write_state
from reprolib.training.lock import alone
from reprolib.training.status import status_of

RUN = DehazingRun(name="aodnet-dense", profile="mini", system="aodnet", dataset="haze-dense", own=True, steps=5)


def keep(root: Path, run: DehazingRun = RUN, code: str | None = None, step: int = 5) -> None:
    header = Header(run.system, {}, run.settings, step, training_digest(RUN) if code is None else code)
    save_weights({"w": torch.zeros(1)}, Places(RUN, root).weights, header=header)


def unfinished(root: Path, code: str | None = None, run: DehazingRun = RUN, step: int = 2) -> None:
    write_state(Places(RUN, root).state, {
        "fingerprint": run.fingerprint, "run": run.settings, "code": training_digest(RUN) if code is None else code,
        "progress": {"step": step, "seconds": 10.0}})


def record(root: Path, **fields: str) -> None:
    path = Places(RUN, root).records
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {"fingerprint": RUN.fingerprint, "training_code": training_digest(RUN), **fields}
    path.write_text(json.dumps([whole]))


def test_a_run_from_nothing_to_its_records(tmp_path: Path) -> None:
    assert status_of(RUN, tmp_path).state == "not begun"
    unfinished(tmp_path)
    half = status_of(RUN, tmp_path)
    assert (half.state, half.step, half.seconds_left) == ("unfinished", 2, 15.0), "2 of 5 steps in 10 s"
    keep(tmp_path)
    now = status_of(RUN, tmp_path)
    assert (now.state, now.step, now.records, now.why) == ("trained", 5, "none", "")
    record(tmp_path)
    assert status_of(RUN, tmp_path).records == "measured"


@pytest.mark.parametrize(("run", "code", "why"), [
    (RUN.changed(own=True, crop=17), None, "other settings"), (RUN, "0" * 16, "other code")])
def test_what_the_present_run_would_not_make_is_stale(tmp_path: Path, run: DehazingRun, code: str | None,
                                                      why: str) -> None:
    keep(tmp_path, run, code)
    now = status_of(RUN, tmp_path)
    assert (now.state, now.why) == ("stale", why)


@pytest.mark.parametrize(("run", "code", "why"), [
    (RUN.changed(own=True, crop=17), None, "an unfinished state of other settings"),
    (RUN, "0" * 16, "an unfinished state of other code")])
def test_a_state_that_is_not_gone_on_from_is_stale(tmp_path: Path, run: DehazingRun, code: str | None,
                                                   why: str) -> None:
    unfinished(tmp_path, code, run)
    assert (status_of(RUN, tmp_path).state, status_of(RUN, tmp_path).why) == ("stale", why)
    Places(RUN, tmp_path).state.write_bytes(b"cut")
    assert status_of(RUN, tmp_path).why == "unreadable state"


def test_trained_anew_over_stale_weights(tmp_path: Path) -> None:
    keep(tmp_path, code="0" * 16)
    unfinished(tmp_path, step=0)
    now = status_of(RUN, tmp_path)
    assert (now.state, now.step, now.why) == ("unfinished", 0, "other code") and math.isnan(now.seconds_left)


def test_who_is_at_it(tmp_path: Path) -> None:
    work = Places(RUN, tmp_path).work
    with alone(work, RUN.id):
        assert status_of(RUN, tmp_path).state == "in training"
        unfinished(tmp_path)
        assert (status_of(RUN, tmp_path).state, status_of(RUN, tmp_path).step) == ("in training", 2)
    (work / "lock.holder").write_text(f"{2**22 + 1} {socket.gethostname()}")  # no process has this number: killed
    assert status_of(RUN, tmp_path).state == "unfinished"


def test_records_of_other_weights_are_stale(tmp_path: Path) -> None:
    keep(tmp_path)
    for field in ("fingerprint", "training_code"):
        record(tmp_path, **{field: "another"})
        assert status_of(RUN, tmp_path).records == "stale"
    Places(RUN, tmp_path).records.write_text("no JSON")
    assert status_of(RUN, tmp_path).records == "stale"


def test_damaged_weights_are_said(tmp_path: Path) -> None:
    keep(tmp_path)
    weights = Places(RUN, tmp_path).weights
    weights.write_bytes(weights.read_bytes()[:20])
    assert status_of(RUN, tmp_path).state == "stale" and status_of(RUN, tmp_path).why


def test_a_prior_has_nothing_to_train(tmp_path: Path) -> None:
    prior = RUN.changed(system="dcp", own=True)
    assert status_of(prior, tmp_path).state == "nothing to train"
