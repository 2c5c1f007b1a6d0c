"""Two domains on disk, their splits, and batches of them as a pure function of seed and step."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reprolib.data import registry, unpaired, unpaired_batches
from reprolib.data.images import write_png
from reprolib.data.unpaired import Domains, ImageFolder, held_out_of, open_domains
from reprolib.data.unpaired_batches import UnpairedBatches
from reprolib.data.verify import register, verify
from reprolib.errors import UserError

COUNTS = {"horse2zebra": (1067, 1334, 120, 140), "afhq-cat2dog": (5153, 4739, 500, 500),
          "drit-cat2dog": (771, 1264, 100, 100)}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    return tmp_path


def noise(seed: int, height: int = 20, width: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def flat(value: int, side: int = 20) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


def fill(root: Path, **counts: int) -> Path:
    """Folders of unpaired pictures; each picture has a colour of its own."""
    for folder, n in counts.items():
        for i in range(n):
            write_png(root / folder / f"{i}.png", flat((128 if folder.endswith("B") else 0) + i))
    return root


def domains_of(folder: Path, a: int, b: int) -> Domains:
    fill(folder, A=a, B=b)
    side_a, side_b = (ImageFolder([folder / d / f"{i}.png" for i in range(n)]) for d, n in (("A", a), ("B", b)))
    return Domains(side_a, side_b)


def shown(batch_B3HW: torch.Tensor) -> list[int]:
    """Which flat colours the pictures of a batch have."""
    assert (batch_B3HW == batch_B3HW[:, :1, :1, :1]).all()
    return [round(float(v)) for v in (batch_B3HW[:, 0, 0, 0] + 1) * 127.5]


# ---- folders

def test_counts_of_the_releases() -> None:
    for name, (train_a, train_b, test_a, test_b) in COUNTS.items():
        splits = registry.get_dataset(name).splits
        found = [splits[s][d] for s in ("train", "test") for d in "ab"]
        assert found == [train_a, train_b, test_a, test_b] and splits["val"] == {}
    cityscapes = registry.get_dataset("cityscapes")
    assert (cityscapes.splits["train"], cityscapes.splits["test"]) == ({"pairs": 2975}, {"pairs": 500})
    assert cityscapes.source == "right", "label maps are the source, whatever side they are on"


def test_validation_is_taken_out_of_training(here: Path) -> None:
    root = fill(here / "zebras", trainA=45, trainB=3, testA=2, testB=1)
    train, val, test = (open_domains("horse2zebra", s, root) for s in ("train", "val", "test"))
    assert val.a.names == ["11", "33"] and val.b.names == ["1"], "in natural order, every twentieth or so"
    assert len(train.a) == 43 and not {*train.a.names} & {*val.a.names} and train.b.names == ["0", "2"]
    assert test.a.names == ["0", "1"] and test.b.names == ["0"] and not test.aligned
    assert open_domains("horse2zebra", "train", root, limit=4).a.names == ["0", "1", "2", "3"]


def test_held_out_pictures_are_few_even_and_the_same() -> None:
    for n in (2, 3, 19, 40, 1067, 1334, 5153):
        chosen = held_out_of(n)
        assert len(chosen) == min(max(1, n // 20), 32) and min(chosen) >= 0 and max(chosen) < n
        gaps = np.diff(sorted(chosen))
        assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1
    assert len(held_out_of(1067)) == 32


def test_validation_on_disk_is_used(here: Path) -> None:
    root = fill(here / "zebras", trainA=45, trainB=40, valA=2, valB=3, testA=1, testB=1)
    assert len(open_domains("horse2zebra", "train", root).a) == 45
    assert open_domains("horse2zebra", "val", root).b.names == ["0", "1", "2"]


def test_folders_of_the_release_are_found(here: Path) -> None:
    for folder, n in (("train/cat", 4), ("train/dog", 3), ("val/cat", 2), ("val/dog", 1)):
        for i in range(n):
            write_png(here / "afhq" / folder / f"{folder[:2]}{i}.png", flat(i))
    assert len(open_domains("afhq-cat2dog", "train", here / "afhq").a) == 3
    test = open_domains("afhq-cat2dog", "test", here / "afhq")
    assert (test.a.names, test.b.names) == (["va0", "va1"], ["va0"])


def test_source_pictures_are_translated_at_the_published_size(here: Path) -> None:
    root = fill(here / "cats", trainA=2, trainB=2, testA=1, testB=1)
    write_png(root / "testA" / "0.png", noise(0))
    test, train = open_domains("drit-cat2dog", "test", root), open_domains("drit-cat2dog", "train", root)
    expected = np.asarray(Image.fromarray(noise(0)).resize((256, 256), Image.Resampling.BICUBIC))
    assert np.array_equal(test.a[0], expected)
    assert test.b[0].shape == train.a[0].shape == (20, 20, 3), "real pictures stay as they are"


def test_aligned_files(here: Path) -> None:
    root = here / "city"
    for split, n in (("train", 3), ("val", 2)):
        for i in range(n):
            write_png(root / split / f"{i}.png", np.concatenate([flat(10 + i), flat(200 + i)], axis=1))
    test, val, train = (open_domains("cityscapes", s, root) for s in ("test", "val", "train"))
    assert test.aligned and [int(x[0, 0, 0]) for x in test.a] == [200, 201] and int(test.b[1].max()) == 11
    assert train.a.names == train.b.names == ["0", "2"] and val.a.names == val.b.names == ["1"]
    (root / "val").rename(root / "test")
    write_png(root / "val" / "7.png", np.concatenate([flat(1), flat(2)], axis=1))
    assert open_domains("cityscapes", "val", root).a.names == ["7"]
    assert len(open_domains("cityscapes", "train", root).a) == 3
    write_png(root / "test" / "0.png", noise(0, 4, 7))
    with pytest.raises(UserError, match="odd width 7 has no two halves.*0.png"):
        open_domains("cityscapes", "test", root).a[0]


def test_either_side_may_be_the_source(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turned = dataclasses.replace(registry.get_dataset("cityscapes"), source="left")
    monkeypatch.setattr(registry, "datasets", lambda: {"cityscapes": turned})
    write_png(here / "city" / "test" / "0.png", np.concatenate([flat(10), flat(200)], axis=1))
    test = open_domains("cityscapes", "test", here / "city")
    assert (int(test.a[0].max()), int(test.b[0].max())) == (10, 200)


def test_pictures_are_kept_and_hashed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    domains = domains_of(here, 2, 2)
    first = domains.pixel_hash()
    (here / "A" / "0.png").unlink()
    assert domains.pixel_hash() == first and np.array_equal(domains.a[0], flat(0)), "decoded once"
    write_png(here / "A" / "0.png", flat(1))
    fresh = domains_of(here, 2, 2)
    assert fresh.pixel_hash() == first and fresh.a.pixel_hash() != fresh.b.pixel_hash()
    monkeypatch.setattr(unpaired, "CACHE_BYTES", 0)
    uncached = domains_of(here, 2, 2)
    assert uncached.pixel_hash() == first and not uncached.a._cache
    with pytest.raises(UserError, match="no label maps"):
        fresh.label(0)


@pytest.mark.parametrize(("break_it", "words"), [
    (lambda r: [p.unlink() for p in (r / "trainB").iterdir()], "'train' of 'horse2zebra': no pictures here.*trainB"),
    (lambda r: (r / "trainA").rename(r / "horses"), "'train' of 'horse2zebra': no such folder.*trainA.*expected"),
    (lambda r: [(r / "trainA" / f"{i}.png").unlink() for i in range(3)], "a single picture cannot be divided.*trainA")])
def test_missing_and_empty_domains_are_one_clear_line(here: Path, break_it: object, words: str) -> None:
    root = fill(here / "zebras", trainA=4, trainB=4, testA=1, testB=1)
    break_it(root)  # type: ignore[operator]
    with pytest.raises(UserError, match=words) as caught:
        open_domains("horse2zebra", "train", root)
    assert "\n" not in str(caught.value)


def test_wrong_questions(here: Path) -> None:
    root = fill(here / "zebras", trainA=4, trainB=4)
    for name, split, limit, words in (("haze-dense", "test", None, "not a dataset of two domains"),
                                      ("horse2zebra", "tests", None, "did you mean 'test'"),
                                      ("horse2zebra", "train", 0, "leaves no pictures")):
        with pytest.raises(UserError, match=words):
            open_domains(name, split, root, limit)
    with pytest.raises(UserError, match="reprolib data prepare photos-clear2hazy"):
        open_domains("photos-clear2hazy", "train", fill(here / "p", trainA=3))


# ---- batches

def test_a_is_a_permutation_and_b_is_drawn(here: Path) -> None:
    batches = UnpairedBatches(domains_of(here, 6, 4), 16, 16, 2, 60, seed=3)
    assert batches.steps_per_epoch == 3
    epochs = [[v for s in range(3 * e, 3 * e + 3) for v in shown(batches[s][0])] for e in range(20)]
    assert all(sorted(e) == list(range(6)) for e in epochs) and len({tuple(e) for e in epochs}) > 10
    drawn = [v for s in range(60) for v in shown(batches[s][1])]
    assert {*drawn} == {128, 129, 130, 131}
    assert [sorted(drawn[i : i + 4]) for i in range(0, 120, 4)] != [[128, 129, 130, 131]] * 30


def test_shorter_a_is_indexed_modulo(here: Path) -> None:
    batches = UnpairedBatches(domains_of(here, 3, 7), 16, 16, 2, 6, seed=0)
    seen = [v for s in range(3) for v in shown(batches[s][0])]
    counts = np.bincount(seen, minlength=3)
    assert batches.steps_per_epoch == 3 and counts.sum() == 6 and counts.max() <= 3 and counts.min() >= 1


def test_pure_function_of_seed_and_step(here: Path) -> None:
    domains = domains_of(here, 5, 5)
    write_png(here / "A" / "0.png", noise(0))
    first, again = (UnpairedBatches(domains, 18, 16, 2, 20, seed=1, calm_from=10) for _ in range(2))
    forward = [first[s] for s in range(20)]
    for step in (19, 3, 12, 0):
        assert all(torch.equal(x, y) for x, y in zip(again[step], forward[step], strict=True))
    other = UnpairedBatches(domains, 18, 16, 2, 20, seed=2)
    assert any(not torch.equal(other[s][0], forward[s][0]) for s in range(4))
    assert forward[0][0].dtype == torch.float32 and forward[0][0].shape == (2, 3, 16, 16)
    with pytest.raises(IndexError):
        first[20]


def test_resize_crop_and_flip(here: Path) -> None:
    write_png(here / "a.png", noise(0))
    write_png(here / "b.png", noise(1, 30, 17))
    domains = Domains(ImageFolder([here / "a.png"]), ImageFolder([here / "b.png"]))
    batches = UnpairedBatches(domains, 22, 16, 1, 300, seed=0, calm_from=200)
    plain = UnpairedBatches(domains, 22, 16, 1, 300, seed=0, calm_from=200, augment=False)

    def positions(step: int, side: str, size: int, source: UnpairedBatches = batches) -> tuple[int, int, bool]:
        """Where, and flipped or not, the crop is found in the resized picture."""
        image = Image.fromarray(noise(0) if side == "a" else noise(1, 30, 17))
        whole = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
        crop = source[step][side == "b"][0].permute(1, 2, 0)
        assert crop.min() >= -1 and crop.max() <= 1
        pixels = ((crop + 1) * 127.5).round().numpy().astype(np.uint8)
        for flipped in (False, True):
            look = pixels[:, ::-1] if flipped else pixels
            for top in range(size - 15):
                for left in range(size - 15):
                    if np.array_equal(whole[top : top + 16, left : left + 16], look):
                        return top, left, flipped
        raise AssertionError("not a crop of the resized picture")

    found = {side: [positions(s, side, 22) for s in range(100)] for side in "ab"}
    for side in "ab":
        tops, lefts, flips = (np.array(v) for v in zip(*found[side], strict=True))
        assert {*tops} == {*lefts} == set(range(7)) and 30 < flips.sum() < 70
    assert np.mean([x == y for x, y in zip(found["a"], found["b"], strict=True)]) < 0.1, "drawn apart"
    assert [positions(s, "a", 22, plain) for s in range(20)] == [(t, left, False) for t, left, _ in found["a"][:20]]
    calm = [positions(s, "a", 16) for s in range(200, 240)]
    assert {c[:2] for c in calm} == {(0, 0)} and {c[2] for c in calm} == {True, False}, "flips stay"


def test_full_memory_changes_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    domains = domains_of(here, 3, 3)
    expected = [UnpairedBatches(domains, 18, 16, 1, 6, seed=0)[s] for s in range(6)]
    monkeypatch.setattr(unpaired_batches, "CACHE_BYTES", 18 * 18 * 3)
    small = UnpairedBatches(domains, 18, 16, 1, 6, seed=0)
    assert all(torch.equal(x, y) for s in range(6) for x, y in zip(small[s], expected[s], strict=True))
    assert len(small._cache) == 2


def test_greyscale_and_odd_sizes(here: Path) -> None:
    Image.fromarray(noise(0, 31, 19)[..., 0]).save(here / "grey.png")
    write_png(here / "odd.png", noise(1, 17, 43))
    domains = Domains(ImageFolder([here / "grey.png"]), ImageFolder([here / "odd.png"]))
    a, b = UnpairedBatches(domains, 20, 16, 1, 1, seed=0)[0]
    assert a.shape == b.shape == (1, 3, 16, 16) and torch.equal(a[:, 0], a[:, 2]) and not torch.equal(b[:, 0], b[:, 2])


def test_settings_that_cannot_be(here: Path) -> None:
    domains = domains_of(here, 3, 4)
    for load, crop, batch, words in ((16, 17, 1, "crop of 17 does not fit into pictures loaded at 16"),
                                     (16, 16, 5, "batch of 5 from 4 pictures"), (16, 16, 0, "a batch of 0 crops")):
        with pytest.raises(UserError, match=words):
            UnpairedBatches(domains, load, crop, batch, 1, seed=0)


def test_unusable_domains_are_told_before_training(here: Path) -> None:
    domains = domains_of(here, 3, 3)
    write_png(here / "A" / "1.png", flat(0, 8))
    with pytest.raises(UserError, match="1 of 3 pictures of domain A cannot be used: 8x8 is too small.*A/1.png"):
        UnpairedBatches(domains, 16, 16, 1, 1, seed=0)
    for i in range(3):
        (here / "B" / f"{i}.png").write_text("not a picture")
        write_png(here / "A" / f"{i}.png", flat(i))
    with pytest.raises(UserError, match="none of the 3 pictures of domain B can be used: not a picture") as caught:
        UnpairedBatches(domains, 16, 16, 1, 1, seed=0)
    assert "\n" not in str(caught.value)


# ---- verify and register

@pytest.fixture
def tiny(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """horse2zebra as if it had a few pictures of 20x20, and a folder that has them."""
    splits = {"train": {"a": 3, "b": 4}, "val": {}, "test": {"a": 2, "b": 3}}
    small = dataclasses.replace(registry.get_dataset("horse2zebra"), size=(20, 20), splits=splits)
    everything = {**registry.datasets(), "horse2zebra": small}
    monkeypatch.setattr(registry, "datasets", lambda: everything)
    return fill(here / "zebras", trainA=3, trainB=4, testA=2, testB=3)


def test_whole_dataset_is_registered_and_a_sample_is_not(tiny: Path) -> None:
    assert "complete: 12 pictures, 12 of them decoded" in str(register("horse2zebra", tiny))
    assert open_domains("horse2zebra", "test").b.names == ["0", "1", "2"]
    (tiny / "trainA" / "2.png").unlink()
    assert "a sample: 11 of 12 pictures" in str(verify("horse2zebra", tiny))
    with pytest.raises(UserError, match="a sample: 11 of 12 pictures.*--root"):
        register("horse2zebra", tiny)


def test_every_fault_of_a_domain_is_named(tiny: Path) -> None:
    write_png(tiny / "testA" / "9.png", flat(0))
    assert verify("horse2zebra", tiny).problems == [
        f"testA has 3 pictures where 2 are expected: {registry.get_dataset('horse2zebra').wrong_release}"]
    (tiny / "testA" / "9.png").unlink()
    write_png(tiny / "testA" / "1.png", flat(0, 30))
    assert verify("horse2zebra", tiny).problems == ["1.png is 30x30 instead of 20x20"]
    path = tiny / "testA" / "1.png"
    write_png(path, noise(0, 20, 20))
    path.write_bytes(path.read_bytes()[:200])
    assert ["truncated" in p and "1.png" in p for p in verify("horse2zebra", tiny).problems] == [True]
    write_png(path, flat(0))
    for i in range(4):
        (tiny / "trainB" / f"{i}.png").write_bytes(b"")
    (problem,) = verify("horse2zebra", tiny).problems
    assert "none of 4 pictures of trainB can be used, such as 0.png: not a picture" in problem
    for i in range(4):
        write_png(tiny / "trainB" / f"{i}.png", flat(i, 4))
    (problem,) = verify("horse2zebra", tiny).problems
    assert "none of 4 pictures of trainB can be used" in problem and "4x4 is too small" in problem
    for i in range(4):
        (tiny / "trainB" / f"{i}.png").unlink()
    with pytest.raises(UserError, match="this is not horse2zebra: no pictures here.*trainB"):
        register("horse2zebra", tiny)
    (tiny / "trainB").rmdir()
    with pytest.raises(UserError, match="this is not horse2zebra: no such folder.*trainB.*expected is"):
        register("horse2zebra", tiny)


def test_samples_beside_the_project(shared: Path) -> None:
    for name, folder, words in (("horse2zebra", "horse2zebra", "a sample: 1,061 of 2,661 pictures"),
                                ("drit-cat2dog", "cat2dog", "complete: 2,235 pictures"),
                                ("cityscapes", "cityscapes", "a sample: 348 of 3,475 pairs")):
        report = verify(name, shared / "data" / folder)
        assert not report.problems and words in str(report)
    city = open_domains("cityscapes", "test", shared / "data" / "cityscapes", limit=2)
    road = (city.label(0)[128:] == 0).mean()
    assert road > 0.3 and city.b[0].shape == (256, 256, 3), "the map is the source: its lower half is mostly road"
    a, b = UnpairedBatches(open_domains("horse2zebra", "train", shared / "data" / "horse2zebra", limit=20),
                           286, 256, 1, 2, seed=0)[1]
    assert a.shape == b.shape == (1, 3, 256, 256) and a.std() > 0.1
