"""Two processes do what one does: the same curves from half of each batch, the same state, one set of files."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import parallel_runs
import pytest
import torch

from reprolib import distributed
from reprolib.data.images import write_png
from reprolib.data.paired import open_split
from reprolib.data.paired_batches import CropBatches
from reprolib.data.unpaired import open_domains
from reprolib.data.unpaired_batches import UnpairedBatches
from reprolib.runs.profile import find
from reprolib.training.run import train

SAME = ("cr-batch", "cr-image", "cr-own", "transmission", "cut-bank", "cut-minibatch", "cyclegan", "distancegan",
        "selfdistance", "munit")
REFUSED = {"cr-too-local": "rate 1:3 needs 3 pictures, a batch has 2", "drit": "not in 2 processes",
           "odd": "a batch of 3 cannot be shared evenly by 2 processes"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of unlike sizes, and two domains."""
    root, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)

    def picture(height: int) -> np.ndarray:
        return random.integers(0, 255, (height, 66, 3), dtype=np.uint8)

    for split, count in (("train", 8), ("val", 1)):
        for i in range(count):
            clear = picture(32 + 3 * i)
            write_png(root / "haze-homogeneous" / split / "clear" / f"{i}.png", clear)
            write_png(root / "haze-homogeneous" / split / "hazy" / f"{i}_1.png", clear // 2 + 100)
    for domain in ("trainA", "trainB", "valA", "valB"):
        for i in range(17 if domain.startswith("train") else 1):
            write_png(root / "horse2zebra" / domain / f"{i}.png", picture(66))
    return root


def torchrun(project: Path, cwd: Path, *words: object) -> subprocess.Popen[str]:
    """A script or module in two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, *map(str, words)], cwd=cwd, env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def curve(out: Path, name: str) -> list[dict[str, float]]:
    (path,) = out.glob(f"runs/test/{name}-????????/checkpoint/log.csv") if not (
        out / "checkpoints").is_dir() else out.glob(f"checkpoints/test/*/{name}/log.csv")
    with path.open() as stream:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(stream)]


def assert_same_curve(one: Path, name: str, other: Path, its_name: str) -> None:
    rows, wanted = curve(other, its_name), curve(one, name)
    assert [row.keys() for row in rows] == [row.keys() for row in wanted] and len(rows) >= 3
    for row, truth in zip(rows, wanted, strict=True):
        assert row == pytest.approx(truth, rel=1e-5, abs=1e-7), name


@pytest.fixture(scope="module")
def runs(project: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of the runs in one process and in two; the collectives are checked on the way."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    running = torchrun(project, two, project / "tests" / "training" / "parallel_runs.py", data, two, *SAME, "stopped",
                       "cr-local", *REFUSED)
    with pytest.MonkeyPatch.context() as patch:
        for place, name, value in parallel_runs.STAND_INS:
            patch.setattr(place, name, value)
        for name in SAME:
            parallel_runs.train_one(data, one, name)
        said = running.communicate(timeout=120)
        assert running.returncode == 0, said[1]
        parallel_runs.train_one(data, two, "stopped")  # goes on in this one process
    return one, two


@pytest.mark.parametrize("name", SAME)
def test_same_curve_as_one_process(runs: tuple[Path, Path], name: str) -> None:
    assert_same_curve(runs[0], name, runs[1], name)


def test_local_samples_are_others(runs: tuple[Path, Path]) -> None:
    assert len(curve(runs[1], "cr-local")) == 5


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_differ_is_refused(runs: tuple[Path, Path], name: str) -> None:
    for rank in (0, 1):
        assert REFUSED[name] in (runs[1] / f"{name}-{rank}.txt").read_text()


def test_begun_in_two_processes_goes_on_in_one(runs: tuple[Path, Path]) -> None:
    assert (runs[1] / "stopped-1.txt").read_text().startswith("Stop")
    assert_same_curve(runs[0], "cyclegan", runs[1], "stopped")


PROFILE = """
systems:
  aecrnet:
    network: {width: 8}
    contrast: null
    runs: {tiny: {dataset: haze-homogeneous, steps: 14, batch: 4, crop: 16, save_every: 1}}
"""


def test_command_line_and_a_killed_process(project: Path, data: Path, tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that is left does not wait for ever, and what both had saved goes on in one."""
    for place in (tmp_path, tmp_path / "whole"):
        (place / "profiles" / "test").mkdir(parents=True)
        (place / "profiles" / "test" / "params.yaml").write_text(PROFILE)
        (place / "data").mkdir()
        (place / "data" / "haze-homogeneous").symlink_to(data / "haze-homogeneous")
    state = tmp_path / "runs" / "test" / "tiny" / "state.pt"
    running = torchrun(project, tmp_path, "-m", "reprolib", "train", "tiny", "--profile", "test",
                       "--accelerator", "cpu")
    while running.poll() is None and not state.exists():
        time.sleep(0.002)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    said = running.communicate(timeout=60)
    assert running.returncode != 0 and state.exists(), said
    monkeypatch.chdir(tmp_path)
    tiny = find("test", "tiny")
    train(tiny, resume=True, accelerator="cpu")
    monkeypatch.chdir(tmp_path / "whole")
    train(tiny, accelerator="cpu")
    assert_same_curve(tmp_path / "whole", "tiny", tmp_path, "tiny")


def test_one_process_computes_nothing() -> None:
    x = torch.rand(4, 3, requires_grad=True)
    assert distributed.gather_with_gradient(x) is x and distributed.means([x])[0] is x
    assert distributed.gather(x).data_ptr() == x.data_ptr() and distributed.rows(3) == slice(0, 3)
    assert distributed.count() == distributed.launched() == 1


def test_rows_of_a_batch_are_those_of_the_whole(data: Path) -> None:
    pairs = open_split("haze-homogeneous", "train", data / "haze-homogeneous")
    domains = open_domains("horse2zebra", "train", data / "horse2zebra")
    whole: list[CropBatches | UnpairedBatches]
    whole, part = ([CropBatches(pairs, 16, 4, 3, seed=1), UnpairedBatches(domains, 40, 32, 4, 3, seed=1)]
                   for _ in range(2))
    for batches, some in zip(whole, part, strict=True):
        for some.rows in (slice(0, 2), slice(2, 4)):
            for step in range(3):
                for one, two in zip(batches[step], some[step], strict=True):
                    assert torch.equal(one[some.rows], two)
