"""What a training must not see: copies of test and validation pictures, in its own dataset and across datasets."""

from __future__ import annotations

import shutil
from pathlib import Path

import layouts
import pytest
from PIL import Image

from reprolib.data import leakage
from reprolib.data.identity import KEPT
from reprolib.data.images import write_png
from reprolib.data.leakage import leaks, told


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    return layouts.install(tmp_path, ["nh-haze", "reside-its", "sots-indoor", "horse2zebra"], n=3, size=(80, 64))


def names(dataset: str, measured_on: str, root: Path | None = None) -> set[str]:
    return {f"{c.train.parent.name}/{c.train.name} {c.how}" for c in leaks(dataset, measured_on, root)}


def test_kind_36_different_pictures_are_no_leak(places: dict[str, Path]) -> None:
    for dataset, measured_on in (("nh-haze", "nh-haze"), ("reside-its", "sots-indoor"), ("horse2zebra", "horse2zebra")):
        assert leaks(dataset, measured_on) == []


def test_kind_36_test_and_validation_pictures_of_the_same_dataset(places: dict[str, Path]) -> None:
    root = places["nh-haze"]
    for source, target in (("51", "02"), ("43", "03"), ("46", "44")):  # test to train, val to train, test to val
        shutil.copy(root / f"{source}_GT.png", root / f"{target}_GT.png")
    assert names("nh-haze", "nh-haze") == {f"NH-HAZE/{i}_GT.png the same bytes" for i in ("02", "03", "44")}


def test_kind_36_test_pictures_of_another_dataset(places: dict[str, Path]) -> None:
    """A scene of SOTS among those of ITS, saved again as JPEG; where SOTS is not here, nothing can be said."""
    clear = places["reside-its"] / "clear"
    (clear / "2.png").unlink()
    with Image.open(places["sots-indoor"] / "clear" / "1401.png") as image:
        image.save(clear / "2.jpg", quality=75)
    assert names("reside-its", "sots-indoor") == {"clear/2.jpg re-encoded or resized"}
    assert names("reside-its", "reside-its") == names("reside-its", "sots-outdoor") == set()


def test_kind_36_a_picture_under_two_names(places: dict[str, Path]) -> None:
    hazy = places["reside-its"] / "hazy"
    first = next(hazy.glob("2_1_*"))
    shutil.copy(first, hazy / f"{first.stem} (1).png")
    shutil.copy(next(hazy.glob("3_1_*")), hazy / "3_9.png")  # another name, not of a copy: left alone
    found = leaks("reside-its", "sots-indoor")
    assert told(found) == (f"1 picture is left out of training as copies of others: hazy/{first.stem} (1).png is "
                           f"hazy/{first.name} (the same bytes)")
    write_png(hazy / f"{first.stem} (1).png", layouts.landscape(7, (80, 64)))
    assert leaks("reside-its", "sots-indoor") == [], "another picture of a similar name"


def test_kind_36_domains(places: dict[str, Path]) -> None:
    shutil.copy(places["horse2zebra"] / "testA" / "n02381460_10.jpg", places["horse2zebra"] / "trainB" / "x.jpg")
    assert names("horse2zebra", "horse2zebra", places["horse2zebra"]) == {"trainB/x.jpg the same bytes"}


def test_kind_36_scenes(places: dict[str, Path], tmp_path: Path) -> None:
    for scene in (1, 2, 1351):
        clear = layouts.landscape(scene, (80, 64))
        write_png(tmp_path / "nyu" / "images" / f"{scene}.png", clear)
        write_png(tmp_path / "nyu" / "depths" / f"{scene}.png", clear[..., :1].repeat(3, 2))
    shutil.copy(places["sots-indoor"] / "clear" / "1401.png", tmp_path / "nyu" / "images" / "2.png")
    assert names("reside-its-like", "sots-indoor", tmp_path / "nyu") == {"images/2.png the same bytes"}


def test_starting_again_compares_nothing(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    root = places["nh-haze"]
    shutil.copy(root / "51_GT.png", root / "02_GT.png")
    found = leaks("nh-haze", "nh-haze")
    monkeypatch.setattr(leakage, "copies", lambda train, test: pytest.fail("compared again"))
    assert leaks("nh-haze", "nh-haze") == found != []
    monkeypatch.undo()
    monkeypatch.chdir(root.parents[1])
    for path in KEPT.glob("copies-*.json"):
        path.write_text("[[99, 0, 1]]")
    assert leaks("nh-haze", "nh-haze") == found, "what is damaged is found anew"


def test_embedded_pictures_are_not_looked_at() -> None:
    assert leaks("haze-dense", "haze-homogeneous") == [], "not even opened"
