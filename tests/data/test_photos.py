"""Which photos are used, that they are the right ones, and that no place is in two splits."""

from __future__ import annotations

import io
import sys
import zipfile
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reprolib.data import photos
from reprolib.errors import UserError
from reprolib.files import sha256

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def jpegs() -> dict[str, bytes]:
    return photos.load()


def test_every_photo_is_in_one_split_or_excluded() -> None:
    excluded = [str(n) for n in photos.lists()["excluded"]]
    everything = [n for s in SPLITS for n in photos.split(s)] + excluded
    assert sorted(everything, key=int) == [str(n) for n in range(100)]
    assert [len(photos.split(s)) for s in SPLITS] == [50, 8, 16] and len(excluded) == 26


def test_every_exclusion_has_a_reason() -> None:
    assert all(isinstance(why, str) and len(why) > 10 for why in photos.lists()["excluded"].values())


def test_no_place_is_in_two_splits() -> None:
    of = {n: s for s in SPLITS for n in photos.split(s)}
    for place, members in photos.lists()["scenes"].items():
        assert len(members) > 1
        assert len({of[str(n)] for n in members if str(n) in of}) == 1, place


def test_no_two_splits_hold_photos_that_look_alike(jpegs: dict[str, bytes]) -> None:
    """Correlation of thumbnails: a copy, however scaled or compressed, would be above 0.98."""
    thumbs = {}
    for split in SPLITS:
        for name in photos.split(split):
            small = Image.open(io.BytesIO(jpegs[name])).convert("RGB").resize((24, 16), Image.Resampling.BOX)
            flat = np.asarray(small, float).ravel() - np.asarray(small, float).mean()
            thumbs[split, name] = flat / np.linalg.norm(flat)
    alike = [(a, b) for a, b in combinations(thumbs, 2) if a[0] != b[0] and thumbs[a] @ thumbs[b] > 0.93]
    assert not alike


def test_package_is_read_and_not_imported(jpegs: dict[str, bytes]) -> None:
    assert len(jpegs) == 100
    assert "ai_benchmark" not in sys.modules


def test_other_photos_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "lists", lambda: {"sha256": "0" * 64})
    with pytest.raises(UserError, match="not the photos.*pip install"):
        photos.load()


def test_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="not installed.*pip install"):
        photos.load()


def test_wheel_gives_the_same_photos(jpegs: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "ai_benchmark.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("ai_benchmark/data/classification/0.jpg", b"another")
        for name, content in jpegs.items():
            archive.writestr(f"ai_benchmark/data/enhancement/{name}.jpg", content)
    with pytest.raises(UserError, match="not the wheel of ai-benchmark 0.1.2"):
        photos.load(wheel)
    lists = {**photos.lists(), "wheel_sha256": sha256(wheel)}
    monkeypatch.setattr(photos, "lists", lambda: lists)
    assert photos.load(wheel) == jpegs
    with pytest.raises(UserError, match="no such wheel"):
        photos.load(tmp_path / "gone.whl")


def test_shrinking_keeps_proportions_and_brightness(jpegs: dict[str, bytes]) -> None:
    small = photos.shrink(jpegs["2"])
    whole = np.asarray(Image.open(io.BytesIO(jpegs["2"])).convert("RGB"), float)
    assert small.shape == (320, 480, 3) and small.dtype == np.uint8
    left, top, right, bottom = photos.WHOLE
    assert (right - left) / (bottom - top) == photos.SIZE[0] / photos.SIZE[1]
    assert np.abs(small.mean((0, 1)) - whole.mean((0, 1))).max() < 0.5
