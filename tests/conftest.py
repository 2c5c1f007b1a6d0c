"""What several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

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


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
