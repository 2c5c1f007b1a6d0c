"""Pairs on disk and random crops of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from torch.utils.data import DataLoader

from reprolib.data import registry
from reprolib.data.images import read_rgb, write_png
from reprolib.data.paired import PairedFolder, find_pairs, open_split, scene
from reprolib.data.paired_batches import CropBatches
from reprolib.errors import UserError

HEIGHT, WIDTH = 30, 44


def coded(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A picture whose every pixel tells (x, y, scene)."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, number)], axis=-1).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six scenes in two hazy versions: the negative of the clear picture, less 0 or 1 in the third channel."""
    for n in range(1, 7):
        write_png(tmp_path / "clear" / f"{n}.png", coded(n))
        for variant in (1, 2):
            version = np.array([0, 0, variant - 1], np.uint8)
            write_png(tmp_path / "hazy" / f"{n}_{variant}.png", 255 - coded(n) - version)
    return tmp_path


@pytest.fixture
def pairs(folder: Path) -> PairedFolder:
    return PairedFolder(find_pairs(folder))


def test_pairs_are_found_by_prefix_in_natural_order(pairs: PairedFolder) -> None:
    assert pairs.names == [f"{n}_{v}" for n in range(1, 7) for v in (1, 2)] and len(pairs) == 12
    for pair in pairs:
        assert pair.hazy.dtype == pair.clear.dtype == np.uint8
        assert np.array_equal(pair.hazy[..., :2], 255 - pair.clear[..., :2])
        assert (pair.clear[..., 2] == int(scene(pair.name))).all()


@pytest.mark.parametrize("layout", ["side by side", "folders with marks", "plain folders", "names with _"])
def test_layouts_of_the_releases(tmp_path: Path, layout: str) -> None:
    hazy, clear = {
        "side by side": ("{}_hazy.png", "{}_GT.png"),
        "folders with marks": ("hazy/{}_hazy.png", "GT/{}_GT.png"),
        "plain folders": ("hazy/{}.png", "clear/{}.png"),
        "names with _": ("hazy/a_{}.png", "clear/a_{}.png"),
    }[layout]
    for n in (2, 10):
        write_png(tmp_path / hazy.format(n), coded(n))
        write_png(tmp_path / clear.format(n), coded(n))
    pairs = PairedFolder(find_pairs(tmp_path))
    assert len(pairs) == 2
    assert [p.clear[0, 0, 2] for p in pairs] == [p.hazy[0, 0, 2] for p in pairs] == [2, 10]


def test_sots_border_is_cut_and_never_resized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clear = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    write_png(tmp_path / "clear" / "1400.png", clear)
    write_png(tmp_path / "hazy" / "1400_3.png", clear[10:470, 10:630])
    pair = open_split("sots-indoor", "test", tmp_path)[0]
    assert np.array_equal(pair.clear, clear[10:470, 10:630]) and np.array_equal(pair.clear, pair.hazy)
    write_png(tmp_path / "clear" / "1400.png", clear[10:470, 10:630])  # releases exist that are cut already
    assert np.array_equal(open_split("sots-indoor", "test", tmp_path)[0].clear, pair.hazy)


@pytest.mark.parametrize("height,width", [(480, 620), (479, 639), (920, 1240), (450, 610)])
def test_any_other_size_is_refused(tmp_path: Path, height: int, width: int) -> None:
    write_png(tmp_path / "clear" / "1400.png", np.zeros((height, width, 3), np.uint8))
    write_png(tmp_path / "hazy" / "1400_3.png", np.zeros((460, 620, 3), np.uint8))
    with pytest.raises(UserError, match=f"620x460 against {width}x{height}.*1400_3.png, .*1400.png"):
        open_split("sots-indoor", "test", tmp_path)[0]


def test_challenge_splits(tmp_path: Path) -> None:
    for n in range(1, 56):
        write_png(tmp_path / f"{n:02}_hazy.png", coded(n, 2, 2))
        write_png(tmp_path / f"{n:02}_GT.png", coded(n, 2, 2))
    splits = registry.get_dataset("nh-haze").splits
    found = {s: [int(n) for n in open_split("nh-haze", s, tmp_path).names] for s in splits}
    assert found["train"] + found["val"] == list(range(1, 46))
    assert found["test-46-50"] == list(range(46, 51))
    assert found["test"] == found["test-51-55"] == list(range(51, 56))


def test_what_does_not_pair_is_named(folder: Path) -> None:
    (folder / "clear" / "3.png").unlink()
    with pytest.raises(UserError, match="2 hazy pictures have no clear one: 3_1.png, 3_2.png"):
        find_pairs(folder)
    write_png(folder / "clear" / "3.png", coded(3))
    (folder / "clear" / "3.jpg").touch()
    with pytest.raises(UserError, match="two clear pictures of one name"):
        find_pairs(folder)


def test_folders_without_pairs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no pairs here"):
        find_pairs(tmp_path)
    write_png(tmp_path / "hazy" / "1_1.png", coded(1))
    with pytest.raises(UserError, match="no folder of clear ones"):
        find_pairs(tmp_path)


def test_open_split_refuses(folder: Path) -> None:
    with pytest.raises(UserError, match="unknown split of sots-outdoor 'tset'.*did you mean 'test'"):
        open_split("sots-outdoor", "tset", folder)
    with pytest.raises(UserError, match="scenes 1400 to 1449 are expected"):
        open_split("sots-indoor", "test", folder)
    with pytest.raises(UserError, match="limit of 0"):
        open_split("sots-outdoor", "test", folder, limit=0)
    with pytest.raises(UserError, match="not whole here.*reprolib data prepare haze-dense"):
        open_split("haze-dense", "test", folder)
    assert open_split("sots-outdoor", "test", folder, limit=5).names == ["1_1", "1_2", "2_1", "2_2", "3_1"]


def test_truncated_picture_is_named(folder: Path, pairs: PairedFolder) -> None:
    path = folder / "hazy" / "2_1.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match="2_1.png"):
        pairs[2]


def test_pictures_are_decoded_once_while_they_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import reprolib.data.paired as paired

    decoded: list[Path] = []
    monkeypatch.setattr(paired, "read_rgb", lambda p: decoded.append(p) or read_rgb(p))
    pairs = PairedFolder(find_pairs(folder))
    list(pairs), list(pairs)
    assert len(decoded) == len(set(decoded)) == 12 + 6
    monkeypatch.setattr(paired, "CACHE_BYTES", 3 * HEIGHT * WIDTH)
    decoded.clear()
    pairs = PairedFolder(find_pairs(folder))
    list(pairs), list(pairs)
    assert pairs._cached_bytes <= 3 * HEIGHT * WIDTH and len(decoded) > 24


def test_pixel_hash_follows_the_pixels(folder: Path, pairs: PairedFolder) -> None:
    before = pairs.pixel_hash()
    assert PairedFolder(find_pairs(folder)).pixel_hash() == before
    changed = coded(4)
    changed[0, 0, 0] ^= 1
    write_png(folder / "clear" / "4.png", changed)
    assert PairedFolder(find_pairs(folder)).pixel_hash() != before


def test_batches_are_a_pure_function_of_seed_and_step(folder: Path) -> None:
    def make(seed: int) -> CropBatches:
        return CropBatches(PairedFolder(find_pairs(folder)), crop=16, batch=4, steps=20, seed=seed)

    one, other = make(5), make(5)
    backwards = {step: other[step] for step in reversed(range(20))}
    for step in range(20):
        torch.rand(3), np.random.rand(3)
        assert all(torch.equal(a, b) for a, b in zip(one[step], backwards[step], strict=True))
    assert not torch.equal(one[0][0], one[1][0])
    assert not torch.equal(one[0][0], make(6)[0][0])
    loaded = list(DataLoader(one, batch_size=None, sampler=range(7, 20), num_workers=2))
    assert all(torch.equal(h, one[7 + i][0]) and torch.equal(c, one[7 + i][1]) for i, (h, c) in enumerate(loaded))


def test_crops_are_paired_windows_in_all_eight_orientations(pairs: PairedFolder) -> None:
    """The pixel code tells where each crop came from, without asking the code under test."""
    crop, batches = 12, CropBatches(pairs, crop=12, batch=6, steps=200, seed=1)
    assert len(batches) == 200
    orientations, lefts, tops = set(), set(), set()
    for step in range(200):
        hazy, clear = batches[step]
        assert hazy.shape == clear.shape == (6, 3, crop, crop) and hazy.dtype == clear.dtype == torch.float32
        clear_BHWC = (clear * 255).permute(0, 2, 3, 1).numpy()
        hazy_BHWC = (hazy * 255).permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(clear_BHWC, np.rint(clear_BHWC), atol=1e-4)
        np.testing.assert_allclose(hazy_BHWC[..., :2], 255 - clear_BHWC[..., :2], atol=1e-4)
        scenes = [int(round(float(c[0, 0, 2]))) for c in clear_BHWC]
        assert sorted(scenes) == [1, 2, 3, 4, 5, 6], "six scenes, six in a batch: each once"
        for c in np.rint(clear_BHWC).astype(int):
            left, top = c[..., 0].min(), c[..., 1].min()
            assert sorted(map(tuple, c[..., :2].reshape(-1, 2))) == [
                (x, y) for x in range(left, left + crop) for y in range(top, top + crop)], "a whole window"
            along_row, along_column = c[0, 1, :2] - c[0, 0, :2], c[1, 0, :2] - c[0, 0, :2]
            orientations.add((*along_row.tolist(), *along_column.tolist()))
            lefts.add(int(left)), tops.add(int(top))
    signs = [(a, b) for a in (1, -1) for b in (1, -1)]
    assert orientations == {(a, 0, 0, b) for a, b in signs} | {(0, a, b, 0) for a, b in signs}
    assert lefts == set(range(WIDTH - crop + 1)) and tops == set(range(HEIGHT - crop + 1)), "up to every edge"


def test_pictures_are_drawn_evenly_and_without_replacement(pairs: PairedFolder) -> None:
    batches, seen = CropBatches(pairs, crop=8, batch=8, steps=300, seed=0), np.zeros((7, 2), int)
    for step in range(300):  # more than there are scenes: two versions of a scene may meet, one version never twice
        hazy, clear = batches[step]
        drawn = [(int(n), int(255 - n - h)) for h, n in zip((hazy[:, 2, 0, 0] * 255).round(),
                                                            (clear[:, 2, 0, 0] * 255).round(), strict=True)]
        assert len(set(drawn)) == 8
        for n, version in drawn:
            seen[n, version] += 1
    assert seen[1:].sum() == 2400 and np.abs(seen[1:] - 200).max() < 50  # 200 expected, standard deviation 8


def test_batches_that_cannot_be_made(folder: Path, pairs: PairedFolder) -> None:
    with pytest.raises(UserError, match="a batch of 13 from 12 pairs"):
        CropBatches(pairs, crop=8, batch=13, steps=1, seed=0)
    with pytest.raises(UserError, match="44x30 is smaller than the crop of 31"):
        CropBatches(pairs, crop=31, batch=1, steps=1, seed=0)
    CropBatches(pairs, crop=30, batch=12, steps=1, seed=0)[0]
    for side in ("hazy/6_2.png", "clear/6.png"):
        write_png(folder / side, coded(6, 20, 20))
    with pytest.raises(UserError, match="20x20 is smaller than the crop of 24.*6_2.*lower crop"):
        CropBatches(PairedFolder(find_pairs(folder)), crop=24, batch=1, steps=1, seed=0)
    with pytest.raises(UserError, match="batch of 0"):
        CropBatches(pairs, crop=8, batch=0, steps=1, seed=0)
    with pytest.raises(IndexError):
        CropBatches(pairs, crop=8, batch=1, steps=3, seed=0)[3]


def test_sample_of_sots_indoor(shared: Path) -> None:
    """Against a figure that another implementation measured on the same pictures."""
    pairs = open_split("sots-indoor", "test", shared / "data" / "sots-indoor")
    assert len(pairs) == 120 and len({scene(n) for n in pairs.names}) == 12
    psnr = [peak_signal_noise_ratio(p.clear, p.hazy, data_range=255) for p in pairs]
    assert np.mean(psnr) == pytest.approx(12.792, abs=1e-3)


def test_samples_of_other_benchmarks(shared: Path) -> None:
    outdoor = open_split("sots-outdoor", "test", shared / "data" / "sots-outdoor")
    assert len(outdoor) == 20 and all(p.hazy.shape == p.clear.shape for p in outdoor)
    dense = open_split("dense-haze", "test", shared / "data" / "dense-haze")
    assert dense.names == ["51", "52"] and dense[0].hazy.shape == (1200, 1600, 3)
