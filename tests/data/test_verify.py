"""Wrong releases, wrong folders and damaged files are told in words; nothing wrong is registered."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from reprolib.data import registry
from reprolib.data.content import spread
from reprolib.data.images import write_png
from reprolib.data.registry import REGISTERED, locate
from reprolib.data.verify import register, verify
from reprolib.errors import UserError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    return tmp_path


@pytest.fixture
def tiny(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SOTS indoor as if it had three scenes of two pictures, 24x16 with a border of 10, and a folder that has them."""
    splits = {"test": {"pairs": 6, "ids": [1400, 1402]}}
    small = dataclasses.replace(registry.get_dataset("sots-indoor"), pairs=6, scenes=3, size=(24, 16), splits=splits)
    everything = {**registry.datasets(), "sots-indoor": small}
    monkeypatch.setattr(registry, "datasets", lambda: everything)
    for n in (1400, 1401, 1402):
        write_png(here / "sots" / "clear" / f"{n}.png", np.zeros((36, 44, 3), np.uint8))
        for v in (1, 2):
            write_png(here / "sots" / "hazy" / f"{n}_{v}.png", np.full((16, 24, 3), 200, np.uint8))
    return here / "sots"


def touch(folder: Path, scenes: int, versions: int) -> None:
    """The names of ITS without pictures."""
    for side in ("clear", "hazy"):
        (folder / side).mkdir(parents=True, exist_ok=True)
    for n in range(1, scenes + 1):
        names = [f"{folder}/clear/{n}.png", *(f"{folder}/hazy/{n}_{v}_0.90179.png" for v in range(1, versions + 1))]
        for name in names:
            open(name, "w").close()  # thousands of times; pathlib would take three times as long


def test_its_of_the_other_release_is_refused_in_words(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(here / "ITS", 1399, 10)
    counted = verify("reside-its", here / "ITS")
    assert counted.counts == {"hazy": 13990, "clear": 1399, "pairs": 13990}
    assert counted.problems and all("not a picture" in p for p in counted.problems), "right counts, but empty files"
    (here / "ITS" / "hazy" / "1_11_0.5.png").touch()
    monkeypatch.delattr("reprolib.data.verify.read_size")  # counting 100,000 pictures must open none of them
    with pytest.raises(UserError) as caught:
        register("reside-its", here / "ITS")
    words = str(caught.value)
    assert "13,991 hazy pictures where 13,990 are expected: most likely the ITS of RESIDE-v0" in words
    assert "this is not RESIDE ITS" in words and "expected is the ITS of RESIDE-standard" in words
    assert "not a picture" not in words and not REGISTERED.exists()


def test_whole_dataset_is_registered_and_found(tiny: Path) -> None:
    report = register("sots-indoor", Path("sots"))
    assert report.complete and not report.problems and "complete: 6 pairs" in str(report)
    assert json.loads(REGISTERED.read_text()) == {"sots-indoor": str(tiny)}
    assert locate("sots-indoor") == tiny
    assert verify("sots-indoor").complete


def test_registering_keeps_what_was_registered(tiny: Path) -> None:
    REGISTERED.parent.mkdir()
    REGISTERED.write_text(json.dumps({"nh-haze": "/elsewhere"}))
    register("sots-indoor", tiny)
    assert json.loads(REGISTERED.read_text()) == {"nh-haze": "/elsewhere", "sots-indoor": str(tiny)}


def test_sample_is_reported_but_not_registered(tiny: Path) -> None:
    (tiny / "hazy" / "1402_2.png").unlink()
    report = verify("sots-indoor", tiny)
    assert not report.complete and not report.problems
    assert "a sample: 5 of 6 pairs" in str(report)
    with pytest.raises(UserError, match="a sample: 5 of 6 pairs.*--root"):
        register("sots-indoor", tiny)
    assert not REGISTERED.exists()


def test_every_fault_is_named(tiny: Path) -> None:
    def sole_problem(full: bool = False) -> str:
        problems = verify("sots-indoor", tiny, full=full).problems
        assert len(problems) == 1, problems
        return problems[0]

    def restore() -> None:
        write_png(tiny / "hazy" / "1401_1.png", np.full((16, 24, 3), 200, np.uint8))
        write_png(tiny / "clear" / "1401.png", np.zeros((36, 44, 3), np.uint8))

    path = tiny / "hazy" / "1401_1.png"
    path.write_bytes(path.read_bytes()[:50])
    assert "1401_1.png" in sole_problem() and "truncated" in sole_problem()
    restore()
    write_png(tiny / "clear" / "1401.png", np.zeros((36, 45, 3), np.uint8))
    problems = verify("sots-indoor", tiny).problems
    assert len(problems) == 2 and all("1401.png is 45x36, which does not match" in p for p in problems)
    restore()
    path.rename(tiny / "hazy" / "1401_3.png")
    (tiny / "hazy" / "1401_3.png").rename(tiny / "hazy" / "1400_3.png")
    assert "2 scenes without 2 hazy pictures each: 1400.png, 1401.png" in sole_problem()
    (tiny / "hazy" / "1400_3.png").unlink()
    restore()
    (tiny / "clear" / "1401.png").unlink()
    assert any("2 hazy pictures have no clear one: 1401_1.png, 1401_2.png" in p
               for p in verify("sots-indoor", tiny).problems)
    restore()
    write_png(tiny / "hazy" / "77_1.png", np.zeros((16, 24, 3), np.uint8))
    write_png(tiny / "clear" / "77.png", np.zeros((36, 44, 3), np.uint8))
    words = " ".join(verify("sots-indoor", tiny).problems)
    assert "7 hazy pictures where 6 are expected" in words
    assert "1 hazy picture is not of scenes 1400 to 1402: 77_1.png" in words


def test_wrong_picture_size(tiny: Path) -> None:
    write_png(tiny / "hazy" / "1400_1.png", np.zeros((36, 44, 3), np.uint8))
    assert "1400_1.png is 44x36 instead of 24x16" in verify("sots-indoor", tiny).problems[0]


def test_folder_above_the_right_one(tiny: Path) -> None:
    tiny.rename(tiny.parent / "indoor")
    (tiny.parent / "aaa" / "hazy").mkdir(parents=True)
    with pytest.raises(UserError, match="no pairs here.*did you mean .*indoor"):
        register("sots-indoor", tiny.parent)
    with pytest.raises(UserError, match="no such folder"):
        register("sots-indoor", tiny.parent / "gone")


def test_only_a_full_check_opens_every_picture(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = {"test": {"pairs": 60}}
    small = dataclasses.replace(registry.get_dataset("sots-outdoor"), pairs=60, splits=splits)
    monkeypatch.setattr(registry, "datasets", lambda: {"sots-outdoor": small})
    for n in range(60):
        for path, value in ((here / "o" / "hazy" / f"{n}_1.png", 200), (here / "o" / "clear" / f"{n}.png", 0)):
            write_png(path, np.full((4, 4, 3), value, np.uint8))
    (here / "o" / "hazy" / "1_1.png").write_bytes(b"")
    assert verify("sots-outdoor", here / "o").opened == 20
    assert verify("sots-outdoor", here / "o").complete, "the damaged one is not among those opened"
    assert "1_1.png" in verify("sots-outdoor", here / "o", full=True).problems[0]


def test_embedded_datasets_are_not_registered(here: Path) -> None:
    with pytest.raises(UserError, match="reprolib data prepare motorcycle"):
        register("motorcycle", here)
    assert any("reprolib data prepare motorcycle" in p for p in verify("motorcycle", here).problems)


def test_spread_takes_both_ends() -> None:
    assert spread(range(5), 20) == [0, 1, 2, 3, 4]
    taken = spread(range(1000), 20)
    assert len(set(taken)) == 20 and taken[0] == 0 and taken[-1] == 999


def test_samples_beside_the_project(shared: Path) -> None:
    for name, found in (("sots-indoor", "120 of 500"), ("sots-outdoor", "20 of 500"), ("dense-haze", "2 of 55")):
        report = verify(name, shared / "data" / name)
        assert not report.problems and f"a sample: {found} pairs" in str(report)
