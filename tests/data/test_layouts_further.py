"""Layouts of O-HAZE, I-HAZE, RESIDE OTS, Haze4K and RESIDE-6K: opened, divided and checked as released."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import layouts
import pytest

from reprolib.data.images import write_image
from reprolib.data.paired import open_split
from reprolib.data.verify import verify
from reprolib.errors import UserError


def lay_out(folder: Path, names: Iterable[tuple[str, str]]) -> Path:
    """Pairs of a hazy and a clear file."""
    for seed, (hazy, clear) in enumerate(names):
        picture = layouts.landscape(seed, (40, 32))
        for path, image in ((folder / hazy, layouts.under_haze(picture, 2, 0.9)), (folder / clear, picture)):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, image)
    return folder


@pytest.mark.parametrize(("name", "place", "n", "counts"), [
    ("o-haze", "outdoor", 45, (35, 5, 5)), ("i-haze", "indoor", 35, (25, 5, 5))])
def test_kind_33_hazy_and_gt_of_the_challenge(tmp_path: Path, name: str, place: str, n: int,
                                              counts: tuple[int, ...]) -> None:
    root = lay_out(tmp_path, ((f"hazy/{i:02}_{place}_hazy.jpg", f"GT/{i:02}_{place}_GT.jpg") for i in range(1, n + 1)))
    assert tuple(len(open_split(name, split, root)) for split in ("train", "val", "test")) == counts
    assert verify(name, root).complete
    (root / "hazy" / f"{n}_{place}_hazy.jpg").unlink()
    assert "(test: 4 of 5)" in str(verify(name, root))


def test_kind_33_outdoor_training_set(tmp_path: Path) -> None:
    scenes = (5, 25, 8960, 8970, 9100)
    root = lay_out(tmp_path, ((f"hazy/{i:04}_{a}_0.04.jpg", f"clear/{i:04}.jpg") for i in scenes for a in (0.8, 0.95)))
    assert [len(open_split("reside-ots", split, root)) for split in ("train", "val")] == [6, 4]
    report = verify("reside-ots", root)
    assert "a sample: 10 of 313,950 pairs" in str(report) and not report.problems


@pytest.mark.parametrize(("name", "hazy", "clear"), [
    ("haze4k", "hazy/{}_0.68_0.66.png", "gt/{}.png"), ("reside-6k", "hazy/{}.jpg", "GT/{}.jpg")])
def test_kind_33_folders_of_splits(tmp_path: Path, name: str, hazy: str, clear: str) -> None:
    root = lay_out(tmp_path, ((f"{split}/{hazy.format(i)}", f"{split}/{clear.format(i)}")
                              for split, n in (("train", 4), ("test", 2)) for i in range(1, n + 1)))
    assert [len(open_split(name, split, root)) for split in ("train", "test")] == [4, 2]
    whole = "3,000" if name == "haze4k" else "6,000"
    assert f"(train: 4 of {whole}, test: 2 of 1,000)" in str(verify(name, root)) and not verify(name, root).problems
    with pytest.raises(UserError, match="no pairs here"):
        open_split(name, "val", root)
    (root / "val").mkdir()
    for side in ("hazy", clear.partition("/")[0]):
        (root / "val" / side).mkdir()
        moved = sorted((root / "train" / side).iterdir())[-1]
        moved.replace(root / "val" / side / moved.name)
    assert [len(open_split(name, split, root)) for split in ("train", "val", "test")] == [3, 1, 2]
