"""Runs as jobs: stopped at their limit, put back into the queue, and bit-identical to runs that nobody stopped."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from reprolib.errors import UserError
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun, read_profile
from reprolib.training.run import train, train_system
from reprolib.training.submit import Job, Resources, array_of, submit

submitit = pytest.importorskip("submitit", reason="submitit sends jobs")

PROFILE = """
defaults: {dehazing: {steps: 20, batch: 2, crop: 16, save_every: 1, validate_every: 20}}
systems:
  aodnet: {runs: {first: {dataset: haze-homogeneous}, second: {dataset: haze-homogeneous, learning_rate: 0.001}}}
  dcp: {runs: {prior: {dataset: haze-homogeneous, steps: 0}}}
"""
RESOURCES = Resources(minutes=30, cpus=1, accelerator="cpu", warning=5)
FILES = ("last.safetensors", "log.csv")


@pytest.fixture
def runs(tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, project: Path) -> list[TaskRun]:
    """The runs of a profile in a project of its own."""
    (tmp_path / "profiles" / "test").mkdir(parents=True)
    (tmp_path / "profiles" / "test" / "params.yaml").write_text(PROFILE)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "haze-homogeneous").symlink_to(dataset)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(project))
    return list(read_profile("test").runs.values())


def longer(steps: int) -> list[TaskRun]:
    """The same runs, long enough to be stopped on the way."""
    path = Path("profiles", "test", "params.yaml")
    path.write_text(path.read_text().replace("20", str(steps)))
    return list(read_profile("test").runs.values())


def assert_as_if_never_stopped(runs: list[TaskRun], elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights and the log of each, and that the pipeline has nothing left to train."""
    trained = [(Places(run).checkpoint / name).read_bytes() for run in runs[:2] for name in FILES]
    assert not any(found.fresh for found in train_system("aodnet", runs[:2], "test", accelerator="cpu"))
    for name in ("profiles", "data"):
        (elsewhere / name).symlink_to(Path(name).resolve())
    monkeypatch.chdir(elsewhere)
    torch.set_num_threads(1)
    for run in runs[:2]:
        train(run, accelerator="cpu")
    assert trained == [(Places(run).checkpoint / name).read_bytes() for run in runs[:2] for name in FILES]


def test_local_jobs_train_what_the_pipeline_takes_over(runs: list[TaskRun], tmp_path_factory: pytest.TempPathFactory,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(submit(runs, "local", RESOURCES)) == 2  # a prior has nothing to train
    assert_as_if_never_stopped(runs, tmp_path_factory.mktemp("elsewhere"), monkeypatch)


STAGED = """
defaults: {dehazing: {steps: 2, batch: 2, crop: 16, validate_every: 2}}
systems:
  aodnet:
    runs:
      last: {dataset: haze-homogeneous, init: then}
      then: {dataset: haze-homogeneous, init: first}
      first: {dataset: haze-homogeneous}
      elsewhere: {weights_of: first, test_dataset: sots-indoor}
"""


@pytest.fixture
def staged(runs: list[TaskRun]) -> list[TaskRun]:
    """Runs that start from each other's weights, in the wrong order, and one that has nothing to train."""
    Path("profiles", "test", "params.yaml").write_text(STAGED)
    return list(read_profile("test").runs.values())


def test_local_jobs_wait_for_the_weights_that_they_start_from(staged: list[TaskRun]) -> None:
    jobs = submit(staged, "local", RESOURCES)
    assert [job.result() for job in jobs] == ["first", "then", "last"]


def test_slurm_is_told_which_jobs_wait(staged: list[TaskRun], monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str | None, list[str]]] = []

    class Executor:
        dependency: str | None = None

        def __init__(self, **_: object):
            pass

        def update_parameters(self, dependency: str | None = None, **_: object) -> None:
            self.dependency = dependency

        def map_array(self, _: Job, runs: list[TaskRun]) -> list[SimpleNamespace]:
            sent.append((self.dependency, [run.id for run in runs]))
            return [SimpleNamespace(job_id=f"{len(sent)}0_{number}") for number in range(len(runs))]

    monkeypatch.setattr(submitit, "SlurmExecutor", Executor)
    jobs = submit(staged, "slurm", RESOURCES)
    assert sent == [(None, ["first"]), ("afterok:10", ["then"]), ("afterok:20", ["last"])]
    assert [array_of(job) for job in jobs] == ["10", "20", "30"]


def test_a_local_job_that_fails_is_told(runs: list[TaskRun]) -> None:
    Path("data", "haze-homogeneous").unlink()
    with pytest.raises(UserError, match="'first' failed: .*haze-homogeneous"):
        submit(runs[:1], "local", RESOURCES)


def test_what_cannot_be_sent_is_said(runs: list[TaskRun]) -> None:
    with pytest.raises(UserError, match="nothing to train"):
        submit(runs[2:], "local", RESOURCES)
    with pytest.raises(UserError, match="this machine is one node"):
        submit(runs, "local", Resources(minutes=1, nodes=2))


def test_processes_of_several_nodes_meet_at_the_first(runs: list[TaskRun], monkeypatch: pytest.MonkeyPatch) -> None:
    class Here:
        node, job_id, hostnames = 1, "7_0", ("a", "b")

    monkeypatch.setattr(submitit, "JobEnvironment", Here)
    words = " ".join(Job(Resources(minutes=1, processes=8, nodes=2)).command(runs[0]))
    assert "--node-rank 1 --rdzv-backend c10d --rdzv-id 7_0 --rdzv-endpoint a:29500 --nproc-per-node 8" in words
    assert "-m reprolib train first --profile test --resume" in words


@pytest.fixture
def slurm(project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cluster of one node."""
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin")
    missing = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if shutil.which(name) is None]
    if missing or os.getuid():
        pytest.skip(f"a cluster of one node needs root and Debian's slurm-wlm and munge; missing: {', '.join(missing)}")
    folder, script = tmp_path_factory.mktemp("slurm"), project / "tests" / "cluster" / "slurm.sh"
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    try:
        subprocess.run([script, "start", folder], check=True, timeout=60)
        yield
    finally:
        subprocess.run([script, "stop", folder], check=True, timeout=60)


def test_an_array_of_slurm_jobs_is_requeued_and_bit_identical(
        slurm: None, runs: list[TaskRun], tmp_path_factory: pytest.TempPathFactory,
        monkeypatch: pytest.MonkeyPatch) -> None:
    """Each job gets the signal that Slurm sends before a time limit, as soon as it has saved a state."""
    runs = longer(1000)  # far from done when the signal comes, however busy the machine is
    jobs = submit(runs, "slurm", RESOURCES)
    assert len({job.job_id.partition("_")[0] for job in jobs}) == 1  # an array
    stopped: set[str] = set()
    until = time.monotonic() + 300
    while not all(job.paths.result_pickle.is_file() for job in jobs) and time.monotonic() < until:
        for run, job in zip(runs, jobs, strict=False):
            if job.job_id not in stopped and Places(run).state.is_file():
                subprocess.run(["scancel", "--signal=USR2", job.job_id], check=True)
                stopped.add(job.job_id)
        time.sleep(0.05)
    assert [job.result() for job in jobs] == ["first", "second"]
    assert all("Requeued job" in (job.stdout() or "") for job in jobs), [job.stdout() for job in jobs]
    assert_as_if_never_stopped(runs, tmp_path_factory.mktemp("elsewhere"), monkeypatch)


def test_slurm_starts_jobs_once_those_that_they_wait_for_have_ended(slurm: None, staged: list[TaskRun]) -> None:
    jobs = submit(staged, "slurm", RESOURCES)
    assert [job.result() for job in jobs] == ["first", "then", "last"]  # one that starts too early finds no weights
