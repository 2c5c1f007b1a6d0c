"""From a training run to records: which checkpoint is measured as what, and what a resumed run gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reprolib import models
from reprolib.data.images import list_images, read_rgb, write_png
from reprolib.evaluation import run, translation
from reprolib.evaluation.networks import load_network
from reprolib.runs.experiment import Experiment, Schedule
from reprolib.training import loop
from reprolib.training.run import state_file, train
from reprolib.training.translation import task


def brightness(real: Sequence[np.ndarray], fake: Sequence[np.ndarray], extractor: str, **_: Any) -> dict[str, Any]:
    """A stand-in for deep features: the difference of the mean levels."""
    means = [float(np.mean([picture.mean() for picture in pictures])) for pictures in (real, fake)]
    return {"fd_vgg16": abs(means[0] - means[1]), "kid_vgg16": 0.0, "extractor": extractor}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small domains, dark to bright."""
    random = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2), ("test", 3)):
        for domain, low in (("A", 0), ("B", 120)):
            for i in range(count):
                picture = random.integers(low, low + 130, (40, 48, 3), dtype=np.uint8)
                write_png(tmp_path / "data" / "photos-hazy2clear" / f"{split}{domain}" / f"{i}.png", picture)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    for module in (task, translation):
        monkeypatch.setattr(module, "distances", brightness)
    return tmp_path


def experiment(**changes: Any) -> Experiment:
    settings: dict[str, Any] = {
        "name": "tiny", "profile": "test", "system": "cut", "dataset": "photos-hazy2clear", "rows": ("cut/cut",),
        "network": {"width": 8, "blocks": 1}, "method": {"patches": 16}, "steps": 4, "batch": 1, "load": 36, "crop": 32,
        "schedule": Schedule(kind="linear"), "validate_every": 2, "save_every": 1, "learning_rate": 1e-3,
    }
    return Experiment(**{**settings, **changes})


def test_last_fills_the_table_and_best_stands_beside_it(place: Path) -> None:
    e = experiment()
    train(e, accelerator="cpu")
    records = run.evaluate_experiment(e)
    assert [(r.metric, r.checkpoint, r.tabled) for r in records] == [
        ("fd_vgg16", "last", True), ("kid_vgg16", "last", True),
        ("fd_vgg16", "best on validation", False), ("kid_vgg16", "best on validation", False)]
    sources, targets = ([read_rgb(p) for p in list_images(place / f"data/photos-hazy2clear/test{d}")] for d in "AB")
    written = [read_rgb(p) for p in list_images(place / "outputs/test/tiny")]
    assert records[0].value == pytest.approx(brightness(targets, written, "")["fd_vgg16"], abs=1e-5)
    assert records[0].input_value == pytest.approx(brightness(targets, sources, "")["fd_vgg16"], abs=1e-5)
    assert (records[0].n, records[0].n_real, records[0].reduced, records[0].method) == (3, 3, True, {"patches": 16})


@pytest.mark.parametrize("system", ["cut", "cyclegan"])
def test_a_run_that_was_cut_goes_on_to_the_same_weights(
        place: Path, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"system": system, "method": {"patches": 16} if system == "cut" else {}}
    train(experiment(name="whole", **options), accelerator="cpu")
    saved = loop._save

    def cut(path: Path, *arguments: Any) -> None:
        saved(path, *arguments)
        if arguments[1].step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_save", cut)
    broken = experiment(name="broken", **options)
    with pytest.raises(KeyboardInterrupt):
        train(broken, accelerator="cpu")
    monkeypatch.setattr(loop, "_save", saved)
    assert state_file(broken).is_file()
    train(broken, resume=True, accelerator="cpu")
    names = ("last.safetensors", "best.safetensors", "log.csv")
    whole, resumed = ([(Path("checkpoints/test") / run_name / n).read_bytes() for n in names]
                      for run_name in ("whole", "broken"))
    assert whole == resumed


def test_a_kept_file_gives_the_generator_alone_or_with_its_heads(place: Path) -> None:
    train(experiment(), accelerator="cpu")
    system, weights = models.get("cut"), Path("checkpoints/test/tiny/last.safetensors")
    one = load_network(system, weights)
    both = load_network(system, weights, (*system.inference, *system.kept))
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(one(x), both(x))
    kept = both.get_submodule("heads").state_dict()
    fresh = system.build(width=8, blocks=1).get_submodule("heads").state_dict()
    assert kept.keys() == fresh.keys() and any(not torch.equal(kept[k], fresh[k]) for k in kept)
