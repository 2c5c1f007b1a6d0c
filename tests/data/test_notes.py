"""What is said of the numbers of a dataset, and of a part of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import layouts
import pytest

from reprolib.data.images import write_png
from reprolib.data.notes import note_of, sample_note, training_note


@pytest.mark.parametrize(("name", "split", "counts", "expected"), [
    ("nh-haze", "test", (3,), "sample: 3 of 5"), ("nh-haze", "test-46-50", (5,), ""),
    ("sots-indoor", "test", (120,), "sample: 120 of 500"), ("reside-its", "train", (8000,), "sample: 8,000 of 13,500"),
    ("horse2zebra", "test", (60, 140), "sample: 60 of 120 and 140 of 140"), ("horse2zebra", "test", (120, 140), ""),
    ("horse2zebra", "val", (5, 5), ""), ("cityscapes", "test", (1, 1), "sample: 1 of 500"),
    ("nh-haze", "test", (6,), "6 where 5 are expected"), ("haze-dense", "test", (16,), "")])
def test_kind_35_a_part_of_a_split_is_said(name: str, split: str, counts: tuple[int, ...], expected: str) -> None:
    assert sample_note(name, split, *counts) == expected


def test_kind_35_scenes_at_hand_are_those_of_all_splits(tmp_path: Path) -> None:
    """RESIDE's 1,399 scenes are those to train on and those to validate on; the 50 of the test set are none of them."""
    for scene in (1, 2, 1350, 1351, 1400):
        for kind in ("images", "depths"):
            write_png(tmp_path / kind / f"{scene}.png", layouts.landscape(scene, (20, 20)))
    assert note_of("reside-its-like", tmp_path) == "ITS-like, synthesised from NYU Depth V2; 4 of 1,399 scenes"
    assert note_of("reside-its-like", tmp_path / "nowhere") == "ITS-like, synthesised from NYU Depth V2"
    assert training_note("reside-its-like", tmp_path) == "", "said already"


def test_kind_35_a_part_of_the_pictures_to_train_on_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    layouts.install(tmp_path, ["nh-haze", "horse2zebra", "cityscapes"], n=3)
    assert training_note("nh-haze") == "training sample: 3 of 42"
    assert training_note("horse2zebra") == "training sample: 3 of 1,067 and 3 of 1,334", "one of each validates"
    assert training_note("cityscapes") == "training sample: 3 of 2,975"
    assert training_note("haze-dense") == training_note("reside-its") == "", "complete or nowhere"
    shutil.rmtree(tmp_path / "downloads" / "horse2zebra" / "trainB")
    assert training_note("horse2zebra") == "", "cannot be trained on at all"
