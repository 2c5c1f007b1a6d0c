"""Clear pictures with depth, and crops of them under haze that is drawn at every step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from reprolib.data import reside, scenes
from reprolib.data.haze import Haze
from reprolib.data.haze_batches import HazeBatches
from reprolib.data.images import write_png
from reprolib.data.paired import open_split
from reprolib.data.registry import get_dataset
from reprolib.data.scenes import FixedHaze, SceneFolder, find_scenes, open_scenes
from reprolib.errors import UserError

HEIGHT, WIDTH, BORDER = 50, 64, 10
NAME = "reside-its-like"
SCENES = {3: 3, 20: 20, 100: 100, 1350 % 256: 1350}
"""Of the training split, by the value of their third channel."""


def clear_of(scene: int) -> np.ndarray:
    """Every pixel tells where it is, and of which scene."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x, y, np.full_like(x, scene % 256)], axis=-1).astype(np.uint8)


def depth_of(scene: int) -> np.ndarray:
    return np.random.default_rng(scene).integers(20, 240, (HEIGHT, WIDTH), dtype=np.uint8)


def write(root: Path, *ids: int) -> Path:
    for scene in ids:
        write_png(root / "images" / f"{scene}.png", clear_of(scene))
        write_png(root / "depths" / f"{scene}.png", np.repeat(depth_of(scene)[..., None], 3, axis=2))
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path, 3, 20, 100, 1350, 1351, 1399)


def batches(folder: SceneFolder, crop: int = 12, batch: int = 3, steps: int = 40, seed: int = 5,
            augment: bool = True) -> HazeBatches:
    return HazeBatches(folder, crop, batch, steps, seed, augment)


def test_splits_are_by_reside_number_and_never_hold_sots(root: Path) -> None:
    write(root, 1400, 1449)
    found = {split: [name for name, _, _ in open_scenes(NAME, split, root).files] for split in ("train", "val")}
    assert found == {"train": ["3", "20", "100", "1350"], "val": ["1351", "1399"]}
    for split in get_dataset(NAME).splits.values():
        assert set(range(split["ids"][0], split["ids"][1] + 1)) <= set(reside.TRAINING)
    with pytest.raises(UserError, match="scenes of SOTS among those to train on: 1400, 1449"):
        batches(SceneFolder(find_scenes(root)))


def test_crops_are_windows_under_the_haze_of_their_place(root: Path) -> None:
    """Pixels say where they come from; haze is checked against the equation, with beta and A solved for."""
    folder = open_scenes(NAME, "train", root)
    seen_light, windows = [], set()
    for step in range(40):
        hazy, clear = (np.rint(255 * x.permute(0, 2, 3, 1).numpy()).astype(int) for x in batches(folder)[step])
        assert len({int(c[0, 0, 2]) for c in clear}) == 3, "distinct scenes"
        for i, j in zip(hazy, clear, strict=True):
            scene, x, y = SCENES[int(j[0, 0, 2])], j[..., 0], j[..., 1]
            assert x.min() >= BORDER and x.max() < WIDTH - BORDER and y.min() >= BORDER and y.max() < HEIGHT - BORDER
            windows.add((int(x.min()), int(y.min()), int(x[0, 1] - x[0, 0]), int(y[0, 1] - y[0, 0])))
            inside = depth_of(scene)[BORDER:-BORDER, BORDER:-BORDER] + 0.5
            relative = depth_of(scene)[y, x] + 0.5
            relative = relative / inside.max()
            best = min(_misfit(i, j, relative, beta, light) for beta in np.arange(0.6, 1.81, 0.1)
                       for light in np.arange(0.7, 1.01, 0.05))
            assert best[0] < 8, "no beta and A of the published ranges explain this"
            seen_light.append(best[2])
    assert min(seen_light) < 0.8 and max(seen_light) > 0.9 and len(windows) > 60


def _misfit(hazy: np.ndarray, clear: np.ndarray, relative: np.ndarray, beta: float,
            light: float) -> tuple[float, float, float]:
    t = np.exp(-beta * relative)[..., None]
    return float(np.abs(hazy - clear * t - 255 * light * (1 - t)).max()), beta, light


def test_haze_is_the_equation_to_half_a_grey_level(root: Path) -> None:
    folder = open_scenes(NAME, "train", root)
    folder.haze = Haze(beta=(1.1, 1.1), light=(0.85, 0.85))
    pair = batches(folder, augment=False)[0]
    for i, j in zip(*((255 * side.double()).permute(0, 2, 3, 1).numpy() for side in pair), strict=True):
        scene = SCENES[round(j[0, 0, 2])]
        x, y = np.rint(j[..., 0]).astype(int), np.rint(j[..., 1]).astype(int)
        depth = depth_of(scene) + 0.5
        relative = depth[y, x] / depth[BORDER:-BORDER, BORDER:-BORDER].max()
        assert _misfit(i, j, relative, 1.1, 0.85)[0] <= 0.5 + 1e-4


def test_batches_are_a_pure_function_of_seed_and_step(root: Path) -> None:
    one, other = (batches(open_scenes(NAME, "train", root), steps=12) for _ in range(2))
    backwards = {step: other[step] for step in reversed(range(12))}
    for step in range(12):
        assert all(torch.equal(a, b) for a, b in zip(one[step], backwards[step], strict=True))
    assert not torch.equal(one[0][0], one[1][0])
    assert not torch.equal(one[0][0], batches(open_scenes(NAME, "train", root), seed=6)[0][0])
    loaded = list(DataLoader(one, batch_size=None, sampler=range(7, 12), num_workers=2))
    assert all(torch.equal(h, one[7 + i][0]) and torch.equal(c, one[7 + i][1]) for i, (h, c) in enumerate(loaded))
    with pytest.raises(IndexError):
        one[12]


@pytest.mark.parametrize("augment", [True, False])
def test_rows_are_those_of_the_whole_batch_and_only_they_are_decoded(root: Path, augment: bool) -> None:
    whole = batches(open_scenes(NAME, "train", root), augment=augment)
    part = batches(open_scenes(NAME, "train", root), augment=augment)
    part.rows = slice(1, 2)
    for step in range(3):
        assert all(torch.equal(a[1:2], b) for a, b in zip(whole[step], part[step], strict=True))
    part = batches(open_scenes(NAME, "train", root))
    part.rows = slice(2, 3)
    part[0]
    assert len(part.scenes._cache) == 1


def test_the_same_scene_gets_another_haze_at_another_step(root: Path) -> None:
    folder = SceneFolder(find_scenes(root)[:1], 0)
    one = HazeBatches(folder, HEIGHT, 1, 30, seed=0, augment=False)
    corner = {(int(255 * h[0, 0, 0, 0]), int(c[0, 0, 0, 0] * 255)) for h, c in (one[s] for s in range(30))}
    assert len(corner) > 20


def test_validation_has_one_fixed_haze_a_scene(root: Path) -> None:
    one, other = (list(FixedHaze(open_scenes(NAME, "val", root))) for _ in range(2))
    assert [p.name for p in one] == ["1351", "1399"]
    for a, b in zip(one, other, strict=True):
        assert np.array_equal(a.hazy, b.hazy) and np.array_equal(a.clear, b.clear)
        assert a.hazy.shape == a.clear.shape == (HEIGHT - 2 * BORDER, WIDTH - 2 * BORDER, 3)
    write(root, 1360)  # another scene moves nothing
    assert np.array_equal(next(p for p in FixedHaze(open_scenes(NAME, "val", root)) if p.name == "1399").hazy,
                          one[1].hazy)


def test_memory_is_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = (HEIGHT - 2 * BORDER) * (WIDTH - 2 * BORDER) * 4
    monkeypatch.setattr(scenes, "CACHE_BYTES", 2 * one)
    folder = open_scenes(NAME, "train", root)
    for _ in range(2):
        assert [folder[i].name for i in range(4)] == ["3", "20", "100", "1350"]
    assert len(folder._cache) == 2 and folder._cached_bytes == 2 * one


def test_what_cannot_be_used_is_told_in_one_line(root: Path, tmp_path: Path) -> None:
    folder = open_scenes(NAME, "train", root)
    with pytest.raises(UserError, match="a batch of 5 from 4 scenes"):
        batches(folder, batch=5)
    with pytest.raises(UserError, match="44x30 is smaller than the crop of 31"):
        batches(folder, crop=31)
    with pytest.raises(UserError, match="no hazy pictures to measure on"):
        open_split(NAME, "val", root)
    with pytest.raises(UserError, match="unknown split"):
        open_scenes(NAME, "test", root)
    with pytest.raises(UserError, match="no folder 'images'"):
        find_scenes(root / "images")
    Image.fromarray(clear_of(3)).save(root / "depths" / "3.png")
    with pytest.raises(UserError, match="a depth picture with colours.*3.png"):
        folder.read(0)
    write_png(root / "depths" / "3.png", np.zeros((HEIGHT, WIDTH + 1, 3), np.uint8))
    with pytest.raises(UserError, match="differ in size: 64x50 against 65x50"):
        folder.read(0)
    (root / "depths" / "3.png").unlink()
    with pytest.raises(UserError, match=r"pictures without a depth \(1\): 3"):
        find_scenes(root)
    write_png(root / "images" / "20.PNG", clear_of(3))
    with pytest.raises(UserError, match="two pictures of one name"):
        find_scenes(root)


def test_patchy_haze_varies_over_the_picture_and_every_other_one_is_patchy(root: Path) -> None:
    folder = open_scenes(NAME, "train", root)
    folder.haze = Haze(beta=(1.0, 2.0), light=(0.7, 0.9), patchy=0.9)
    veils = [folder.haze.draw(np.random.default_rng(seed)) for seed in range(200)]
    assert 70 < sum(not v.patchy for v in veils) < 130 and max(v.patchy for v in veils) <= 0.9
    one = next(v for v in veils if v.patchy > 0.5)
    field = one.scattering(30, 44)
    assert isinstance(field, np.ndarray) and field.shape == (30, 44) and field.std() > 0.2 * one.beta
    assert abs(field.mean() / one.beta - 1) < 0.1 and field.min() > 0
    scene, inside = folder[0], (slice(5, 20), slice(7, 30))
    t = np.exp(-field * scene.relative())[..., None]  # of the whole picture, wherever the crop lies
    expected = (scene.clear * t + 255 * one.light * (1 - t))[inside]
    assert np.abs(scene.hazy(one, inside) - expected).max() <= 0.5 + 1e-4


def test_the_sample_of_nyu(shared: Path) -> None:
    folder = open_scenes(NAME, "train", shared / "data" / "nyu-depth-v2")
    hazy, clear = HazeBatches(folder, 64, 2, 1, 0)[0]
    assert hazy.shape == clear.shape == (2, 3, 64, 64) and folder.size(0) == (620, 460)
    assert not torch.equal(hazy, clear) and float(hazy.min()) >= 0 and float(hazy.max()) <= 1
