"""Concurrent runs: order, isolation, what fails, what is killed, and that a run does not notice its neighbours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from reprolib.errors import UserError
from reprolib.runs import concurrent
from reprolib.runs.concurrent import side_by_side
from reprolib.runs.places import Places
from reprolib.runs.run import DehazingRun
from reprolib.training.run import train


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
    return [DehazingRun(name=f"run{seed}", profile="test", system="aecrnet", dataset="haze-homogeneous", seed=seed,
                        network={"width": 8, "blocks": 1}, steps=steps, batch=2, crop=16, validate_every=steps,
                        save_every=1) for seed in (1, 2, 3)]


def test_a_run_does_not_notice_its_neighbours(dataset: Path, tmp_path: Path) -> None:
    together, alone = tmp_path / "together", tmp_path / "alone"
    work = partial(train, data_root=dataset, root=together, accelerator="cpu")
    side_by_side(work, runs(3), jobs=3, accelerator="cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train(runs(3)[1], data_root=dataset, root=alone, accelerator="cpu")
    finally:
        torch.set_num_threads(threads)
    one, other = (Places(runs(3)[1], root).weights.read_bytes() for root in (together, alone))
    assert one == other


@pytest.mark.parametrize("where", ["torchrun", "gpu"])
def test_where_only_one_can_run_work_is_done_here_and_several_jobs_are_refused(
        where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrent, "_on_gpu", lambda accelerator: where == "gpu")
    monkeypatch.setattr(concurrent, "_shared", lambda: where == "torchrun")
    assert {process for _, process, _ in side_by_side(describe, [1, 2])} == {os.getpid()}
    with pytest.raises(UserError, match="one after another.*--jobs 2.*leave --jobs out"):
        side_by_side(describe, [1, 2], jobs=2)


GROUP = """
import sys
from functools import partial
from pathlib import Path
from reprolib.runs.concurrent import side_by_side
from reprolib.training.run import train
from runs.test_concurrent import runs
work = partial(train, resume=True, again=False, data_root=Path(sys.argv[1]), accelerator="cpu")
side_by_side(work, runs(30), jobs=1, accelerator="cpu")
"""


def test_a_killed_group_leaves_no_process_behind_and_trains_nothing_twice(dataset: Path, tmp_path: Path,
                                                                          project: Path) -> None:
    first, second, third = (Places(run, tmp_path) for run in runs(30))
    command = [sys.executable, "-c", GROUP, str(dataset)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(project), str(project / "tests")))}
    group = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    while not second.state.exists():
        assert group.poll() is None, "the group ended before it could be killed"
        time.sleep(0.002)
    group.send_signal(signal.SIGKILL)
    group.wait()
    done = [(first.checkpoint / name).stat().st_mtime_ns for name in ("log.csv", "last.safetensors")]
    progress = -1
    while progress != (progress := second.state.stat().st_mtime_ns):
        time.sleep(0.6)  # the orphan notices at its next report that nobody listens
    assert not second.weights.exists(), "the orphan went on to the end"
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    now = [(first.checkpoint / name).stat().st_mtime_ns for name in ("log.csv", "last.safetensors")]
    assert now == done, "it was trained again"
    assert second.weights.is_file() and third.weights.is_file()
