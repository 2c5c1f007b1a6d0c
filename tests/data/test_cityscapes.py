"""pix2pix's form of Cityscapes out of the release, and out of CycleGAN's form."""

from __future__ import annotations

from pathlib import Path

import layouts
import numpy as np
import pytest

from reprolib.data.cityscapes import BY_ID, SIDE, make_cityscapes, paint_ids
from reprolib.data.images import read_rgb, write_png
from reprolib.data.labels import CLASSES, COLOURS, VOID, decode, encode
from reprolib.data.notes import note_of
from reprolib.data.unpaired import open_domains
from reprolib.data.verify import verify
from reprolib.errors import UserError

SCORED = {7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
          20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car",
          27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle"}
"""Label ids of the classes that are scored."""


def grey(path: Path, values_HW: np.ndarray) -> None:
    write_png(path, np.repeat(values_HW[..., None], 3, axis=2))


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Two photos to train on and one to test on, 80x40, with the ids of a street."""
    ids = np.array([{name: i for i, name in SCORED.items()}[name] for name in CLASSES], np.uint8)
    for seed, (split, city) in enumerate((("train", "aachen"), ("train", "zurich"), ("val", "lindau"))):
        name = f"{city}_000000_{seed:06}"
        write_png(tmp_path / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png",
                  layouts.landscape(seed, (80, 40)))
        grey(tmp_path / "gtFine" / split / city / f"{name}_gtFine_labelIds.png", ids[layouts.street(seed, (80, 40))])
    return tmp_path


def test_kind_33_label_ids_have_the_colours_of_the_public_table() -> None:
    ids = np.arange(34, dtype=np.uint8)[None]
    labels, ambiguous = decode(paint_ids(ids))
    expected = [CLASSES.index(SCORED[i]) if i in SCORED else VOID for i in range(34)]
    expected[18] = CLASSES.index("pole")  # pole groups have the colour of poles
    assert labels[0].tolist() == expected and ambiguous == 0 and BY_ID.shape == (34, 3)
    assert tuple(paint_ids(np.array([[255]], np.uint8))[0, 0]) == COLOURS["car"], "number plates"
    with pytest.raises(ValueError, match="34 is no label id"):
        paint_ids(np.array([[34]], np.uint8))


def test_kind_33_cityscapes_out_of_the_release(release: Path, tmp_path: Path) -> None:
    out = make_cityscapes(release, tmp_path / "made")
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.png")) == [
        "train/aachen_000000_000000.png", "train/zurich_000000_000001.png", "val/lindau_000000_000002.png"]
    test = open_domains("cityscapes", "test", out)
    assert test.a[0].shape == test.b[0].shape == (SIDE, SIDE, 3)
    street = layouts.street(2, (80, 40))
    assert np.array_equal(test.label(0)[::SIDE - 1, ::SIDE - 1], street[::39, ::79]), "corners"
    assert set(np.unique(test.label(0))) == set(np.unique(street)), "no colour is made up"
    assert "a sample: 3 of 3,475 pairs" in str(verify("cityscapes", out))
    assert note_of("cityscapes", out) == "made of leftImg8bit and gtFine, photos bicubic and maps nearest at 256x256"


def test_kind_33_cityscapes_out_of_cyclegans_folders(tmp_path: Path) -> None:
    source = tmp_path / "cyclegan"
    for seed, split in enumerate(("train", "train", "test")):
        write_png(source / f"{split}A" / f"{seed}_A.png", layouts.landscape(seed, (SIDE, SIDE)))
        write_png(source / f"{split}B" / f"{seed}_B.png", encode(layouts.street(seed, (SIDE, SIDE))))
    out = make_cityscapes(source, tmp_path / "made")
    made = read_rgb(out / "val" / "2.png")
    assert np.array_equal(made[:, :SIDE], layouts.landscape(2, (SIDE, SIDE))), "the photo stands left"
    assert np.array_equal(open_domains("cityscapes", "test", out).label(0), layouts.street(2, (SIDE, SIDE)))


def test_making_goes_on_and_harms_nothing(release: Path, tmp_path: Path) -> None:
    out = make_cityscapes(release, tmp_path / "made")
    before = {p: p.read_bytes() for p in out.rglob("*.png")}
    first = next(iter(before))
    first.unlink()
    make_cityscapes(release, out)
    assert {p: p.read_bytes() for p in out.rglob("*.png")} == before
    with pytest.raises(UserError, match="holds something else"):
        make_cityscapes(release, release)


def test_what_is_no_cityscapes(release: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no photos of Cityscapes here.*leftImg8bit"):
        make_cityscapes(tmp_path / "gtFine", tmp_path / "none")
    (label,) = release.glob("gtFine/val/*/*.png")
    grey(label, np.full((40, 80), 77, np.uint8))
    with pytest.raises(UserError, match="77 is no label id of Cityscapes .*lindau.*labelIds"):
        make_cityscapes(release, tmp_path / "made")
    grey(label, np.zeros((20, 80), np.uint8))
    with pytest.raises(UserError, match="differ in size"):
        make_cityscapes(release, tmp_path / "made")
    label.unlink()
    with pytest.raises(UserError, match="1 photo has no label map: lindau"):
        make_cityscapes(release, tmp_path / "other")
    assert not (tmp_path / "other").exists()
