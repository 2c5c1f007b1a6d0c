"""Manifests, and where a dataset is looked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reprolib.data import photos
from reprolib.data.prepare import VARIANTS
from reprolib.data.registry import REGISTERED, datasets, get_dataset, locate
from reprolib.errors import UserError

PAIRS = {"haze-homogeneous", "haze-dense", "haze-nonhomogeneous"}
EMBEDDED = PAIRS | {"motorcycle", "street-haze"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    return tmp_path


def test_embedded_datasets_to_dehaze_are_those_that_are_made() -> None:
    dehazing = {d.name for d in datasets().values() if d.task == "dehazing"}
    assert list(datasets()) == sorted(datasets())
    assert {d.name for d in datasets().values() if d.embedded} & dehazing == EMBEDDED


def test_what_the_releases_hold() -> None:
    its, indoor = get_dataset("reside-its"), get_dataset("sots-indoor")
    assert (its.pairs, its.scenes) == (13990, 1399) and (indoor.pairs, indoor.scenes) == (500, 50)
    assert its.border == indoor.border == 10 and its.size == indoor.size == (620, 460)
    for name in ("dense-haze", "nh-haze"):
        d = get_dataset(name)
        assert (d.pairs, d.scenes, d.size, d.border) == (55, 55, (1600, 1200), 0)
        ids = {s: tuple(c["ids"]) for s, c in d.splits.items()}
        assert ids["test-46-50"] == (46, 50) and ids["test-51-55"] == ids["test"] == (51, 55)
        assert (ids["train"], ids["val"]) == ((1, 42), (43, 45)), "the published train split 1-45, three of it held out"


def test_kind_33_further_real_datasets() -> None:
    ohaze, ihaze, ots = (get_dataset(name) for name in ("o-haze", "i-haze", "reside-ots"))
    assert (ohaze.pairs, ihaze.pairs) == (45, 35) and ots.pairs == 35 * (ots.scenes or 0) == 313_950
    assert (ohaze.splits["test"]["ids"], ihaze.splits["test"]["ids"]) == ([41, 45], [31, 35])
    assert "pairs" not in ots.splits["train"], "not known, and not invented"
    for name, train, test in (("haze4k", 3000, 1000), ("reside-6k", 6000, 1000)):
        splits = get_dataset(name).splits
        assert (splits["train"]["pairs"], splits["test"]["pairs"]) == (train, test) and not splits["val"]


def test_splits_of_numbered_scenes_do_not_overlap_and_add_up() -> None:
    for d in datasets().values():
        ids = {s: range(c["ids"][0], c["ids"][1] + 1) for s, c in d.splits.items() if "ids" in c}
        if not ids or d.scenes is None or d.pairs is None or any("pairs" not in c for c in d.splits.values()):
            continue
        apart = {tuple(r) for r in ids.values()}  # two names for one split are one
        assert sum(map(len, apart)) == len(set().union(*apart)) == d.scenes
        assert all(d.splits[s]["pairs"] == len(r) * d.pairs // d.scenes for s, r in ids.items())


def test_embedded_manifests_agree_with_the_photo_lists() -> None:
    for name in PAIRS:
        splits = {s: c["pairs"] for s, c in get_dataset(name).splits.items()}
        assert splits == {s: len(photos.split(s)) * VARIANTS[s] for s in VARIANTS}
        assert get_dataset(name).note == "synthetic haze, assumed depth"
        width, height = get_dataset(name).size or (0, 0)
        assert width * photos.SIZE[1] == height * photos.SIZE[0] > 0, "nothing is stretched"
    assert "true depth" in get_dataset("motorcycle").note


def test_every_manifest_says_what_a_person_needs() -> None:
    for d in datasets().values():
        assert d.title and d.licence and d.citation and d.splits
        assert (d.embedded or d.kind == "scenes") == bool(d.note) and (d.embedded or d.parts or d.hint)


def test_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'sots-indoor'"):
        get_dataset("sots_indor")


def test_order_in_which_places_are_asked(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="reprolib data register nh-haze PATH"):
        locate("nh-haze")
    with pytest.raises(UserError, match="reprolib data prepare haze-dense"):
        locate("haze-dense")
    places = [here / "data" / "nh-haze", here / "env" / "data" / "nh-haze", here / "registered", here / "root"]
    for place in places:
        place.mkdir(parents=True)
    assert locate("nh-haze").resolve() == places[0]
    monkeypatch.setenv("REPROLIB_DATA", str(here / "env"))
    assert locate("nh-haze") == places[1]
    REGISTERED.parent.mkdir()
    REGISTERED.write_text(json.dumps({"nh-haze": str(places[2])}))
    assert locate("nh-haze") == places[2]
    assert locate("nh-haze", places[3]) == places[3]


def test_places_that_have_gone(here: Path) -> None:
    with pytest.raises(UserError, match="no such folder.*gone"):
        locate("nh-haze", here / "gone")
    REGISTERED.parent.mkdir()
    REGISTERED.write_text(json.dumps({"nh-haze": str(here / "gone")}))
    with pytest.raises(UserError, match="registered folder of 'nh-haze' has gone"):
        locate("nh-haze")
    REGISTERED.write_text("{")
    with pytest.raises(UserError, match="datasets.json.*delete it"):
        locate("nh-haze")


def test_listing_datasets_loads_nothing_heavy() -> None:
    code = "import sys; import reprolib.data.registry as r; r.datasets(); print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
