"""A folder with tiny pictures of real datasets, and checkpoints as a training leaves them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pytest
import torch

from reprolib import metrics, models
from reprolib.evaluation import translation
from reprolib.metrics import Score
from reprolib.models.segmentation.drn import DRND22
from reprolib.models.weights import Header, save_weights
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun
from reprolib.runs.run import DehazingRun, SegmenterRun, TranslationRun


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands would run."""
    layouts.install(tmp_path, ["nh-haze", "horse2zebra", "cityscapes"], n=3)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    return tmp_path


def dehazing_run(**changes: Any) -> DehazingRun:
    """A tiny AOD-Net is as small as it gets."""
    settings: dict[str, Any] = {"name": "tiny", "profile": "test", "system": "aodnet", "dataset": "nh-haze", "steps": 7,
                                "batch": 3, "crop": 16, "rows": ("table1/aodnet",), "own": True}
    return DehazingRun(**{**settings, **changes})


def translation_run(**changes: Any) -> TranslationRun:
    settings: dict[str, Any] = {"name": "tiny-cut", "profile": "test", "system": "cut", "dataset": "horse2zebra",
                                "network": {"width": 4, "blocks": 1}, "steps": 5, "batch": 1, "crop": 32,
                                "objective": {"patches": 16}, "rows": ("cut/cut",), "own": True}
    return TranslationRun(**{**settings, **changes})


def leave_checkpoint(run: TaskRun, step: int | None = None, made_by: TaskRun | None = None, file: str = "last",
                     seed: int = 0) -> Path:
    """Weights of a freshly initialised network, with the header of a training."""
    spec = models.get(run.system)
    torch.manual_seed(seed)
    network = spec.build(**run.network)
    header = Header(run.system, run.network, (made_by or run).settings, run.steps if step is None else step,
                    "the-code", {run.dataset: "the-data"})
    path = Places(run).checkpoint / f"{file}.safetensors"
    save_weights(spec.part(network, *spec.saved).state_dict(), path, header=header)
    return path


def leave_segmenter(dataset: str) -> Path:
    """A segmenter of the profile 'test' that was never trained."""
    torch.manual_seed(0)
    run = SegmenterRun(name=f"segmenter-{dataset}", profile="test", system="segmenter", dataset=dataset, own=True)
    options = {"width": 2, "size": [32, 32]}
    save_weights(DRND22(width=2, size=(32, 32)), Places(run).weights, header=Header("segmenter", options))
    return Places(run).weights


@pytest.fixture
def brightness(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Score]]:
    """In place of deep features: the difference of the mean levels, under the names of the metrics of sets."""

    def score_sets(pictures: Sequence[np.ndarray], domains: Any, chosen: Sequence[str], again: bool = False) -> dict[
            str, Score]:
        metrics.of_sets(chosen)
        levels = [float(np.mean([p.mean() for p in side])) for side in (domains.b, pictures)]
        return {name: Score(abs(levels[0] - levels[1]), {"resize": 128}) for name in chosen}

    from reprolib.evaluation import evaluate

    monkeypatch.setattr(translation, "score_sets", score_sets)
    monkeypatch.setattr(evaluate, "score_sets", score_sets)
    return score_sets
