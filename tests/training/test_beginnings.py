"""Beginnings that runs share change nothing but the time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from extractors import random_vgg

from reprolib.models.objective import Contrast
from reprolib.runs.run import DehazingRun
from reprolib.training.beginnings import shared_beginnings
from reprolib.training.dehazing import task as dehazing
from reprolib.training.run import train, train_system


def tiny(**changes: Any) -> DehazingRun:
    """AOD-Net is as small as it gets."""
    settings: dict[str, Any] = {"name": "tiny", "profile": "test", "system": "aodnet", "dataset": "haze-homogeneous",
                                "steps": 6, "batch": 2, "crop": 16, "learning_rate": 1e-3, "validate_every": 2,
                                "save_every": 2, "own": True}
    return DehazingRun(**{**settings, **changes})


def test_runs_that_share_their_beginning_become_what_they_become_alone(dataset: Path, tmp_path: Path,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dehazing, "load_features", random_vgg)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "haze-homogeneous").symlink_to(dataset)
    contrasts = {"ratio": Contrast(start=0.5), "pull": Contrast(rate="1:0", start=0.5), "none": None}
    runs = [tiny(name=name, contrast=contrast) for name, contrast in contrasts.items()]
    another = tiny(name="seed", seed=1)
    (beginning,) = shared_beginnings([*runs, another])
    assert beginning.steps == 3 and beginning.shared_by == ("ratio", "pull", "none")
    together = train_system("aodnet", [*runs, another], "test", root=tmp_path / "together", accelerator="cpu")
    assert [trained.run.name for trained in together] == ["ratio", "pull", "none", "seed"]
    for trained in together:
        alone = train(trained.run, root=tmp_path / "alone", accelerator="cpu")
        for name in ("best.safetensors", "last.safetensors", "log.csv"):
            assert (alone.folder / name).read_bytes() == (trained.folder / name).read_bytes(), trained.run.name
    assert not beginning.state(tmp_path / "together").exists(), "it is not needed any more"


def test_nothing_is_shared_by_what_differs_from_the_first_step() -> None:
    assert not shared_beginnings([tiny(contrast=Contrast()), tiny(contrast=None)])
    assert not shared_beginnings([tiny(contrast=Contrast(start=0.5)), tiny(contrast=None, learning_rate=0.1)])
    assert not shared_beginnings([tiny(name="one"), tiny(name="two")]), "and nothing by what does not differ"
