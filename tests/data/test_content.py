"""Mistakes that only the pictures give away: each is refused by name, and no real layout is."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from layouts import LAYOUTS, install, landscape, under_haze
from PIL import Image

from reprolib.commands.main import run
from reprolib.commands.options import own_pictures
from reprolib.data import labels, registry
from reprolib.data.content import check_label_maps, is_hazier, second_names
from reprolib.data.images import read_rgb, write_png
from reprolib.data.labels import share_of_no_colour
from reprolib.data.paired import open_split
from reprolib.data.unpaired import open_domains
from reprolib.data.verify import count, verify
from reprolib.errors import UserError


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Tiny layouts, and manifests that do not mind the size."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    whole = {name: dataclasses.replace(d, size=None) for name, d in registry.datasets().items()}
    monkeypatch.setattr(registry, "datasets", lambda: whole)
    return install(tmp_path, n=5)


def sole_problem(name: str, full: bool = False) -> str:
    problems = verify(name, full=full).problems
    assert len(problems) == 1, problems
    return problems[0]


def test_layouts_are_samples_without_fault(places: dict[str, Path]) -> None:
    for name in LAYOUTS:
        report = verify(name, full=True)
        assert not report.problems and "a sample: " in str(report), str(report)


def test_kind_5_pairs_of_two_equal_pictures(places: dict[str, Path]) -> None:
    shutil.copy(places["nh-haze"] / "51_hazy.png", places["nh-haze"] / "51_GT.png")
    assert sole_problem("nh-haze") == "1 pair of two equal pictures, no haze between them: 51_hazy.png and 51_GT.png"
    root = places["sots-indoor"]
    hazy = read_rgb(root / "hazy" / "1400_1.png")
    write_png(root / "clear" / "1400.png", np.pad(hazy, ((10, 10), (10, 10), (0, 0))))
    assert sole_problem("sots-indoor").endswith(": 1400_1.png and 1400.png"), "under its border"


def test_kind_5_hazy_and_clear_swapped(places: dict[str, Path]) -> None:
    root = places["dense-haze"]
    for hazy in (root / "hazy").iterdir():
        clear = root / "GT" / hazy.name.replace("hazy", "GT")
        before = hazy.read_bytes()
        hazy.write_bytes(clear.read_bytes())
        clear.write_bytes(before)
    assert "hazy and clear look swapped: in 18 of 18 pairs the clear picture is" in sole_problem("dense-haze")


def test_kind_5_own_pictures_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    """Without a manifest: by `data verify`, and whenever they are given."""
    for scene in range(4):
        clear = landscape(scene, (24, 20))
        write_png(tmp_path / "clear" / f"{scene}.png", clear)
        write_png(tmp_path / "hazy" / f"{scene}.png", under_haze(clear, 1.0, 0.9))
    hazy, clear = f"hazy={tmp_path / 'hazy'}", f"clear={tmp_path / 'clear'}"
    swapped = f"hazy={tmp_path / 'clear'},clear={tmp_path / 'hazy'}"
    assert run(["data", "verify", f"{hazy},{clear}", "--full"]) == 0
    assert "complete: 4 pairs, 4 of them decoded" in capsys.readouterr().out
    assert run(["data", "verify", swapped]) == 1
    fault = "hazy and clear look swapped: in 4 of 4 pairs the clear picture is the brighter and flatter one"
    assert fault in capsys.readouterr().out
    own_pictures(swapped, None, None)
    assert capsys.readouterr().err == f"own pictures: {fault}\n"
    shutil.copy(tmp_path / "hazy" / "1.png", tmp_path / "clear" / "1.png")
    assert sole_problem(f"{hazy},{clear}").startswith("1 pair of two equal pictures, no haze between them: 1.png")
    (tmp_path / "hazy" / "9.png").write_bytes(b"<html>")
    assert "1 hazy picture has no clear one: 9.png" in sole_problem(f"{hazy},{clear}")
    domains = f"a={tmp_path / 'hazy'},b={tmp_path / 'clear'}"
    assert "not a picture but a web page" in sole_problem(domains)
    (tmp_path / "hazy" / "9.png").unlink()
    assert str(verify(domains)).endswith("complete: 8 pictures, 8 of them decoded without fault")
    for words in (["register", domains, str(tmp_path)], ["download", domains], ["prepare", domains],
                  ["verify", domains, "--root", str(tmp_path)]):
        assert run(["data", *words]) == 2
        assert "folders of own pictures" in capsys.readouterr().err


def test_kind_36_a_picture_under_two_names(places: dict[str, Path]) -> None:
    root = places["sots-indoor"] / "hazy"
    shutil.copy(root / "1400_1.png", root / "1400_1 (1).png")
    assert sole_problem("sots-indoor") == ("1400_1 (1).png is named like a second copy of 1400_1.png: take one of them "
                                           "away")
    (root / "1400_1 (1).png").rename(root / "1400_9.png")
    assert not verify("sots-indoor").problems, "contents are compared by the full check"
    assert sole_problem("sots-indoor", full=True) == ("1 picture twice in 'test': hazy/1400_9.png is hazy/1400_1.png "
                                                      "(the same bytes)")


@pytest.mark.parametrize(("name", "second"), [
    ("1400_1 (1)", True), ("1400_1(2)", True), ("1400_1 - Copy", True), ("1400_1 - Copy (3)", True),
    ("1400_1 copy 2", True), ("1400_1_copy", True), ("1400_2", False), ("1400_11", False), ("other (1)", False)])
def test_kind_36_names_of_second_copies(name: str, second: bool) -> None:
    files = [Path("1400_1.png"), Path(f"{name}.png")]
    assert bool(second_names(files)) == second


def test_kind_36_copies_across_splits(places: dict[str, Path]) -> None:
    root = places["nh-haze"]
    for kind in ("hazy", "GT"):
        shutil.copy(root / f"51_{kind}.png", root / f"02_{kind}.png")
    with Image.open(places["horse2zebra"] / "testA" / "n02381460_10.jpg") as image:
        image.resize((20, 16)).save(places["horse2zebra"] / "trainB" / "n02391049_1.jpg", quality=80)
    assert not verify("nh-haze").problems
    assert sole_problem("nh-haze", full=True) == (
        "2 pictures of 'train' in 'test' too: NH-HAZE/02_hazy.png is NH-HAZE/51_hazy.png (the same bytes), "
        "NH-HAZE/02_GT.png is NH-HAZE/51_GT.png (the same bytes)"), "'test-51-55' is 'test' by another name"
    assert "trainB/n02391049_1.jpg is testA/n02381460_10.jpg (re-encoded or resized)" \
        in sole_problem("horse2zebra", full=True)


def test_kind_35_less_of_a_split_than_its_manifest_has_is_said(places: dict[str, Path]) -> None:
    for scene in (54, 55):
        for kind in ("hazy", "GT"):
            (places["nh-haze"] / f"{scene}_{kind}.png").unlink()
    assert "test: 3 of 5" in str(verify("nh-haze")) and not verify("nh-haze").problems


# ---- label maps

def halves(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = read_rgb(path)
    return image[:, : image.shape[1] // 2], image[:, image.shape[1] // 2 :]


def repaint(root: Path, change: object) -> None:
    """Replace every file by what `change` makes of its photo and its map."""
    assert callable(change)
    for path in [*root.glob("train/*.jpg"), *root.glob("val/*.jpg")]:
        write_png(path.with_suffix(".png"), np.concatenate(change(*halves(path)), axis=1))
        path.unlink()


def grey_numbers(photo: np.ndarray, painted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return photo, np.repeat(labels.decode(painted)[0][..., None], 3, axis=2)


def test_kind_5_swapped_halves(places: dict[str, Path]) -> None:
    repaint(places["cityscapes"], lambda photo, painted: (painted, photo))
    assert verify("cityscapes").problems
    assert all("have no colour of Cityscapes' palette" in p and "the two halves look swapped" in p
               for p in verify("cityscapes").problems)


def test_kind_5_greyscale_numbers_of_classes_are_no_label_maps(places: dict[str, Path]) -> None:
    repaint(places["cityscapes"], grey_numbers)
    assert all("have no colour of Cityscapes' palette" in p and "painted maps in the right half" in p
               for p in verify("cityscapes").problems) and verify("cityscapes").problems
    with pytest.raises(UserError, match=r"\d\d% of the pixels of cityscapes's label maps have no colour"):
        check_label_maps("cityscapes", open_domains("cityscapes", "test"))


def test_kind_37_one_strange_map_among_good_ones(places: dict[str, Path]) -> None:
    path = places["cityscapes"] / "val" / "2.jpg"
    photo, painted = halves(path)
    painted[:12] = 0, 255, 0  # 12 of 32 rows
    Image.fromarray(np.concatenate([photo, painted], axis=1)).save(path, quality=95)
    assert "% of the pixels of 2.jpg have no colour" in sole_problem("cityscapes", full=True)


def test_kind_37_scores_of_horses_are_refused(places: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="horse2zebra has no label maps"):
        check_label_maps("horse2zebra", open_domains("horse2zebra", "test"))
    check_label_maps("cityscapes", open_domains("cityscapes", "test"))


def test_kind_37_share_of_no_colour_by_hand() -> None:
    assert share_of_no_colour(np.array([[*labels.PALETTE, *labels.VOID_COLOURS]])) == 0
    assert share_of_no_colour(np.array([[(0, 255, 0), (128, 64, 128)]], np.uint8)) == 0.5
    assert share_of_no_colour(np.array([[(70, 70, 70), (153, 153, 153), (0, 0, 0), (7, 7, 7)]], np.uint8)) == 0.25


def test_real_maps_and_photos_stand_apart(shared: Path) -> None:
    domains = open_domains("cityscapes", "test", shared / "data" / "cityscapes", limit=20)
    check_label_maps("cityscapes", domains)
    assert max(map(share_of_no_colour, domains.a)) < 0.1 < min(map(share_of_no_colour, domains.b))


def test_real_haze_never_looks_swapped(shared: Path) -> None:
    for name in ("sots-indoor", "sots-outdoor", "dense-haze"):
        pairs = open_split(name, "test", shared / "data" / name, limit=10)
        assert not any(is_hazier(p.clear, p.hazy) for p in pairs)


# ---- words

def test_kind_32_counts_read_well() -> None:
    assert [count(n, "pair") for n in (0, 1, 2, 1234)] == ["no pairs", "1 pair", "2 pairs", "1,234 pairs"]


def test_one_missing_partner_reads_well(places: dict[str, Path]) -> None:
    (places["nh-haze"] / "51_GT.png").unlink()
    assert "1 hazy picture has no clear one: 51_hazy.png" in " ".join(verify("nh-haze").problems)
