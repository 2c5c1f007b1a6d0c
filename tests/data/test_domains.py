"""The embedded datasets of two domains: the same bytes every time, no photo in two places, labels by their rule."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from reprolib.data import domains, haze, photos, prepare
from reprolib.data.images import pixel_hash
from reprolib.data.labels import CLASSES, decode
from reprolib.data.registry import datasets, get_dataset
from reprolib.data.unpaired import open_domains
from reprolib.data.verify import register, verify
from reprolib.errors import UserError

NAMES = ("photos-clear2hazy", "photos-hazy2clear", "photos-animals2things", "photos-labels2photo")
FEW = {"train": ["1", "7", "8"], "val": ["9", "34"], "test": ["0", "2"]}
OBJECTS = {"train": ["3", "4"], "val": ["8"], "test": ["2"]}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "split", lambda split: FEW[split])
    monkeypatch.setattr(photos, "objects", lambda kind, split: OBJECTS[split] if kind == "animals" else ["7"])


def digests(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("name", NAMES)
def test_same_bytes_every_time(tmp_path: Path, name: str) -> None:
    first = digests(prepare.prepare(name, tmp_path / "a"))
    assert digests(prepare.prepare(name, tmp_path / "b")) == first
    assert set(json.loads((tmp_path / "a" / "made.json").read_text())) == set(first) - {"made.json"}
    stray = tmp_path / "a" / "stray.png"
    stray.touch()
    prepare.prepare(name, tmp_path / "a")
    assert digests(tmp_path / "a") == first, "made again in place of the old"


@pytest.mark.usefixtures("few")
def test_hazy_pictures_are_those_of_the_dehazing_dataset(tmp_path: Path) -> None:
    there = prepare.prepare("photos-clear2hazy", tmp_path / "there")
    back = prepare.prepare("photos-hazy2clear", tmp_path / "back")
    test, other = open_domains("photos-clear2hazy", "test", there), open_domains("photos-hazy2clear", "test", back)
    assert test.a.names == other.b.names == ["0_left", "0_right"] and test.b.names == ["2_left", "2_right"]
    clear, (clear_half, _) = photos.shrink(photos.load()["2"]), test.a
    hazy, drawn = haze.synthesise(clear, "haze-homogeneous", "2", 1)
    for (_, half), written in zip(domains.halves(hazy), test.b, strict=True):
        assert np.array_equal(half, written) and half.shape == (128, 128, 3)
    assert json.loads((there / "made.json").read_text())["testB/2_left.png"] == {"photo": "2", **drawn}
    assert np.array_equal(clear_half, other.b[0])


def test_halves_share_no_pixel() -> None:
    image = np.zeros((320, 480, 3), np.uint8)
    image[:, :240] = 200
    (_, left), (_, right) = domains.halves(image)
    assert (left == 200).all() and (right == 0).all(), "not even the filter reaches over the middle"


def test_manifests_agree_with_the_lists() -> None:
    assert {d.name for d in datasets().values() if d.embedded and d.task == "translation"} == set(NAMES)
    assert set(domains._MAKERS) == set(NAMES)
    for split in domains.SPLITS:
        for name, parts in (("photos-clear2hazy", domains.divide(photos.split(split))),
                            ("photos-hazy2clear", domains.divide(photos.split(split))[::-1])):
            expected = {side: 2 * len(part) for side, part in zip("ab", parts, strict=True)}
            assert get_dataset(name).splits[split] == expected
        expected = {"a": len(photos.objects("animals", split)), "b": len(photos.objects("things", split))}
        assert get_dataset("photos-animals2things").splits[split] == expected
        assert get_dataset("photos-labels2photo").splits[split] == {"pairs": 2 * len(photos.split(split))}


def test_no_photo_and_no_place_is_in_two_domains() -> None:
    for split in domains.SPLITS:
        a, b = domains.divide(photos.split(split))
        assert sorted([*a, *b], key=int) == photos.split(split) and len(a) == len(b)
        for place, members in photos.lists()["scenes"].items():
            assert not ({*map(str, members)} & {*a} and {*map(str, members)} & {*b}), place


def test_every_object_is_told_once() -> None:
    content = photos.lists()["objects"]
    told = [*content["animals"]["all"], *content["things"]["all"], *content["excluded"]]
    assert sorted(told) == list(range(100))
    for kind in ("animals", "things"):
        parts = [photos.objects(kind, split) for split in domains.SPLITS]
        assert sorted(int(n) for part in parts for n in part) == sorted(content[kind]["all"])
        assert all(parts) and len(parts[2]) >= 16


@pytest.mark.usefixtures("few")
def test_labels_are_the_rule_and_the_rule_is_what_is_written(tmp_path: Path) -> None:
    folder = prepare.prepare("photos-labels2photo", tmp_path / "labels")
    test = open_domains("photos-labels2photo", "test", folder)
    assert test.aligned and test.a.names == test.b.names
    made = json.loads((folder / "made.json").read_text())
    for index, photo in enumerate(test.b):
        label, ambiguous = decode(test.a[index])
        assert ambiguous == 0 and np.array_equal(label, test.label(index))
        assert np.array_equal(label, domains.label_by_rule(photo))
        shares = {k: v for k, v in made[f"test/{test.a.names[index]}.png"].items() if k != "photo"}
        assert shares == {CLASSES[i]: round(float((label == i).mean()), 4) for i in np.unique(label)}


@pytest.mark.parametrize(("colour", "row", "name"), [
    ((235, 235, 235), 5, "sky"), ((120, 116, 112), 40, "building"), ((105, 105, 105), 120, "road"),
    ((175, 175, 175), 115, "sidewalk"), ((100, 125, 50), 45, "vegetation"), ((95, 95, 40), 118, "terrain")])
def test_rule_on_plain_colours(colour: tuple[int, int, int], row: int, name: str) -> None:
    plain = np.full((128, 128, 3), colour, np.uint8)
    assert {CLASSES[i] for i in domains.label_by_rule(plain)[row]} == {name}


def test_rule_knows_no_neighbours_but_those_of_the_blur() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    changed = image.copy()
    changed[:, 50:] = 0
    assert np.array_equal(domains.label_by_rule(image)[:, :40], domains.label_by_rule(changed)[:, :40])


def test_whole_dataset_is_as_its_manifest_says(tmp_path: Path) -> None:
    folder = prepare.prepare("photos-animals2things", tmp_path / "whole")
    assert verify("photos-animals2things", folder).complete
    hashes = {pixel_hash([("", image)]) for split in domains.SPLITS
              for d in [open_domains("photos-animals2things", split, folder)] for side in (d.a, d.b) for image in side}
    assert len(hashes) == 98, "no picture is there twice"
    (folder / "testB" / "7.png").unlink()
    with pytest.raises(UserError, match="made, not downloaded"):
        register("photos-animals2things", folder)
    problems = verify("photos-animals2things", folder).problems
    advice = "run `reprolib data prepare photos-animals2things`"
    assert problems == [f"testB has 15 pictures where 16 are expected; {advice}"]
