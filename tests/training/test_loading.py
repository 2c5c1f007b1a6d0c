"""Batches by other processes: the same ones, and no wait without end."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from reprolib.errors import UserError
from reprolib.training import loading
from reprolib.training.loading import load


class Numbers:
    """A batch is its step."""

    rows = slice(None)

    def __len__(self) -> int:
        return 8

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        return torch.full((2, 3, 4, 4), float(step)), torch.full((2, 4), step)


class Broken(Numbers):
    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        if step == 2:
            raise UserError("not a picture", where="x.png", fix="replace it")
        return super().__getitem__(step)


class Dying(Numbers):
    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        if step == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(step)


class Stuck(Numbers):
    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        if step == 2:
            time.sleep(1000)
        return super().__getitem__(step)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_every_step_once_and_in_order(workers: int) -> None:
    state = torch.get_rng_state()
    found = list(load(Numbers(), range(3, 8), workers))
    assert [int(second[0, 0]) for _, second in found] == [3, 4, 5, 6, 7]
    for (first, second), step in zip(found, range(3, 8), strict=True):
        for one, other in zip((first, second), Numbers()[step], strict=True):
            assert one.dtype == other.dtype and torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state), "the global stream is the run's"


@pytest.mark.parametrize("workers", [0, 1])
def test_kind_12_the_error_of_a_picture_is_its_own(workers: int) -> None:
    batches = load(Broken(), range(8), workers)
    next(batches), next(batches)
    with pytest.raises(UserError, match=r"^not a picture \(x.png\): replace it$"):
        next(batches)


def test_kind_43_a_worker_that_died_is_one_line() -> None:
    with pytest.raises(UserError, match="died or is stuck.*--workers 0"):
        list(load(Dying(), range(8), 1))


def test_kind_43_a_worker_that_is_stuck_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "SECONDS", 0.5)
    with pytest.raises(UserError, match="died or is stuck.*--shm-size"):
        list(load(Stuck(), range(8), 1))


def test_kind_25_a_worker_needs_no_socket_below_tmpdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch systems set places whose path is longer than a socket's may be."""
    place = tmp_path / ("x" * 126)
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    assert len(list(load(Numbers(), range(8), 1))) == 8


def test_it_takes_less_than_a_minute_to_notice() -> None:
    assert loading.ATTEMPTS * loading.SECONDS < 60
