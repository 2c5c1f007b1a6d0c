"""The command line, called in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from reprolib.commands.main import main
from reprolib.data.images import write_png
from reprolib.files import write_yaml


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of a failure."""
        (line,) = (text for text in self.err.splitlines() if text.startswith("reprolib: "))
        return line


Reprolib = Callable[..., Answer]


@pytest.fixture
def reprolib(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Reprolib:
    """`reprolib WORDS`."""

    def run(*words: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["reprolib", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Answer(int(stop.value.code or 0), out, err)

    return run


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Three hazy pictures of two scenes with a border of truth around, as SOTS has them."""
    random = np.random.default_rng(0)
    folder = tmp_path / "sots"
    for scene, variants in ((1400, 2), (1401, 1)):
        clear = random.integers(0, 255, (60, 80, 3), dtype=np.uint8)
        write_png(folder / "clear" / f"{scene}.png", clear)
        for v in range(1, variants + 1):
            write_png(folder / "hazy" / f"{scene}_{v}.png", clear[10:-10, 10:-10] // 2 + 120)
    return folder


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, the current folder: a profile 'mini' of a few steps on a few pairs of noise."""
    folder = tmp_path / "project"
    random = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 1), ("test", 2)):
        for i in range(count):
            clear = random.integers(0, 255, (24, 32, 3), dtype=np.uint8)
            write_png(folder / "data/haze-dense" / split / "clear" / f"{i}.png", clear)
            write_png(folder / "data/haze-dense" / split / "hazy" / f"{i}_1.png", clear // 2 + 100)
    steps = {"steps": 2, "batch": 2, "crop": 16, "validate_every": 2, "save_every": 1}
    write_yaml(folder / "profiles/mini/params.yaml", {
        "defaults": {"dehazing": steps},
        "systems": {"aodnet": {"runs": {"aodnet-dense": {"dataset": "haze-dense"}}},
                    "dcp": {"steps": 0, "runs": {"dcp-dense": {"dataset": "haze-dense"}}}}})
    monkeypatch.chdir(folder)
    return folder
