"""Folders of one's own pictures, without a manifest."""

from __future__ import annotations

from pathlib import Path

import layouts
import pytest

from reprolib.data.identity import dataset_identity
from reprolib.data.images import write_png
from reprolib.data.leakage import leaks
from reprolib.data.notes import note_of, sample_note, training_note
from reprolib.data.paired import open_split
from reprolib.data.registry import get_dataset, own_dataset
from reprolib.data.unpaired import open_domains
from reprolib.errors import UserError
from reprolib.runs.profile import find


@pytest.fixture
def own(tmp_path: Path) -> str:
    """45 scenes, two hazy versions each, in folders with a comma and a sign of equality in their names."""
    hazy, clear = tmp_path / "my, hazy=", tmp_path / "clear"
    for scene in range(45):
        picture = layouts.landscape(scene, (24, 20))
        write_png(clear / f"{scene}.png", picture)
        for version in (1, 2):
            write_png(hazy / f"{scene}_{version}.png", layouts.under_haze(picture, version, 0.9))
    return f"hazy={hazy},clear={clear}"


def test_kind_33_own_pairs_are_divided_by_scene(own: str) -> None:
    """One scene in 20 validates, all of its hazy pictures with it; measuring takes them all."""
    train, val, whole = (open_split(own, split).names for split in ("train", "val", "all"))
    assert val == ["11_1", "11_2", "33_1", "33_2"] and len(whole) == 90
    assert sorted(train + val) == sorted(whole) and not set(train) & set(val)
    assert leaks(own, own) == [], "nothing is held against the whole"


def test_kind_33_own_domains(tmp_path: Path) -> None:
    for side, n in (("a", 40), ("b", 5)):
        for i in range(n):
            write_png(tmp_path / side / f"{i}.png", layouts.landscape(1000 * len(side) + i + 50 * n, (24, 20)))
    name = f"b={tmp_path / 'b'},a={tmp_path / 'a'}"
    train, val, whole = (open_domains(name, split) for split in ("train", "val", "all"))
    assert [(len(d.a), len(d.b)) for d in (train, val, whole)] == [(38, 4), (2, 1), (40, 5)]
    assert not whole.aligned and open_domains(name, "all", limit=3).a.names == ["0", "1", "2"]


def test_kind_33_what_is_said_of_own_pictures(own: str) -> None:
    assert note_of(own) == "own pictures" and sample_note(own, "all", 3) == ""
    assert training_note(own) == "one picture in 20 (32 at most) held out of training for validation"
    assert dataset_identity(own, "train").n == 86 + 43


def test_kind_33_one_name_from_wherever_it_is_given(own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert get_dataset("clear=clear,hazy=my, hazy=").name == get_dataset(own).name == own
    assert own_dataset("nh-haze") is None is own_dataset("hazy=x,b=y")


@pytest.mark.parametrize(("name", "said"), [
    ("hazy=/nowhere,clear=.", "no such folder"), ("hazy=.,claer=.", "hazy=.,claer=."), ("a=.,b=/nowhere", "b=DIR")])
def test_folders_that_are_none(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        get_dataset(name)


def test_pictures_that_cannot_be_divided_or_paired(tmp_path: Path) -> None:
    for name in ("hazy/1_1", "hazy/1_2", "clear/1"):
        write_png(tmp_path / f"{name}.png", layouts.landscape(1, (24, 20)))
    own = f"hazy={tmp_path / 'hazy'},clear={tmp_path / 'clear'}"
    with pytest.raises(UserError, match="a single scene cannot be divided"):
        open_split(own, "train")
    write_png(tmp_path / "hazy" / "2.png", layouts.landscape(1, (24, 20)))
    with pytest.raises(UserError, match="1 hazy picture has no clear one: 2.png"):
        open_split(own, "all")


def test_kind_33_a_run_on_own_pictures(own: str, project: Path) -> None:
    run = find("mini", "aodnet", own, project)
    assert (run.name, run.dataset, run.own) == ("aodnet-on-own-pictures", own, False)
    with pytest.raises(UserError, match="is a dataset of dehazing, cut a system of translation"):
        find("mini", "cut", own, project)
