"""Two processes do what one does: the same curves from half of each batch, the same state, one set of files."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from reprolib import parallel
from reprolib.data.images import write_png
from reprolib.data.paired import CropBatches, open_split
from reprolib.data.unpaired import UnpairedBatches, open_domains
from reprolib.errors import UserError

SAME = ("cr-batch", "cr-image", "cr-own", "transmission", "cut-bank", "cut-minibatch", "cyclegan", "distancegan",
        "munit")
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


def start(project: Path, processes: int, *words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A script or module in one process, or in several by torchrun."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *(launcher if processes > 1 else []), *map(str, words)], cwd=cwd,
                          env=environment, capture_output=True, text=True, timeout=120)


def curve(out: Path, name: str) -> list[dict[str, float]]:
    with (out / "checkpoints" / "test" / name / "log.csv").open() as stream:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(stream)]


def assert_same_curve(one: Path, other: Path, name: str) -> None:
    rows, wanted = curve(other, name), curve(one, name)
    assert [row.keys() for row in rows] == [row.keys() for row in wanted] and len(rows) == 5
    for row, truth in zip(rows, wanted, strict=True):
        assert row == pytest.approx(truth, rel=1e-5, abs=1e-7), name


@pytest.fixture(scope="module")
def runs(project: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of the runs in one process and in two."""
    script, folders = project / "tests" / "training" / "parallel_runs.py", []
    for processes, names in ((1, SAME), (2, (*SAME, "cr-local", *REFUSED))):
        folders.append(tmp_path_factory.mktemp(f"processes-{processes}"))
        done = start(project, processes, script, data, folders[-1], ",".join(names))
        assert done.returncode == 0, done.stderr
    return folders[0], folders[1]


@pytest.mark.parametrize("name", SAME)
def test_same_curve_as_one_process(runs: tuple[Path, Path], name: str) -> None:
    assert_same_curve(*runs, name)


def test_local_samples_are_others(runs: tuple[Path, Path]) -> None:
    assert len(curve(runs[1], "cr-local")) == 5


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_differ_is_refused(runs: tuple[Path, Path], name: str) -> None:
    for rank in (0, 1):
        assert REFUSED[name] in (runs[1] / f"{name}-{rank}.txt").read_text()


def test_killed_in_two_processes_goes_on_in_one(runs: tuple[Path, Path], project: Path, data: Path,
                                                tmp_path: Path) -> None:
    """The one that is left does not wait for ever."""
    words = (project / "tests" / "training" / "parallel_runs.py", data, tmp_path, "cyclegan")
    assert start(project, 2, *words, 3).returncode != 0
    assert (tmp_path / "runs" / "test" / "cyclegan.pt").is_file()
    assert start(project, 1, *words).returncode == 0
    assert_same_curve(runs[0], tmp_path, "cyclegan")


def test_command_line(project: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "profiles", tmp_path / "profiles")
    shutil.copy(project / "params.yaml", tmp_path)
    words = ("-m", "reprolib", "train", "aodnet", "--dataset", "haze-homogeneous", "--root",
             data / "haze-homogeneous", "--steps", 2, "--batch", 4, "--crop", 16, "--accelerator", "cpu")
    done = start(project, 2, *words, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.count("best validation") == 1, done.stderr


# The collectives alone


def weigh(everything: Tensor) -> Tensor:
    """A loss that no mean over rows gives."""
    return everything[0] * everything[3] + everything.square().sum()


def gradients(rank: int, port: int) -> None:
    torch.distributed.init_process_group("gloo", f"tcp://localhost:{port}", rank=rank, world_size=2)
    x = torch.arange(1.0, 5)[parallel.rows(4)].requires_grad_()
    assert torch.equal(parallel.gather(x), torch.arange(1.0, 5))
    weigh(parallel.gather_with_gradient(x)).backward()
    wanted = torch.tensor([6.0, 4, 6, 9])[parallel.rows(4)]
    assert x.grad is not None and torch.equal(x.grad / 2, wanted)  # the average over processes halves it

    x.grad = None
    mean, square = parallel.means([x.mean(0, keepdim=True), x.square().mean()])
    assert mean.tolist() == [2.5] and square.item() == 7.5
    (mean.square() * square).sum().backward()  # d/dx_i of mean^2 mean(x^2) is 2 m q / 4 + m^2 2 x_i / 4
    assert torch.allclose(x.grad / 2, 2 * 2.5 * 7.5 / 4 + 2.5**2 * x.detach() / 2)

    weight = torch.nn.Parameter(torch.ones(2))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    parallel.follow({"weight": optimiser}, {})
    for clipped in (False, True, False):
        weight.data.fill_(1)
        weight.grad = torch.tensor([1.0, 3.0]) if rank else torch.tensor([3.0, 5.0])
        if clipped:
            parallel.average_gradients(optimiser)
            weight.grad.clamp_(max=3)
        optimiser.step()
        assert weight.tolist() == ([-1, -2] if clipped else [-1, -3])

    def fails() -> None:
        raise UserError("no such folder", where="here", fix="make it")

    assert parallel.on_first(lambda: rank) == 0
    with pytest.raises(UserError, match="no such folder .here.: make it"):
        parallel.on_first(fails)
    sample = parallel.draw(torch.rand, (2, 3), torch.Generator().manual_seed(1))
    assert torch.equal(sample, torch.rand(4, 3, generator=torch.Generator().manual_seed(1))[parallel.rows(4)])
    torch.distributed.destroy_process_group()


def test_collectives() -> None:
    import socket

    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    spawn(gradients, (port,), nprocs=2)


def test_one_process_computes_nothing() -> None:
    x = torch.rand(4, 3, requires_grad=True)
    assert parallel.gather_with_gradient(x) is x and parallel.means([x])[0] is x
    assert parallel.gather(x).data_ptr() == x.data_ptr() and parallel.rows(3) == slice(0, 3)
    assert Fabric(accelerator="cpu", devices=1).world_size == parallel.count() == 1


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
