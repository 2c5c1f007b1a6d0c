"""What several tests share."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process a core runs side by side; read when torch is loaded

import numpy as np
import pytest
import torch

from reprolib.data.images import write_png

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the checkout."""
    return PROJECT


@pytest.fixture(scope="session")
def shared() -> Path:
    """A folder with samples of the real benchmarks and published weights; tests that need it skip without it."""
    folder = Path(os.environ.get("REPROLIB_DATA", PROJECT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("no sample data: set REPROLIB_DATA to a folder with data/ and weights/")
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Six small pairs in train, one in val."""
    random = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 1)):
        for i in range(count):
            clear = random.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            write_png(tmp_path / "set" / split / "clear" / f"{i}.png", clear)
            write_png(tmp_path / "set" / split / "hazy" / f"{i}_1.png", clear // 2 + 100)
    return tmp_path / "set"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
