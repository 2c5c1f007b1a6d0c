"""RESIDE's indoor sets made again: the published pictures bit for bit, NYU's file by its axes, kills and refusals."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from reprolib.data import make as module
from reprolib.data import reside
from reprolib.data.images import list_images, read_rgb, write_png
from reprolib.data.make import its_haze, make
from reprolib.data.notes import note_of
from reprolib.data.paired import find_pairs, open_split
from reprolib.data.registry import SYNTHESISED
from reprolib.data.scenes import open_scenes
from reprolib.data.verify import verify
from reprolib.errors import UserError

HEIGHT, WIDTH = 28, 36


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """NYU's pictures, but small; the border stays."""
    monkeypatch.setattr(module, "SIZE", (HEIGHT, WIDTH))


def images() -> np.ndarray:
    """Three pictures N x H x W x 3 whose pixels tell where they are."""
    n, y, x = np.mgrid[1:4, :HEIGHT, :WIDTH]
    return np.stack([x, y, n * 60], axis=-1).astype(np.uint8)


def depths() -> np.ndarray:
    """Metres, N x H x W."""
    return np.random.default_rng(0).uniform(0.7, 10, (3, HEIGHT, WIDTH)).astype(np.float32)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """What MATLAB writes for arrays of H x W x 3 x N and H x W x N."""
    path = tmp_path / "nyu[x] $1.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["images"] = images().transpose(0, 3, 2, 1)
        file["depths"] = depths().transpose(0, 2, 1)
    return path


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_its_out_of_nyus_own_file(labelled: Path, tmp_path: Path) -> None:
    out = make("reside-its", labelled, tmp_path / "its")
    pairs = open_split("reside-its", "train", out)
    assert len(pairs) == 30 and [len(list(out.glob(f"{f}/*.png"))) for f in ("hazy", "clear")] == [30, 3]
    b = slice(reside.BORDER, -reside.BORDER)
    for pair in pairs:
        scene, version, light = (int(pair.name.split("_")[0]), int(pair.name.split("_")[1]),
                                 float(pair.name.split("_")[2]))
        beta, drawn = its_haze(scene, version)
        assert drawn == light and 0.7 <= light <= 1 and 0.6 <= beta <= 1.8
        clear, depth = images()[scene - 1][b, b], depths()[scene - 1][b, b].astype(float)
        assert np.array_equal(pair.clear, clear)
        t = np.exp(-beta * depth / depth.max())[..., None]
        assert np.abs(pair.hazy - (clear * t + 255 * light * (1 - t))).max() <= 0.5 + 1e-9
    assert note_of("reside-its", out) == "ITS-like, synthesised from NYU Depth V2; 3 of 1,399 scenes"


def test_beta_and_airlight_as_given(labelled: Path, tmp_path: Path) -> None:
    out = make("reside-its", labelled, tmp_path / "its", beta=1.0, light=0.8)
    names = [p.name for p in list_images(out / "hazy")]
    assert names[:2] == ["1_1_0.80000.png", "1_2_0.80000.png"]
    same = [read_rgb(out / "hazy" / n) for n in names[:10]]
    assert all(np.array_equal(same[0], s) for s in same)


def test_scenes_out_of_nyus_file_give_the_same_as_the_file_to_8_bits(labelled: Path, tmp_path: Path) -> None:
    out = make("reside-its-like", labelled, tmp_path / "scenes")
    scenes = open_scenes("reside-its-like", "train", out)
    assert [name for name, _, _ in scenes.files] == ["1", "2", "3"]
    b = slice(reside.BORDER, -reside.BORDER)
    for scene, image, depth in zip((scenes[i] for i in range(3)), images(), depths(), strict=True):
        assert np.array_equal(scene.clear, image[b, b])
        assert np.abs((scene.depth + 0.5) / 25.5 - depth[b, b]).max() <= 0.5 / 25.5 + 1e-6
    its = make("reside-its", out, tmp_path / "its")
    exact = make("reside-its", labelled, tmp_path / "exact")
    for path in list_images(exact / "hazy"):
        assert np.abs(read_rgb(path).astype(int) - read_rgb(its / "hazy" / path.name)).max() <= 8


def test_a_killed_run_is_finished_and_what_is_there_is_left(labelled: Path, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    whole = files_of(make("reside-its", labelled, tmp_path / "whole"))
    written: list[Path] = []

    def dying(path: Path, picture: np.ndarray) -> None:
        if len(written) == 14:
            raise KeyboardInterrupt
        written.append(path)
        write_png(path, picture)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_png", dying)
        with pytest.raises(KeyboardInterrupt):
            make("reside-its", labelled, out)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.png")}
    assert len(before) == 14
    make("reside-its", labelled, out)
    assert files_of(out) == whole and all(p.stat().st_mtime_ns == t for p, t in before.items())
    with pytest.raises(UserError, match="begun with other settings"):
        make("reside-its", labelled, out, beta=1.0)
    (out / SYNTHESISED).write_text("{")
    with pytest.raises(UserError, match="begun with other settings"):
        make("reside-its", labelled, out)


def packed(root: Path, *ids: int) -> Path:
    random = np.random.default_rng(1)
    for scene in ids:
        write_png(root / "clear" / f"{scene}.png", random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
        depth = random.integers(0, 256, (HEIGHT, WIDTH, 1), dtype=np.uint8)
        write_png(root / "depth" / f"{scene}.png", depth.repeat(3, axis=2))
    return root


def test_training_and_test_scenes_are_told_apart_by_id(tmp_path: Path) -> None:
    source = packed(tmp_path / "source", 1399, 1400)
    its, sots = make("reside-its", source, tmp_path / "its"), make("sots-indoor", source, tmp_path / "sots")
    assert {name.split("_")[0] for name, _, _ in find_pairs(its)} == {"1399"}
    assert {name.split("_")[0] for name, _, _ in find_pairs(sots)} == {"1400"}
    assert open_split("sots-indoor", "test", sots).names == [f"1400_{k}" for k in range(1, 11)]
    assert note_of("sots-indoor", sots) == ""
    with pytest.raises(UserError, match="no scenes of 1 to 1399 here"):
        make("reside-its", packed(tmp_path / "test", 1400, 1449), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_does_not_serve_is_refused_in_one_line(labelled: Path, tmp_path: Path) -> None:
    source, out = packed(tmp_path / "source", 7), tmp_path / "out"
    cases = [
        (("reside-itz", labelled, out), {}, "did you mean 'reside-its'"),
        (("sots-indoor", labelled, out), {}, "8-bit depths are not in NYU's file"),
        (("reside-its-like", source, out), {}, "such a set already"),
        (("sots-indoor", source, out), {"beta": 1.0}, "cannot be chosen"),
        (("reside-its", source, out), {"beta": 0.0}, "makes no haze"),
        (("reside-its", source, out), {"light": 1.5}, "outside \\[0, 1\\]"),
        (("reside-its", source, out), {"light": float("nan")}, "outside \\[0, 1\\]"),
        (("reside-its", tmp_path / "nowhere", out), {}, "no such file or folder"),
        (("reside-its", tmp_path, out), {}, "no folder 'images'"),
        (("reside-its", source, source), {}, "holds something else"),
        (("reside-its", labelled, labelled), {}, "cannot write|part of this path"),
    ]
    for arguments, options, words in cases:
        with pytest.raises(UserError, match=words) as refused:
            make(*arguments, **options)
        assert "\n" not in str(refused.value)
    assert not out.exists()


def test_a_picture_of_another_size_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIZE", (HEIGHT + 20, WIDTH + 20))
    with pytest.raises(UserError, match=f"{WIDTH}x{HEIGHT} instead of.*scene 7"):
        make("reside-its", packed(tmp_path / "source", 7), tmp_path / "out")


def test_other_files_than_nyus_are_refused(labelled: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mat"
    cut = labelled.read_bytes()[: labelled.stat().st_size // 2]
    for content, said in ((b"", "an empty file"), (b"MATLAB 5.0 MAT-file", ", or cut short"), (cut, ", or cut short"),
                          (b"version https://git-lfs.github.com/spec/v1\n", "but a Git LFS pointer"),
                          (b"<!DOCTYPE html><title>Sign in</title>", "but a web page")):
        bad.write_bytes(content)
        with pytest.raises(UserError, match=f"not an HDF5 file.*{said}"):
            make("reside-its", bad, tmp_path / "out")
    for names in ({"images": images()}, {"images": images(), "depths": depths()}, {"depths": depths()},
                  {"images": images().transpose(0, 3, 2, 1).astype(float), "depths": depths().transpose(0, 2, 1)}):
        with h5py.File(bad, "w") as file:
            for name, array in names.items():
                file[name] = array
        with pytest.raises(UserError, match="of [34] dimensions in this file|do not belong together"):
            make("reside-its", bad, tmp_path / "out")
    with h5py.File(bad, "w") as file:
        file.create_group("images")
    with pytest.raises(UserError, match="no 'images'"):
        make("reside-its", bad, tmp_path / "out")
    with h5py.File(bad, "w") as file:
        file["images"] = images().transpose(0, 3, 2, 1)
        file["depths"] = np.full((3, WIDTH, HEIGHT), np.nan, np.float32)
    for name in ("reside-its", "reside-its-like"):
        with pytest.raises(UserError, match="scene 1"):
            make(name, bad, tmp_path / f"nan-{name}")


def test_verify_counts_scenes(labelled: Path, tmp_path: Path) -> None:
    out = make("reside-its-like", labelled, tmp_path / "scenes")
    report = verify("reside-its-like", out)
    assert report.counts == {"scenes": 3} and not report.complete
    assert report.problems == [f"{n}.png is {WIDTH}x{HEIGHT} instead of 640x480" for n in (1, 2, 3)]
    shutil.rmtree(out / "depths")
    assert "no folder 'depths'" in verify("reside-its-like", out).problems[0]


def test_sots_of_the_authors_comes_back_bit_for_bit(shared: Path, tmp_path: Path) -> None:
    """Through files, against the published ones; three scenes, since PNG takes its time."""
    packed, published = shared / "data" / "sots-indoor-500", shared / "data" / "sots-indoor"
    if not packed.is_dir() or not published.is_dir():
        pytest.skip("no sots-indoor-500 or sots-indoor")
    for scene in (1400, 1405, 1411):
        for folder in ("clear", "depth"):
            (tmp_path / "source" / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(packed / folder / f"{scene}.webp", tmp_path / "source" / folder)
    out = make("sots-indoor", tmp_path / "source", tmp_path / "sots")
    made = sorted(p.relative_to(out) for p in out.rglob("*.png"))
    assert len(made) == 33
    for path in made:
        assert np.array_equal(read_rgb(out / path), read_rgb(published / path)), path


def test_every_published_pixel_of_sots_follows_from_clear_and_depth(shared: Path) -> None:
    packed = shared / "data" / "sots-indoor-500"
    if not packed.is_dir():
        pytest.skip("no sots-indoor-500")
    hashes = dict(reversed(line.split()) for line in (packed / "pixels.sha256").read_text().splitlines())
    for path in list_images(packed / "clear"):
        clear, depth = read_rgb(path), read_rgb(packed / "depth" / path.name)[..., 0]
        for version in reside.VERSIONS:
            pixels = reside.sots_hazy(clear, depth, version).tobytes()
            assert hashlib.sha256(pixels).hexdigest() == hashes[f"hazy/{path.stem}_{version}"]


def test_the_command(labelled: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from reprolib.commands.data import app

    done = CliRunner().invoke(app, ["make", "reside-its", "--from", str(labelled), "--output", str(tmp_path / "x"),
                                    "--light", "0.9"])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "x" / SYNTHESISED).read_text())["light"] == 0.9


def test_the_check_in_the_documentation(project: Path, tmp_path: Path) -> None:
    """The page's own program, on a scene that follows the formula and after one pixel of it has been changed."""
    code = (project / "docs" / "reside.md").read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "check.py").write_text(code)
    out = make("sots-indoor", packed(tmp_path / "source", 1400), tmp_path / "sots")
    found = []
    for change in (0, 1):
        picture = read_rgb(out / "hazy" / "1400_4.png")
        picture[5, 5, 1] ^= change
        write_png(out / "hazy" / "1400_4.png", picture)
        found.append(subprocess.run([sys.executable, str(tmp_path / "check.py"), str(out), "1400"], check=True,
                                    capture_output=True, text=True).stdout)
    assert found == [f"scene 1400: {n} of 1,008 pixels are not explained\n" for n in (0, 1)]
