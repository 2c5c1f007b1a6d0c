"""The loop: resuming after SIGKILL is bit-identical, bad losses stop it, states of other runs are refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file

from reprolib.errors import UserError
from reprolib.runs.run import Experiment, Schedule
from reprolib.training import dehazing, run
from reprolib.training.loop import learning_rate_factor

SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
from reprolib.runs.run import Experiment
from reprolib.training.run import train
e = Experiment(name="tiny", profile="test", system="aecrnet", dataset="haze-homogeneous", network={"width": 8},
               steps=int(sys.argv[2]), batch=2, crop=16, learning_rate=1e-3, validate_every=20, save_every=1, seed=3)
train(e, resume=True, data_root=Path(sys.argv[1]), accelerator="cpu")
"""


def experiment(**changes: object) -> Experiment:
    settings = {"name": "tiny", "profile": "test", "system": "aecrnet", "dataset": "haze-homogeneous",
                "network": {"width": 8}, "steps": 6, "batch": 2, "crop": 16, "learning_rate": 1e-3,
                "validate_every": 3, "save_every": 2}
    return Experiment(**{**settings, **changes})  # type: ignore[arg-type]


def test_killed_and_resumed_is_bit_identical(dataset: Path, tmp_path: Path, project: Path) -> None:
    """SIGKILL at an arbitrary moment, several times, against a run that is left alone."""
    steps = "40"
    environment = {**os.environ, "PYTHONPATH": str(project)}
    command = [sys.executable, "-c", SCRIPT, str(dataset), steps]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    subprocess.run(command, cwd=whole, env=environment, check=True, capture_output=True)
    state, kills = broken / "runs" / "test" / "tiny-seed3.pt", 0
    while kills < 2:
        before = state.stat().st_mtime_ns if state.exists() else 0
        running = subprocess.Popen(command, cwd=broken, env=environment, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        while running.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert state.exists(), "the run ended before it could be killed"
        kills += 1
    subprocess.run(command, cwd=broken, env=environment, check=True, capture_output=True)
    for name in ("best.safetensors", "last.safetensors", "log.csv"):
        kept = Path("checkpoints") / "test" / "tiny-seed3" / name
        assert (whole / kept).read_bytes() == (broken / kept).read_bytes(), name
    assert not state.exists()


@pytest.mark.parametrize("stop", [1, 4])
def test_a_run_with_a_teacher_resumes_bit_identically(stop: int, dataset: Path, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped while the teacher learns (its third of the steps), or after it."""
    loss = {"l1": 1.0, "distillation": 1.0}
    e = experiment(system="kddn", network={"width": 4, "blocks": 3}, loss=loss, save_every=1)
    step, whole, broken = dehazing.DehazingTask.step, tmp_path / "whole", tmp_path / "broken"
    run.train(e, data_root=dataset, root=whole, accelerator="cpu")

    def stops(self, fabric, batch, number, generator):  # type: ignore[no-untyped-def]
        if number == stop:
            raise KeyboardInterrupt
        return step(self, fabric, batch, number, generator)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(dehazing.DehazingTask, "step", stops)
        run.train(e, data_root=dataset, root=broken, accelerator="cpu")
    assert run.state_file(e, broken).is_file()
    run.train(e, resume=True, data_root=dataset, root=broken, accelerator="cpu")
    for name in ("best.safetensors", "last.safetensors", "log.csv"):
        assert (e.folder(whole) / name).read_bytes() == (e.folder(broken) / name).read_bytes(), name


def test_different_seeds_differ(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weights = []
    for seed in (0, 0, 1):
        e = experiment(seed=seed)
        run.train(e, data_root=dataset, accelerator="cpu")
        weights.append(load_file(e.folder() / "last.safetensors")["down1.1.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_non_finite_loss_stops_and_names_the_last_good_state(dataset: Path, tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    step, calls = dehazing.DehazingTask.step, []

    def broken(self, *arguments):  # type: ignore[no-untyped-def]
        terms = step(self, *arguments)
        calls.append(1)
        return {**terms, "loss": terms["loss"] * float("nan")} if len(calls) == 4 else terms

    monkeypatch.setattr(dehazing.DehazingTask, "step", broken)
    with pytest.raises(UserError, match=r"not finite at step 4: .*l1.*last good state is runs/test/tiny.pt"):
        run.train(experiment(), data_root=dataset, accelerator="cpu")
    assert (tmp_path / "runs/test/tiny.pt").is_file()


def test_state_of_another_run_is_put_aside(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    e = experiment()
    fabric = Fabric(accelerator="cpu", devices=1)
    task = dehazing.DehazingTask(e, fabric, dehazing.open_split(e.dataset, "val", dataset))
    from reprolib.training.loop import Progressed, _save

    _save(run.state_file(e), task, Progressed(step=2), e, "other code")
    at = run.train(e, resume=True, data_root=dataset, accelerator="cpu")
    assert at.log[0]["step"] == 1, "it must start anew"
    assert run.state_file(e).with_suffix(".old").is_file()
    run.state_file(e).write_bytes(b"half a file")
    with pytest.raises(UserError, match="not a training state"):
        run.train(e, resume=True, data_root=dataset, accelerator="cpu")


def test_cosine_schedule() -> None:
    cosine = Schedule("cosine")
    assert learning_rate_factor(cosine, 0, 100) == 1.0
    assert learning_rate_factor(cosine, 50, 100) == pytest.approx(0.5)
    assert learning_rate_factor(cosine, 100, 100) == pytest.approx(0.0, abs=1e-15)


def test_a_prior_cannot_be_trained(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="nothing to train"):
        run.train(experiment(system="dcp", network={}), data_root=dataset, accelerator="cpu")
