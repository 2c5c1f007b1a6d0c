"""The identity of data: it moves with names and contents and with nothing else, and damaged memories cost time only."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from reprolib.data import identity
from reprolib.data.identity import KEPT, Identity, dataset_identity, explain, file_identity, identify, join
from reprolib.data.images import write_png
from reprolib.errors import UserError

LONG_AGO = 1_000_000_000


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    return tmp_path


@pytest.fixture
def pairs(here: Path) -> Path:
    """NH-HAZE's scenes 44 and 51 to 55, tiny."""
    for n in (44, *range(51, 56)):
        for side, value in (("hazy", 200), ("GT", 3)):
            settle(picture(here / "nh" / f"{n}_{side}.png", value + n % 7))
    return here / "nh"


def picture(path: Path, value: int) -> Path:
    write_png(path, np.full((6, 8, 3), value, np.uint8))
    return path


def settle(path: Path) -> Path:
    """As if it had been there for years."""
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def rewrite(path: Path, content: bytes) -> None:
    """Other contents under the old date, once the file system's clock has moved on."""
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        path.write_bytes(content)
        settle(path)


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose contents are read from now on."""
    names: list[str] = []
    original = identity._digest

    def noted(path: Path) -> str:
        names.append(path.name)
        return original(path)

    monkeypatch.setattr(identity, "_digest", noted)
    return names


def test_names_and_contents_count_and_nothing_else(here: Path) -> None:
    a, b = picture(here / "1.png", 1), picture(here / "2.png", 2)
    first = identify([("a", a), ("b", b)])
    assert first.n == 2 and len(first.digest) == 16
    assert identify([("b", b), ("a", a)]).digest == first.digest, "order"
    settle(a)
    assert identify([("a", a), ("b", b)]).digest == first.digest, "dates"
    shutil.copytree(here, here / "elsewhere", ignore=shutil.ignore_patterns("elsewhere", "runs"))
    assert identify([("a", here / "elsewhere/1.png"), ("b", here / "elsewhere/2.png")]).digest == first.digest, "place"
    others = [identify([("a", b), ("b", a)]), identify([("a", a), ("c", b)]), identify([("a", a)]), identify([])]
    assert len({first.digest, *(o.digest for o in others)}) == 5


def test_line_ends_of_text_do_not_count_and_those_of_pictures_do(here: Path) -> None:
    (here / "a.yaml").write_bytes(b"x: 1\ny: 2\n")
    (here / "b.yaml").write_bytes(b"x: 1\r\ny: 2\r\n")
    (here / "a.png").write_bytes(b"\x89PNG\n")
    (here / "b.png").write_bytes(b"\x89PNG\r\n")

    def digest(name: str) -> str:
        return identify([("file", here / name)]).digest

    assert digest("a.yaml") == digest("b.yaml") and digest("a.png") != digest("b.png")


def test_files_are_read_again_only_where_they_moved(pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = reads(monkeypatch)
    first = dataset_identity("nh-haze", "test", pairs)
    assert len(read) == first.n == 10
    read.clear()
    assert dataset_identity("nh-haze", "test", pairs).digest == first.digest and not read
    settle(picture(pairs / "52_GT.png", 99))
    second = dataset_identity("nh-haze", "test", pairs)
    assert read == ["52_GT.png"] and second.digest != first.digest
    assert explain(first, second) == "1 file changed (clear/52_GT.png)"


def test_new_contents_under_the_old_size_and_date_are_seen(here: Path) -> None:
    """`cp -p` sets the old date again; uncompressed pictures all have one size."""
    path = here / "1.bmp"
    path.write_bytes(b"old")
    old = file_identity(settle(path))
    rewrite(path, b"new")
    assert file_identity(path).digest != old.digest


def test_a_file_changed_just_now_is_not_remembered(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = here / "1.png"
    path.write_bytes(b"x")
    monkeypatch.setattr(identity, "_place", lambda folder: here / "memory.json")
    os.utime(path, (LONG_AGO, LONG_AGO))
    monkeypatch.setattr(identity.time, "time", lambda: LONG_AGO + 0.5)
    file_identity(path)
    assert not (here / "memory.json").exists()
    monkeypatch.setattr(identity.time, "time", lambda: LONG_AGO + 60.0)
    file_identity(path)
    assert (here / "memory.json").exists()


def test_a_file_changed_while_it_is_read_is_not_remembered(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = settle(picture(here / "1.png", 1))
    original = identity._digest

    def changed_meanwhile(path: Path) -> str:
        digest = original(path)
        rewrite(path, b"other")
        return digest

    monkeypatch.setattr(identity, "_digest", changed_meanwhile)
    before = file_identity(path)
    monkeypatch.setattr(identity, "_digest", original)
    assert file_identity(path).digest != before.digest


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"folder": 1}', b'{"files": {"1.png": 3}}', b"\xff\xfe"])
def test_kind_11_damaged_memory_is_made_again(pairs: Path, damage: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    first = dataset_identity("nh-haze", "test", pairs)
    (memory,) = KEPT.iterdir()
    memory.write_bytes(damage)
    read = reads(monkeypatch)
    assert dataset_identity("nh-haze", "test", pairs).digest == first.digest and len(read) == 10
    read.clear()
    assert dataset_identity("nh-haze", "test", pairs).digest == first.digest and not read


def test_what_a_killed_process_left_is_swept(pairs: Path) -> None:
    picture = [("one", next(pairs.rglob("*.png")))]
    before = identify(picture)
    leftover = KEPT / ".0ef429298f56dcaf.json.hi99vx3g"
    leftover.parent.mkdir(parents=True, exist_ok=True)
    leftover.write_text("half")
    assert identify(picture) == before and not leftover.exists()


def test_memory_of_another_folder_is_not_believed(here: Path) -> None:
    old, new = settle(picture(here / "old" / "1.png", 1)), settle(picture(here / "new" / "1.png", 2))
    file_identity(old)
    (memory,) = KEPT.iterdir()
    memory.rename(identity._place(new.parent))
    expected = identify([("x", here / "new" / "1.png")])
    shutil.rmtree(KEPT)
    assert identify([("x", new)]).digest == expected.digest


def test_a_place_that_cannot_be_written_costs_time_only(pairs: Path) -> None:
    first = dataset_identity("nh-haze", "test", pairs)
    shutil.rmtree("runs")
    Path("runs").write_text("a file where the folder should be")
    assert dataset_identity("nh-haze", "test", pairs).digest == first.digest


def test_several_at_once_agree(pairs: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = {i.digest for i in pool.map(lambda _: dataset_identity("nh-haze", "test", pairs), range(16))}
    assert len(found) == 1 and found == {dataset_identity("nh-haze", "test", pairs).digest}


def test_one_memory_serves_all_splits_of_a_folder(pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset_identity("nh-haze", "test", pairs)
    dataset_identity("nh-haze", "val", pairs)
    read = reads(monkeypatch)
    whole = dataset_identity("nh-haze", None, pairs)
    assert not read
    assert {n.split("/")[0] for n in whole.files} == {"val", "test", "test-51-55"}, "what is not here is left out"


def test_a_limit_is_another_identity(pairs: Path) -> None:
    assert dataset_identity("nh-haze", "test", pairs, limit=3).n == 6


def test_two_domains_and_aligned_files(here: Path) -> None:
    for i in range(4):
        for folder in ("trainA", "trainB"):
            picture(here / "h2z" / folder / f"{i}.png", i)
        write_png(here / "city" / "train" / f"{i}.png", np.zeros((16, 32, 3), np.uint8))
    assert set(dataset_identity("horse2zebra", "train", here / "h2z").files) \
        == {f"{d}/{i}.png" for d, kept in (("a", (0, 1, 3)), ("b", (0, 1, 3))) for i in kept}
    assert set(dataset_identity("cityscapes", "train", here / "city").files) == {"ab/0.png", "ab/1.png", "ab/3.png"}


def test_kind_34_what_changed_is_one_line() -> None:
    old = Identity({f"hazy/{i}.png": "0" for i in range(10)})
    new = Identity({**{f"hazy/{i}.png": "1" for i in range(4)}, "odd\nname\udcff.png": "0"})
    assert explain(old, old) == "" and explain(Identity(), Identity()) == ""
    assert explain(old, new) == ("1 file added (odd?name?.png), 6 removed (hazy/4.png, hazy/5.png, hazy/6.png, ...), "
                                 "4 changed (hazy/0.png, hazy/1.png, hazy/2.png, ...)")
    assert explain(Identity(dict(old.files)), old) == "", "a stored listing compares equal"


def test_parts_keep_their_names_apart() -> None:
    one = Identity({"1.png": "0"})
    both = join({"train": one, "val": one})
    assert set(both.files) == {"train/1.png", "val/1.png"}


def test_missing_files_are_told_in_one_line(here: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file.*vgg16.safetensors"):
        file_identity(Path("weights/vgg16.safetensors"))
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        file_identity(here)
    with pytest.raises(UserError, match="no such folder"):
        dataset_identity("nh-haze", None, here / "gone")
    with pytest.raises(ValueError, match="one name for two files"):
        identify([("x", here / "1"), ("x", here / "2")])


@pytest.mark.parametrize("name", ["[x].png", "$HOME.png", "a\nb.png", "\udcff.png", "ü.png"])
def test_odd_names(here: Path, name: str) -> None:
    path = here / name
    try:
        settle(picture(path, 1))
    except OSError:
        pytest.skip("this file system does not take such a name")
    first = file_identity(path)
    assert file_identity(path).digest == first.digest
    assert "\n" not in explain(Identity(), first)
