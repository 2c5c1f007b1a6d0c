"""Work side by side: order, isolation, what fails, what is killed, and that a run does not notice its neighbours."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from reprolib import runtime
from reprolib.errors import UserError
from reprolib.runs.concurrent import side_by_side
from reprolib.runs.places import Places
from reprolib.runs.run import DehazingRun
from reprolib.training.run import train, train_system


def describe(number: int) -> tuple[int, int, int]:
    time.sleep(0.05 * (3 - number))  # the first one ends last
    return number * number, os.getpid(), torch.get_num_threads()


def misbehave(number: int, how: str) -> int:
    if number == 1 and how == "person":
        raise UserError("no such thing", where="here", fix="look there")
    if number == 1 and how == "code":
        raise ValueError("a bug")
    if number == 1 and how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if number > 1:
        time.sleep(60)
    return number


def test_results_keep_the_order_and_each_has_one_thread_of_its_own() -> None:
    found = side_by_side(describe, [0, 1, 2], jobs=2, accelerator="cpu")
    assert [square for square, _, _ in found] == [0, 1, 4]
    assert len({process for _, process, _ in found} | {os.getpid()}) == 4
    assert {threads for _, _, threads in found} == {1}


def test_one_piece_of_work_runs_here() -> None:
    assert side_by_side(describe, [2])[0][1] == os.getpid()
    ((_, process, threads),) = side_by_side(describe, [2], accelerator="cpu", always=True)
    assert process != os.getpid() and threads == 1, "in a pipeline it must not matter how many runs there are"


@pytest.mark.parametrize(("how", "error", "words"), [
    ("person", UserError, r"no such thing \(here\): look there"),
    ("code", RuntimeError, "ValueError: a bug"),
    ("killed", UserError, "ended with code -9.*--jobs 1"),
])
def test_the_first_failure_stops_the_others(how: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):  # at once, where the others would sleep for a minute
        side_by_side(partial(misbehave, how=how), [0, 1, 2, 3], jobs=3, accelerator="cpu")


def runs(steps: int) -> list[DehazingRun]:
    return [DehazingRun(name=f"run{seed}", profile="test", system="aodnet", dataset="haze-homogeneous", seed=seed,
                        steps=steps, batch=2, crop=16, validate_every=steps, save_every=1, own=True)
            for seed in (1, 2, 3)]


@pytest.fixture
def place(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the data of the runs."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "haze-homogeneous").symlink_to(dataset)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def weights(run: DehazingRun, root: Path = Path()) -> bytes:
    return Places(run, root).weights.read_bytes()


def test_a_run_does_not_notice_its_neighbours(place: Path) -> None:
    train_system("aodnet", runs(3), "test", jobs=3, accelerator="cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train(runs(3)[1], root=place / "alone", accelerator="cpu")
    finally:
        torch.set_num_threads(threads)
    assert weights(runs(3)[1]) == weights(runs(3)[1], place / "alone")


def test_folders_of_runs_that_the_profile_no_longer_has_are_removed(place: Path) -> None:
    first, second, _ = runs(1)
    train_system("aodnet", [first, second], "test", jobs=1, accelerator="cpu")
    places = Places(first)
    kept = weights(first)
    (places.checkpoint / ".best.safetensors.abcd").write_bytes(b"left by a killed process")
    found = train_system("aodnet", [first], "test", accelerator="cpu")
    assert [trained.fresh for trained in found] == [False] and weights(first) == kept
    assert not Places(second).checkpoint.exists()
    assert {path.name for path in places.checkpoint.iterdir()} == {"best.safetensors", "last.safetensors", "log.csv"}


GROUP = """
from reprolib.training.run import train_system
from test_concurrent import runs
train_system("aodnet", runs(30), "test", jobs=1, accelerator="cpu")
"""


def test_a_killed_group_leaves_no_process_behind_and_trains_nothing_twice(place: Path, project: Path) -> None:
    first, second, third = runs(30)
    command = [sys.executable, "-c", GROUP]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(project), str(project / "tests" / "runs")))}
    group = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    state = Places(second).state
    while not state.exists():
        assert group.poll() is None, "the group ended before it could be killed"
        time.sleep(0.002)
    group.send_signal(signal.SIGKILL)
    group.wait()
    trained = Places(first).weights.stat().st_mtime_ns
    progress = -1
    while progress != (progress := state.stat().st_mtime_ns):
        time.sleep(0.6)  # the orphan notices at its next report that nobody listens
    assert not Places(second).weights.exists(), "the orphan went on to the end"
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert Places(first).weights.stat().st_mtime_ns == trained, "it was trained again"
    assert weights(second) and weights(third)


def test_the_collector_rests_only_while_libraries_load(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(runtime, "import_module", lambda name: seen.append(gc.isenabled()))
    before = gc.get_freeze_count()
    try:
        runtime.preload(["a", "b", "a"])
        assert seen == [False, False] and gc.isenabled() and gc.get_freeze_count() > before
    finally:
        gc.unfreeze()
    monkeypatch.undo()
    with pytest.raises(ModuleNotFoundError):
        runtime.preload(["reprolib.nothing"])
    assert gc.isenabled()
