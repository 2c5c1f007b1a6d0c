"""Copies of test pictures among training pictures are found however they were saved, and what is alike is none."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from layouts import landscape, under_haze
from PIL import Image

from reprolib.data import copies as module
from reprolib.data.copies import BYTES, LOOKS, PIXELS, copies, twins, without
from reprolib.data.identity import KEPT
from reprolib.data.images import write_png
from reprolib.data.paired import PairedFolder, find_pairs
from reprolib.data.unpaired import Domains, ImageFolder
from reprolib.errors import UserError

SIZE = (120, 90)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pairs_of(folder: Path, scenes: range) -> PairedFolder:
    for scene in scenes:
        write_png(folder / "clear" / f"{scene}.png", landscape(scene, SIZE))
        write_png(folder / "hazy" / f"{scene}_1.png", under_haze(landscape(scene, SIZE), 1, 0.9))
    return PairedFolder(find_pairs(folder))


def changed(path: Path, how: str) -> Path:
    """Save a picture again, in another way."""
    with Image.open(path) as image:
        image.load()
    if how == "png":
        image.save(path, compress_level=9)
        return path
    new = path.with_suffix(".webp" if how == "webp" else ".jpg")
    half = (image.width // 2, image.height // 2)
    (image.resize(half, Image.Resampling.BICUBIC) if how == "half" else image).save(
        new, quality=30 if how == "jpeg 30" else 75)
    path.unlink()
    return new


def test_different_pictures_are_no_copies(here: Path) -> None:
    assert copies(pairs_of(here / "train", range(1, 20)), pairs_of(here / "test", range(20, 30))) == []


@pytest.mark.parametrize(("how", "expected"), [("bytes", BYTES), ("png", PIXELS), ("jpeg", LOOKS), ("jpeg 30", LOOKS),
                                               ("webp", LOOKS), ("half", LOOKS)])
def test_a_copy_is_found_and_named(here: Path, how: str, expected: str) -> None:
    pairs_of(here / "train", range(1, 6))
    test = pairs_of(here / "test", range(6, 9))
    path = here / "train" / "clear" / "4.png"
    shutil.copy(here / "test" / "clear" / "7.png", path)
    if how != "bytes":
        path = changed(path, how)
    train = PairedFolder(find_pairs(here / "train"))
    (found,) = copies(train, test)
    assert (found.train, found.test, found.how) == (path, here / "test" / "clear" / "7.png", expected)
    assert str(found) == f"clear/{path.name} is clear/7.png ({expected})"
    assert bool(copies(train, test, looks=False)) == (how == "bytes")
    assert without(train, [found]).names == ["1_1", "2_1", "3_1", "5_1"]
    assert without(test, [found]) is test, "nothing of it is left out"


def test_nothing_but_copies_is_refused(here: Path) -> None:
    pairs = pairs_of(here / "one", range(1, 3))
    assert len(copies(pairs, pairs)) == 4 and {c.how for c in copies(pairs, pairs)} == {BYTES}
    with pytest.raises(UserError, match="nothing is left to train on"):
        without(pairs, copies(pairs, pairs))


def test_a_copy_that_is_in_a_release_itself(shared: Path, here: Path) -> None:
    """One dog of DRIT's training pictures is a test picture, turned by a degree and saved again."""
    def dogs(folder: str, name: str) -> Domains:
        files = ImageFolder([shared / "data" / "cat2dog" / folder / name])
        return Domains(files, files)

    (found,) = copies(dogs("trainB", "1610.jpg"), dogs("testB", "1450.jpg"))
    assert found.how == LOOKS


def test_a_hazy_picture_that_is_a_copy_counts_too(here: Path) -> None:
    pairs_of(here / "train", range(1, 4))
    test = pairs_of(here / "test", range(6, 9))
    shutil.copy(here / "test" / "hazy" / "7_1.png", here / "train" / "hazy" / "2_1.png")
    (found,) = copies(PairedFolder(find_pairs(here / "train")), test)
    assert found.how == BYTES and found.train.name == "2_1.png"


def test_domains_are_compared_whichever_side_a_picture_is_on(here: Path) -> None:
    def domains(folder: Path, seed: int) -> Domains:
        for i in range(4):
            write_png(folder / "abcd"[i] / "x.png", landscape(seed + i, SIZE))
        return Domains(*(ImageFolder([folder / s / "x.png" for s in sides]) for sides in ("ab", "cd")))

    train, test = domains(here / "train", 0), domains(here / "test", 10)
    assert copies(train, test) == []
    shutil.copy(test.b.files[0], train.a.files[1])
    found = copies(train, test)
    assert [(c.train, c.test) for c in found] == [(train.a.files[1], test.b.files[0])]
    assert without(train, found).a.files == train.a.files[:1] and without(train, found).b.files == train.b.files


def test_plain_pictures_are_copies_only_of_themselves(here: Path) -> None:
    def folder(name: str, *values: int) -> Domains:
        for value in values:
            write_png(here / name / f"{value}.png", np.full((20, 20, 3), value, np.uint8))
        files = ImageFolder([here / name / f"{value}.png" for value in values])
        return Domains(files, files)

    train, test = folder("train", 1, 2, 3), folder("test", 3, 4)
    assert [c.train.name for c in copies(train, test)] == ["3.png"]


def test_two_names_of_one_picture(here: Path) -> None:
    train = pairs_of(here / "train", range(1, 4))
    assert twins(train) == []
    shutil.copy(here / "train" / "hazy" / "1_1.png", here / "train" / "hazy" / "1_1 (1).png")
    (found,) = twins(PairedFolder(find_pairs(here / "train")))
    assert {found.train.name, found.test.name} == {"1_1.png", "1_1 (1).png"} and found.how == BYTES


@pytest.mark.parametrize("damage", [None, b"", b"{", b"[1]", b'{"x": 1}', b'{"x": "no number"}'])
def test_kind_11_hashes_are_remembered_and_damage_costs_time_only(here: Path, damage: bytes | None,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = pairs_of(here / "train", range(1, 4)), pairs_of(here / "test", range(6, 9))
    assert copies(train, test) == []
    hashed: list[Path] = []
    original = module._phash

    def noted(path: Path) -> int:
        hashed.append(path)
        return original(path)

    monkeypatch.setattr(module, "_phash", noted)
    if damage is not None:
        (KEPT / "looks.json").write_bytes(damage)
    assert copies(train, test) == [] and len(hashed) == (0 if damage is None else 6)


def test_real_pictures_that_are_alike_are_no_copies(shared: Path, here: Path) -> None:
    """Cats are photographed alike; every tenth of them against every tenth test picture."""
    def cats(folder: str) -> Domains:
        files = ImageFolder(sorted((shared / "data" / "cat2dog" / folder).iterdir())[::10])
        return Domains(files, files)

    assert copies(cats("trainA"), cats("testA")) == []
