"""A record whose pictures have changed is stale; one whose pictures are as they were, or elsewhere, is not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import layouts
import pytest
from PIL import Image

from reprolib.data.identity import KEPT, dataset_identity
from reprolib.data.images import read_rgb, write_png
from reprolib.data.paired import PairedFolder, open_split
from reprolib.data.unpaired import open_domains
from reprolib.evaluation.record import Record
from reprolib.results.changed import changed_pictures

TEST = "test pictures of nh-haze have changed since: run `dvc repro`"


@pytest.fixture
def nh_haze(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    return layouts.install(tmp_path, ["nh-haze", "horse2zebra"], n=3)["nh-haze"]


def record(dataset: str, data_hash: str, trained_on: tuple[str, ...] = ()) -> Record:
    data = {name: dataset_identity(*name.split("/")).digest for name in trained_on}
    return Record(profile="p", experiment="e", system="aodnet", rows=(), dataset=dataset, metric="psnr", unit="dB",
                  value=1.0, protocol="aecr", n=3, seed=0, data_hash=data_hash, data={**data, "vgg16": "0123"})


def of_nh_haze() -> Record:
    return record("nh-haze", open_split("nh-haze", "test").pixel_hash(), ("nh-haze/train", "nh-haze/val"))


def test_kind_35_pictures_as_they_were(nh_haze: Path) -> None:
    assert changed_pictures(of_nh_haze()) is None
    domains = open_domains("horse2zebra", "test")
    assert changed_pictures(record("horse2zebra", domains.pixel_hash(), ("horse2zebra/train",))) is None


def test_kind_35_a_test_picture_that_was_replaced(nh_haze: Path) -> None:
    measured = of_nh_haze()
    path = nh_haze / "51_GT.png"
    write_png(path, read_rgb(path) // 2)
    assert changed_pictures(measured) == TEST


def test_kind_35_a_test_picture_that_was_removed(nh_haze: Path) -> None:
    measured = of_nh_haze()
    (nh_haze / "53_hazy.png").unlink()
    assert changed_pictures(measured) == TEST


def test_a_sample_says_nothing_of_a_test_set_that_was_measured_whole(nh_haze: Path) -> None:
    """NH-HAZE has five test pictures, of which three are here."""
    assert changed_pictures(replace(of_nh_haze(), n=5, data_hash="of all five")) is None
    assert changed_pictures(replace(of_nh_haze(), n=3, data_hash="of three others")) == TEST
    domains = replace(record("horse2zebra", "of all"), n=120, n_real=140)
    assert changed_pictures(domains) is None
    assert changed_pictures(replace(domains, n=3, n_real=3)) is not None


def test_kind_35_test_pictures_that_are_whole_no_more(nh_haze: Path) -> None:
    measured = of_nh_haze()
    (nh_haze / "53_GT.png").unlink()
    assert "test pictures of nh-haze are not what they were (1 hazy picture has no clear one" in str(
        changed_pictures(measured))


def test_kind_35_the_same_pixels_in_another_file(nh_haze: Path) -> None:
    measured = of_nh_haze()
    path = nh_haze / "51_GT.png"
    before = path.read_bytes()
    with Image.open(path) as image:
        image.load()
    image.save(path, compress_level=0)
    assert path.read_bytes() != before and changed_pictures(measured) is None


def test_kind_35_a_picture_to_train_on_that_was_replaced(nh_haze: Path) -> None:
    measured = of_nh_haze()
    path = nh_haze / "02_GT.png"
    write_png(path, read_rgb(path) // 2)
    assert changed_pictures(measured) == "pictures of nh-haze/train have changed since: run `dvc repro`"


def test_kind_35_pictures_that_are_not_here_leave_a_record_as_it_is(nh_haze: Path) -> None:
    measured = of_nh_haze()
    shutil.rmtree(nh_haze)
    assert changed_pictures(measured) is None


def test_what_was_decoded_is_not_decoded_again(nh_haze: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = of_nh_haze()
    assert changed_pictures(measured) is None
    monkeypatch.setattr(PairedFolder, "pixel_hash", lambda pairs: pytest.fail("decoded again"))
    assert changed_pictures(measured) is None


def test_memory_that_is_damaged_costs_time_only(nh_haze: Path) -> None:
    measured = of_nh_haze()
    KEPT.mkdir(parents=True)
    for text in ("{", "[]", "null"):
        (KEPT / "pixels.json").write_text(text)
        assert changed_pictures(measured) is None
