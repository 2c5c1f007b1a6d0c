"""`reprolib dehaze` on people's own folders: nothing is lost, nothing replaced, every failure is told."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reprolib import models
from reprolib.commands import main as cli
from reprolib.data.images import read_rgb, write_png
from reprolib.errors import UserError
from reprolib.evaluation.apply import apply
from reprolib.models.weights import Header, save_weights

RANDOM = np.random.default_rng(0)


def photo(height: int = 24, width: int = 30, channels: int = 3) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, channels), dtype=np.uint8)


def dehaze(source: Path, output: Path, **options: object):  # type: ignore[no-untyped-def]
    return apply(source, output, "dehazing", "dcp", None, "mini", **options)  # type: ignore[arg-type]


def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object):  # type: ignore[no-untyped-def]
    monkeypatch.setattr("sys.argv", ["reprolib", "dehaze", *map(str, words), "--system", "dcp"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out, err = capsys.readouterr()
    return caught.value.code, out, err


@pytest.mark.parametrize("way", ["--profile", "--dataset"])
def test_a_choice_among_networks_where_there_is_none_is_refused(
        way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_png(tmp_path / "1.png", photo())
    code, _, err = command(monkeypatch, capsys, tmp_path / "1.png", tmp_path / "out.png", way, "haze-dense")
    assert code == 2 and f"{way} means nothing to dcp, which has nothing to learn" in err
    monkeypatch.setattr("sys.argv", ["reprolib", "dehaze", str(tmp_path / "1.png"), str(tmp_path / "out.png"),
                                     "--weights", str(tmp_path / "1.png"), way, "haze-dense"])
    with pytest.raises(SystemExit):
        cli.main()
    assert f"{way} means nothing to given weights" in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()


def test_kind_4_equal_stems_make_two_files(tmp_path: Path) -> None:
    Image.fromarray(photo()).save(tmp_path / "1.jpg")
    write_png(tmp_path / "1.png", photo())
    assert dehaze(tmp_path, tmp_path / "out").written == 2
    assert sorted(os.listdir(tmp_path / "out")) == ["1.jpg.png", "1.png"]


def test_kind_10_a_bad_picture_does_not_stop_the_others(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in"
    for name in "1245":
        write_png(source / f"{name}.png", photo())
    content = (source / "1.png").read_bytes()
    (source / "3.png").write_bytes(content[: len(content) // 2])
    (source / os.fsdecode(b"\xe9.jpg")).write_bytes(b"<html>")
    (source / "old.png").mkdir()
    (source / "notes.txt").touch()
    (source / ".DS_Store").touch()
    code, out, err = command(monkeypatch, capsys, source, tmp_path / "out")
    assert code == 1 and "4 pictures written" in out and "2 failed" in out
    failures = [line for line in err.splitlines() if line.startswith("reprolib: ")]
    assert len(failures) == 2 and "3.png" in failures[0] and "truncated" in failures[0] and "a web page" in failures[1]
    assert "left out: 2 that are no pictures (notes.txt, old.png)" in err
    assert sorted(os.listdir(tmp_path / "out")) == ["1.png", "2.png", "4.png", "5.png"]


def test_kind_12_a_name_with_a_line_end_and_a_colour_is_one_line(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    name = "two\nlines \x1b[31mred.png"
    (tmp_path / name).write_bytes(b"no picture")
    code, out, err = command(monkeypatch, capsys, tmp_path / name, tmp_path / "out.png")
    (line,) = err.splitlines()
    assert code == 2 and r"two\nlines \x1b[31mred.png" in line and "\x1b" not in out + err


def test_kind_4_what_lies_where_pictures_are_to_go_is_told_before_work_starts(tmp_path: Path) -> None:
    for name in "12":
        write_png(tmp_path / "in" / f"{name}.png", photo())
    (tmp_path / "out" / "2.png").mkdir(parents=True)
    with pytest.raises(UserError, match=r"a folder lies where a picture is to go \(.*2.png\)"):
        dehaze(tmp_path / "in", tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["2.png"]
    with pytest.raises(UserError, match="the pictures of a folder go to a folder, and this is a file"):
        dehaze(tmp_path / "in", tmp_path / "in" / "1.png")
    with pytest.raises(UserError, match=r"no such picture or folder \(.*gone\)"):
        dehaze(tmp_path / "gone", tmp_path / "new")


def test_one_bad_picture_by_itself_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(UserError, match="an empty file"):
        dehaze(tmp_path / "a.jpg", tmp_path / "b.png")
    with pytest.raises(UserError, match="a name that ends in"):
        dehaze(tmp_path / "a.jpg", tmp_path / "b.xyz")
    with pytest.raises(UserError, match="did you mean 'keep'"):
        dehaze(tmp_path / "a.jpg", tmp_path / "b.png", form="kep")


def test_kind_10_subfolders_keep_their_layout_and_outputs_are_no_inputs(tmp_path: Path) -> None:
    for name in ("1.png", "a/1.png", "a/b/1.png", ".hidden/1.png"):
        write_png(tmp_path / name, photo())
    assert dehaze(tmp_path, tmp_path / "out").written == 1
    for _ in range(2):
        outcome = dehaze(tmp_path, tmp_path / "out", subfolders=True)
        assert outcome.written == 3
        found = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.png"))
        assert found == ["1.png", "a/1.png", "a/b/1.png"]
    assert outcome.notes == ["3 of an earlier run replaced"]
    (tmp_path / "above").mkdir()
    (tmp_path / "a").rename(tmp_path / "above" / "a")
    with pytest.raises(UserError, match=r"no pictures here; .*\(a\) \(.*above\): add --subfolders"):
        dehaze(tmp_path / "above", tmp_path / "new")


def test_kind_15_formats(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a.jpg", "b.tif", "c.gif", "d.webp"):
        Image.fromarray(photo()).save(source / name)
    dehaze(source, tmp_path / "jpg", form="jpg")
    assert sorted(os.listdir(tmp_path / "jpg")) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    dehaze(source, tmp_path / "keep", form="keep")
    assert sorted(os.listdir(tmp_path / "keep")) == ["a.jpg", "b.tif", "c.gif.png", "d.webp"]
    dehaze(source, tmp_path / "png")
    for name in ("b.tif", "d.webp"):
        assert np.array_equal(read_rgb(tmp_path / "keep" / name), read_rgb(tmp_path / "png" / f"{name[0]}.png"))
    with Image.open(tmp_path / "keep" / "a.jpg") as image:
        assert image.format == "JPEG"


def test_kind_6_what_pillow_opens_is_read_and_what_is_skipped_is_said(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    picture = Image.fromarray(photo())
    written = {"jfif": "JPEG", "JPE": "JPEG", "ppm": None, "gif": None, "avif": None, "jp2": None, "tga": None}
    for ending, form in written.items():
        picture.save(source / f"{ending}.{ending}", format=form)
    for name in ("notes.txt", "table.csv"):
        (source / name).touch()
    outcome = dehaze(source, tmp_path / "out")
    assert outcome.written == len(written) and outcome.failures == []
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == sorted(written)
    assert outcome.notes == ["left out: 2 that are no pictures (notes.txt, table.csv)"]


def test_kind_2_a_photo_of_a_phone_stands_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo(80, 120)).save(tmp_path / "a.jpg", exif=exif)
    dehaze(tmp_path / "a.jpg", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert image.size == (80, 120) and not image.getexif()


def test_kind_15_transparency_is_kept_on_request(tmp_path: Path) -> None:
    picture = photo(channels=4)
    write_png(tmp_path / "in" / "a.png", picture)
    dehaze(tmp_path / "in", tmp_path / "with", alpha=True)
    dehaze(tmp_path / "in", tmp_path / "without")
    dehaze(tmp_path / "in", tmp_path / "jpg", alpha=True, form="jpg")
    with Image.open(tmp_path / "with" / "a.png") as image:
        assert np.array_equal(np.asarray(image)[..., 3], picture[..., 3])
        assert np.array_equal(np.asarray(image)[..., :3], read_rgb(tmp_path / "without" / "a.png"))
    with Image.open(tmp_path / "without" / "a.png") as image:
        assert image.mode == "RGB"


def test_kind_15_tiles_are_refused_where_they_would_show_and_what_is_done_with_a_large_picture_is_said(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_png(tmp_path / "a.png", photo())
    with pytest.raises(UserError, match="all pixels.*leave --tile out"):
        dehaze(tmp_path / "a.png", tmp_path / "b.png", tile=512)
    monkeypatch.setattr("reprolib.evaluation.apply.LARGE", 100)
    (note,) = dehaze(tmp_path / "a.png", tmp_path / "b.png").notes
    assert "a.png is large: dcp needs all of it at once" in note
    assert dehaze(tmp_path / "a.png", tmp_path / "c.png", tile=0).notes == []
    system = models.get("fdu")
    save_weights(system.build(width=4, blocks=1), tmp_path / "w.safetensors",
                 header=Header("fdu", {"width": 4, "blocks": 1}))
    (note,) = apply(tmp_path / "a.png", tmp_path / "d.png", "dehazing", "fdu", tmp_path / "w.safetensors", "mini").notes
    assert "a.png is large: tiled, with fdu's means over all pixels from parts" in note and "--tile 0" in note


def test_kind_13_a_picture_that_a_network_cannot_take_is_named(tmp_path: Path) -> None:
    system, options = models.get("cut"), {"width": 4, "blocks": 1}
    save_weights(system.part(system.build(**options), *system.inference), tmp_path / "w.safetensors",
                 header=Header("cut", options))
    write_png(tmp_path / "in" / "tiny.png", photo(3, 3))
    write_png(tmp_path / "in" / "odd.png", photo(13, 17))
    outcome = apply(tmp_path / "in", tmp_path / "out", "translation", "cut", tmp_path / "w.safetensors", "mini")
    assert outcome.written == 1 and "cannot take 4x4 pixels" in str(outcome.failures[0])
    assert "tiny.png" in str(outcome.failures[0])
    with pytest.raises(UserError, match=r"cannot take.*tiny.png"):
        apply(tmp_path / "in" / "tiny.png", tmp_path / "b.png", "translation", "cut", tmp_path / "w.safetensors",
              "mini")


def test_kind_3_a_network_that_answers_no_numbers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_png(tmp_path / "in" / "a.png", photo())
    monkeypatch.setattr("reprolib.evaluation.apply.RUN", {"dehazing": lambda _, x, *__: np.full(x.shape, np.nan)})
    outcome = dehaze(tmp_path / "in", tmp_path / "out")
    assert outcome.written == 0 and "not finite" in str(outcome.failures[0]) and "a.png" in str(outcome.failures[0])
    assert not (tmp_path / "out").exists()
