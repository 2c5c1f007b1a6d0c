"""Test pictures that a network has seen in training are named, whatever test set its weights are measured on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from evaluation.conftest import dehazing_run
from PIL import Image

from reprolib import models
from reprolib.data.identity import dataset_identity
from reprolib.data.paired import open_split
from reprolib.errors import UserError
from reprolib.evaluation.evaluate import evaluate
from reprolib.evaluation.run import measure_run
from reprolib.evaluation.seen import seen_in_training
from reprolib.models.weights import save_weights
from reprolib.runs.places import Places
from reprolib.runs.run import DehazingRun
from reprolib.training.run import originate

COPIED = Path("downloads/NH-HAZE/01_GT.png")


@pytest.fixture
def run(place: Path) -> DehazingRun:
    return dehazing_run()


def trained(run: DehazingRun) -> Path:
    """Weights that say what they were trained on, as a training does."""
    path = Places(run).weights
    save_weights(models.get(run.system).build(), path, header=originate(run, Path(), None, None).header(run.steps))
    return path


def test_pictures_that_weights_were_trained_on_are_named_beside_their_scores(run: DehazingRun, place: Path) -> None:
    """A test set that the training knew nothing of: somebody's own pictures, among them a training picture, resized."""
    weights = trained(run)
    assert "trained on" not in evaluate("aodnet", "nh-haze", weights=weights).note
    for side, suffix in (("hazy", "hazy"), ("clear", "GT")):
        (place / side).mkdir()
        for scene in (1, 51):
            shutil.copy(COPIED.with_name(f"{scene:02}_{suffix}.png"), place / side / f"{scene}.png")
    for path in (place / "hazy/1.png", place / "clear/1.png"):
        Image.open(path).resize((80, 64)).save(path)
    own = f"hazy={place}/hazy,clear={place}/clear"
    note = evaluate("aodnet", own, weights=weights, split="all").note
    assert note.endswith("trained on 1 of these files: NH-HAZE/01_GT.png is clear/1.png (re-encoded or resized)")


def test_measuring_pictures_that_were_trained_on_is_refused(run: DehazingRun) -> None:
    """They came after the training: trained again, it leaves them out, and its own test set is measured."""
    trained(run)
    shutil.copy(COPIED, COPIED.with_name("52_GT.png"))
    with pytest.raises(UserError, match=r"'tiny' was trained on 1 of these files: .*01_GT.png .*: train it again"):
        measure_run(run)
    other = run.changed(name="other", weights_of="tiny", own=True)
    with pytest.raises(UserError, match="'tiny' was trained on .*: measure it on other pictures"):
        measure_run(other)
    trained(run)
    assert {record.n for record in measure_run(run)} == {3}


def test_what_weights_were_trained_on_is_known_only_as_long_as_it_lies_there(run: DehazingRun, place: Path) -> None:
    weights = trained(run)
    pictures = open_split("nh-haze", "train")
    assert len(seen_in_training(weights, "nh-haze", pictures)) == 2 * len(pictures)
    before = dataset_identity("nh-haze", "train").digest
    COPIED.write_bytes(COPIED.with_name("02_GT.png").read_bytes())
    assert dataset_identity("nh-haze", "train").digest != before
    assert seen_in_training(weights, "nh-haze", pictures) == []
    shutil.rmtree(COPIED.parent)
    assert seen_in_training(weights, "nh-haze", pictures) == []
    (place / "theirs.pth").write_bytes(b"not ours")
    assert seen_in_training(place / "theirs.pth", "nh-haze", pictures) == []
