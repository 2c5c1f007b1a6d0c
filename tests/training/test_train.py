"""Training a run: resumed bit for bit, bound to what it read, never lost, alone in its folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file

from reprolib.data.images import write_png
from reprolib.errors import UserError
from reprolib.models.objective import Contrast
from reprolib.models.weights import read_header
from reprolib.runs.places import Places
from reprolib.runs.run import DehazingRun, TranslationRun
from reprolib.training import run as training
from reprolib.training.checkpoint import difference, read_state
from reprolib.training.dehazing.task import DehazingTask
from reprolib.training.run import Trained, originate, train, train_system

KEPT = ("best.safetensors", "last.safetensors", "log.csv")

SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
from test_train import tiny
from reprolib.training.run import train
train(tiny(steps=40, validate_every=20, save_every=1, seed=3), resume=True, data_root=Path(sys.argv[1]),
      accelerator="cpu", workers=int(sys.argv[2]))
"""


def tiny(**changes: Any) -> DehazingRun:
    """AOD-Net is as small as it gets."""
    settings: dict[str, Any] = {"name": "tiny", "profile": "test", "system": "aodnet", "dataset": "haze-homogeneous",
                                "steps": 6, "batch": 2, "crop": 16, "learning_rate": 1e-3, "validate_every": 3,
                                "save_every": 2}
    return DehazingRun(**{**settings, **changes})


def go(run: DehazingRun | TranslationRun, data: Path, root: Path, **options: Any) -> Trained:
    return train(run, data_root=data, root=root, accelerator="cpu", **options)


def same(one: Trained, other: Trained) -> bool:
    return all((one.folder / name).read_bytes() == (other.folder / name).read_bytes() for name in KEPT)


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Any]:
    """Interrupt the next training before a step, counted from 0."""
    step = DehazingTask.step

    def at(number: int) -> Any:
        def stopped(self: DehazingTask, fabric: Any, batch: Any, now: int, generator: Any) -> Any:
            if now == number:
                monkeypatch.setattr(DehazingTask, "step", step)
                raise KeyboardInterrupt
            return step(self, fabric, batch, now, generator)

        monkeypatch.setattr(DehazingTask, "step", stopped)
        return pytest.raises(KeyboardInterrupt)

    return at


@pytest.fixture
def other(dataset: Path, tmp_path: Path) -> Path:
    """The same pictures, but for one."""
    place = tmp_path / "other"
    shutil.copytree(dataset, place)
    write_png(place / "train" / "clear" / "0.png", np.zeros((32, 32, 3), np.uint8))
    return place


@pytest.mark.parametrize("workers", [0, 1])
def test_killed_and_resumed_is_bit_identical(workers: int, dataset: Path, tmp_path: Path, project: Path) -> None:
    """SIGKILL at an arbitrary moment, twice, against a run of this process that is left alone."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(project), str(project / "tests" / "training")))}
    command = [sys.executable, "-c", SCRIPT, str(dataset), str(workers)]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    broken.mkdir()
    run = tiny(steps=40, validate_every=20, save_every=1, seed=3)
    places = Places(run)
    go(run, dataset, whole)  # in this process, and without a worker
    state = broken / places.state
    for _ in range(2):
        before = state.stat().st_mtime_ns if state.exists() else 0
        running = subprocess.Popen(command, cwd=broken, env=environment, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        while running.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert state.exists(), "the run ended before it could be killed"
    subprocess.run(command, cwd=broken, env=environment, check=True, capture_output=True)
    for name in KEPT:
        assert (whole / places.checkpoint / name).read_bytes() == (broken / places.checkpoint / name).read_bytes(), name
    assert not list((broken / places.checkpoint).glob(".*")), "nothing half-written stays"


@pytest.mark.parametrize("stop", [1, 4])
def test_a_run_with_a_teacher_resumes_bit_identically(stop: int, dataset: Path, tmp_path: Path,
                                                      stops: Callable[[int], Any]) -> None:
    """Stopped while the teacher learns (its third of the steps), or after it."""
    run = tiny(system="kddn", network={"width": 4, "blocks": 3}, loss={"l1": 1.0, "distillation": 1.0}, save_every=1)
    with stops(stop):
        go(run, dataset, tmp_path / "broken")
    assert same(go(run, dataset, tmp_path / "broken", resume=True), go(run, dataset, tmp_path / "whole"))


def test_kind_34_weights_say_which_run_code_and_data_made_them(dataset: Path, tmp_path: Path) -> None:
    trained = go(tiny(), dataset, tmp_path)
    last, best = (read_header(trained.folder / name) for name in ("last.safetensors", "best.safetensors"))
    assert DehazingRun.of(last.run) == tiny() and (last.step, best.step) == (6, trained.best_step)
    assert set(last.data) == {"haze-homogeneous/train", "haze-homogeneous/val"} and last.code == best.code != ""


def test_a_finished_run_stays_as_it_is(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if only its checkpoint or only its state is left."""
    first = go(tiny(), dataset, tmp_path)
    files = {name: (first.folder / name).read_bytes() for name in KEPT}
    monkeypatch.setattr(DehazingTask, "step", None)  # a step would fail
    assert not go(tiny(), dataset, tmp_path, resume=True).fresh
    shutil.rmtree(first.folder)
    again = go(tiny(), dataset, tmp_path, resume=True)
    assert {name: (again.folder / name).read_bytes() for name in KEPT} == files
    Places(tiny(), tmp_path).state.unlink()
    assert not go(tiny(), dataset, tmp_path, again=False).fresh


def test_kind_34_other_pictures_are_never_continued(dataset: Path, other: Path, tmp_path: Path,
                                                    stops: Callable[[int], Any],
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    run, root = tiny(save_every=1), tmp_path / "runs"
    with stops(4):
        go(run, dataset, root)
    elsewhere = go(run, other, root, resume=True)
    assert "haze-homogeneous/train (1 file changed (clear/0.png))" in capsys.readouterr().err
    assert same(elsewhere, go(run, other, tmp_path / "alone"))
    steps = []
    step = DehazingTask.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DehazingTask, "step", lambda self, *rest: (steps.append(rest[2]), step(self, *rest))[1])
        back = go(run, dataset, root, resume=True)
    assert steps == [4, 5], "its own state was put aside, and is found again"
    assert same(back, go(run, dataset, tmp_path / "whole"))


def test_other_code_is_never_continued(dataset: Path, tmp_path: Path, stops: Callable[[int], Any],
                                       monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with stops(4):
        go(tiny(), dataset, tmp_path)
    monkeypatch.setattr(training, "training_digest", lambda run: "later")
    assert go(tiny(), dataset, tmp_path, resume=True).fresh
    assert "other code (" in capsys.readouterr().err
    assert len(list(Places(tiny(), tmp_path).work.glob("state*.pt"))) == 2


def test_kind_8_a_pipelines_run_with_other_settings_keeps_the_old_state(dataset: Path, tmp_path: Path,
                                                                 stops: Callable[[int], Any],
                                                                 monkeypatch: pytest.MonkeyPatch,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "haze-homogeneous").symlink_to(dataset)
    run = tiny(own=True)
    with stops(4):
        train(run, accelerator="cpu")
    later = run.changed(own=True, learning_rate=2e-3)
    assert train(later, resume=True, accelerator="cpu").fresh
    assert "other settings (learning_rate 0.001, now 0.002)" in capsys.readouterr().err
    assert read_state(Places(run).work / f"state-{run.fingerprint}.pt")["progress"]["step"] == 4


def test_kind_34_the_pipelines_folder_is_for_its_own_pictures(dataset: Path, other: Path, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "haze-homogeneous").symlink_to(dataset)
    run = tiny(own=True, steps=1)
    assert train(run, data_root=dataset, accelerator="cpu").folder == Places(run).checkpoint
    assert train(run, data_root=other, accelerator="cpu").folder == Places(run.changed()).checkpoint


def test_kind_8_a_forgotten_resume_loses_nothing(dataset: Path, tmp_path: Path, stops: Callable[[int], Any],
                                          capsys: pytest.CaptureFixture[str]) -> None:
    with stops(5):
        go(tiny(), dataset, tmp_path)
    with stops(1):
        go(tiny(), dataset, tmp_path)
    assert "--resume continues it" in capsys.readouterr().err
    kept = Places(tiny(), tmp_path).work / f"state-{tiny().fingerprint}.pt"
    assert read_state(kept)["progress"]["step"] == 4
    assert same(go(tiny(), dataset, tmp_path, resume=True), go(tiny(), dataset, tmp_path / "whole"))


def test_kind_22_best_weights_are_part_of_the_state(dataset: Path, tmp_path: Path, stops: Callable[[int], Any],
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """The first validation is the best; between kill and resume the checkpoint folder becomes another run's."""
    scores = {3: 2.0, 6: 1.0}

    def validate(self: DehazingTask, pictures: int | None = None) -> float:
        return scores[int(self.optimisers["network"].state_dict()["state"][0]["step"])] if pictures is None else 0.0

    monkeypatch.setattr(DehazingTask, "validate", validate)
    with stops(5):
        go(tiny(), dataset, tmp_path / "broken")
    folder = Places(tiny(), tmp_path / "broken").checkpoint
    folder.mkdir(parents=True)
    save_file({"foreign": torch.zeros(1)}, folder / "best.safetensors")
    resumed = go(tiny(), dataset, tmp_path / "broken", resume=True)
    assert (resumed.best, resumed.best_step) == (2.0, 3)
    assert same(resumed, go(tiny(), dataset, tmp_path / "whole"))


def test_kind_9_a_state_is_saved_before_a_validation_that_fails(dataset: Path, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny(save_every=100)
    with monkeypatch.context() as patch, pytest.raises(UserError, match="no weights"):
        def fails(self: DehazingTask, pictures: int | None = None) -> float:
            if pictures is None:
                raise UserError("no weights")
            return 0.0

        patch.setattr(DehazingTask, "validate", fails)
        go(run, dataset, tmp_path / "broken")
    assert read_state(Places(run, tmp_path / "broken").state)["progress"]["step"] == 3
    assert same(go(run, dataset, tmp_path / "broken", resume=True), go(run, dataset, tmp_path / "whole"))


def test_kind_9_what_validation_lacks_is_told_before_the_first_step(dataset: Path, tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    (dataset / "val" / "clear" / "0.png").write_bytes(b"no picture")
    monkeypatch.setattr(DehazingTask, "step", None)  # a step would fail otherwise
    with pytest.raises(UserError, match="0.png"):
        go(tiny(), dataset, tmp_path)


def test_kind_8_more_steps_go_on_and_say_so(dataset: Path, tmp_path: Path, stops: Callable[[int], Any],
                                     capsys: pytest.CaptureFixture[str]) -> None:
    """From there with the schedule of the new total; the run is another one, and says what came before."""
    short, longer = tiny(schedule={"kind": "linear", "start": 0.5}), {"steps": 9}
    short = DehazingRun.of(short.settings)
    go(short, dataset, tmp_path)
    with stops(8):
        go(short.changed(**longer), dataset, tmp_path, resume=True)
    assert "goes on after 6 of 6 steps, from there with the schedule of 9" in capsys.readouterr().err
    trained = go(short.changed(**longer), dataset, tmp_path, resume=True)
    header = read_header(trained.folder / "last.safetensors")
    assert (trained.steps, header.run["extends"]) == (9, [[6, 6]])
    assert trained.run.fingerprint != short.changed(**longer).fingerprint
    rates = [float(row.split(",")[1]) for row in (trained.folder / "log.csv").read_text().splitlines()[1:]]
    assert rates[6:] == pytest.approx([1e-3 * (1 - step / 9) * 2 for step in (6, 7, 8)])
    assert not go(short.changed(**longer), dataset, tmp_path, resume=True).fresh
    assert go(short, dataset, tmp_path, resume=True).fresh is False, "the short one is as it was"


def test_kind_8_starting_from_given_weights_is_another_run(dataset: Path, tmp_path: Path) -> None:
    first = go(tiny(steps=3), dataset, tmp_path)
    weights = first.folder / "last.safetensors"
    second = go(tiny(steps=1, learning_rate=1e-12), dataset, tmp_path, init=weights)
    for name, tensor in load_file(second.folder / "last.safetensors").items():
        torch.testing.assert_close(tensor, load_file(weights)[name])
    header = read_header(second.folder / "last.safetensors")
    assert header.run["init"] == header.data["init"] != ""
    assert second.folder != Places(tiny(steps=1, learning_rate=1e-12), tmp_path).checkpoint
    with pytest.raises(UserError, match="weights of aodnet, not of ffanet"):
        go(tiny(system="ffanet", network={"width": 8, "blocks": 1}), dataset, tmp_path, init=weights)


def test_kind_39_the_second_process_is_told_who_trains(dataset: Path, tmp_path: Path) -> None:
    work = Places(tiny(), tmp_path).work
    work.mkdir(parents=True)
    (work / "lock.holder").write_text("1 elsewhere\n")
    with FileLock(work / "lock"), pytest.raises(UserError, match="process 1 on elsewhere is at work on 'tiny-"):
        go(tiny(), dataset, tmp_path)
    assert go(tiny(), dataset, tmp_path).fresh, "the file of a process that died holds nobody up"


def test_non_finite_loss_stops_and_names_the_last_good_state(dataset: Path, tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    step = DehazingTask.step

    def broken(self: DehazingTask, fabric: Any, batch: Any, number: int, generator: Any) -> dict[str, torch.Tensor]:
        terms = step(self, fabric, batch, number, generator)
        return {**terms, "loss": terms["loss"] * float("nan")} if number == 3 else terms

    monkeypatch.setattr(DehazingTask, "step", broken)
    with pytest.raises(UserError, match=r"not finite at step 4: .*l1.*last good state is .*state.pt"):
        go(tiny(), dataset, tmp_path)
    assert Places(tiny(), tmp_path).state.is_file()


def test_kind_27_nothing_to_train_and_no_steps_are_refused(dataset: Path, tmp_path: Path) -> None:
    for run in (tiny(system="dcp"), tiny(steps=0)):
        with pytest.raises(UserError, match="nothing to train"):
            go(run, dataset, tmp_path)
    assert not (tmp_path / "runs" / "test").exists()


def test_half_a_state_is_no_state(dataset: Path, tmp_path: Path) -> None:
    state = Places(tiny(), tmp_path).state
    state.parent.mkdir(parents=True)
    state.write_bytes(b"half a file")
    with pytest.raises(UserError, match="not a training state"):
        go(tiny(), dataset, tmp_path, resume=True)
    assert go(tiny(), dataset, tmp_path).fresh and (state.parent / "damaged.pt").read_bytes() == b"half a file"


def test_different_seeds_differ(dataset: Path, tmp_path: Path) -> None:
    weights = [(go(tiny(seed=seed), dataset, tmp_path / place).folder / "last.safetensors").read_bytes()
               for seed, place in ((0, "a"), (0, "b"), (1, "c"))]
    assert weights[0] == weights[1] != weights[2]


def test_kind_9_too_few_pictures_to_validate_on_are_said_and_trained_on(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """17 pictures leave one for validation, of which no distance between sets can be taken."""
    random = np.random.default_rng(0)
    for domain in ("trainA", "trainB"):
        for i in range(17):
            write_png(tmp_path / "set" / domain / f"{i}.png", random.integers(0, 255, (32, 32, 3), dtype=np.uint8))
    run = TranslationRun(name="tiny", profile="test", system="cyclegan", dataset="horse2zebra", steps=2, batch=1,
                         network={"width": 4, "blocks": 1}, crop=32, validate_every=1)
    trained = go(run, tmp_path / "set", tmp_path)
    assert "too few pictures to validate on (1 of A and 1 of B)" in capsys.readouterr().err
    assert trained.best_step == 2 and (trained.folder / "best.safetensors").is_file()


def test_folders_of_runs_that_the_profile_no_longer_has_are_removed(dataset: Path, tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "haze-homogeneous").symlink_to(dataset)
    first, second = (tiny(own=True, name=name) for name in ("first", "second"))
    train_system("aodnet", [first, second], "test", jobs=1, accelerator="cpu")
    places = Places(first)
    kept = places.weights.read_bytes()
    (places.checkpoint / ".best.safetensors.abcd").write_bytes(b"left by a killed process")
    (trained,) = train_system("aodnet", [first], "test", accelerator="cpu")
    assert not trained.fresh and places.weights.read_bytes() == kept
    assert not Places(second).checkpoint.exists()
    assert {path.name for path in places.checkpoint.iterdir()} == set(KEPT)


def test_kind_36_test_pictures_are_not_trained_on(dataset: Path, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    """A training with a test pair among its own is, in every bit of its weights, the one without that pair."""
    clean = tmp_path / "clean"
    shutil.copytree(dataset, clean)
    for folder, name in (("hazy", "2_1.png"), ("clear", "2.png")):
        (clean / "train" / folder / name).unlink()
        (dataset / "test" / folder).mkdir(parents=True)
        shutil.copy(dataset / "train" / folder / name, dataset / "test" / folder)
    capsys.readouterr()
    done, without = (go(tiny(), data, tmp_path / name) for name, data in (("leaky", dataset), ("clean", clean)))
    said = capsys.readouterr()
    assert "2 pictures are left out of training as copies of others: hazy/2_1.png is hazy/2_1.png (the" in " ".join(
        (said.out + said.err).split())
    both = [load_file(trained.folder / "last.safetensors") for trained in (done, without)]
    assert all(torch.equal(both[0][name], both[1][name]) for name in both[1])
    header, other = (read_header(t.folder / "last.safetensors", "aodnet") for t in (done, without))
    assert "left out" in header.data and "left out" not in other.data, "part of what it is bound to"
    assert not go(tiny(), dataset, tmp_path / "leaky", resume=True).fresh


def test_kind_34_another_extractor_is_another_origin(dataset: Path, tmp_path: Path) -> None:
    """VGG16's file is exchanged between kill and resume: what the state is bound to names it."""
    run = tiny(contrast=Contrast(features="vgg16"))
    path = tmp_path / "weights" / "vgg16.safetensors"
    path.parent.mkdir()
    found = []
    for content in (b"one file", b"another"):
        path.write_bytes(content)
        found.append(originate(run, tmp_path, dataset, None))
    old = {"run": found[0].run.settings, "code": found[0].code,
           "data": {name: dict(identity.files) for name, identity in found[0].data.items()}}
    assert difference(old, found[0]) is None
    assert "vgg16 (1 file changed (vgg16.safetensors))" in str(difference(old, found[1]))
