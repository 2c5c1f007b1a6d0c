"""Training on several datasets together."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from reprolib.data import identity
from reprolib.data.batches import StepBatches
from reprolib.data.identity import dataset_identity, explain
from reprolib.data.images import write_png
from reprolib.data.mixture import MixedBatches
from reprolib.data.notes import note_of, training_note
from reprolib.data.prepare import prepare
from reprolib.data.registry import datasets, get_dataset, locate
from reprolib.data.scenes import FixedHaze, open_scenes
from reprolib.data.verify import verify
from reprolib.errors import UserError

NAME = "desk-haze"


class Constant(StepBatches):
    """Batches that say which part they are of, and at which step."""

    def __init__(self, value: float):
        super().__init__(1000, 0)
        self.value = value

    def draw(self, step: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        rows = torch.full((4, 1), self.value)[self.rows]
        return rows, torch.full_like(rows, float(random.random()))


def mixed(seed: int = 0) -> MixedBatches:
    return MixedBatches([Constant(1.0), Constant(2.0), Constant(3.0)], (0.6, 0.3, 0.1), 1000, seed)


def test_each_step_takes_its_batch_from_one_part_by_the_shares() -> None:
    seen = Counter()
    for step in range(1000):
        values = set(mixed()[step][0].flatten().tolist())
        assert len(values) == 1
        seen.update(values)
    for value, share in ((1.0, 600), (2.0, 300), (3.0, 100)):
        assert abs(seen[value] - share) < 4 * np.sqrt(share)


def test_batches_are_a_pure_function_of_seed_and_step_and_rows_a_part_of_them() -> None:
    one, other, part = mixed(), mixed(), mixed()
    part.rows = slice(1, 3)
    for step in reversed(range(50)):
        assert all(torch.equal(a, b) for a, b in zip(one[step], other[step], strict=True))
        assert all(torch.equal(a[1:3], b) for a, b in zip(one[step], part[step], strict=True))
    assert any(not torch.equal(one[s][0], mixed(seed=1)[s][0]) for s in range(50))


def test_every_part_of_a_mixture_can_be_trained_on() -> None:
    for dataset in datasets().values():
        for part in dataset.parts:
            assert {"train", "val"} <= set(get_dataset(part).splits) and get_dataset(part).task == dataset.task


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tiny stand-ins for all parts, and the street photos as they are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    grey = np.full((40, 40, 3), 90, np.uint8)
    for folder, names in (("reside-its-like/images", (3, 20, 1351)), ("reside-its-like/depths", (3, 20, 1351)),
                          ("nh-haze/hazy", ("01", "44")), ("nh-haze/clear", ("01", "44"))):
        for number, name in enumerate(names):
            write_png(Path("data") / folder / f"{name}.png", grey + number)
    prepare("street-haze")
    return tmp_path


def test_a_mixture_is_here_if_all_its_parts_are_and_is_bound_to_all(here: Path) -> None:
    assert locate(NAME) == Path("data/reside-its-like")
    before = {split: dataset_identity(NAME, split).digest for split in ("train", "val")}
    write_png(Path("data/nh-haze/hazy/01.png"), np.full((40, 40, 3), 7, np.uint8))
    after = {split: dataset_identity(NAME, split).digest for split in ("train", "val")}
    assert after["train"] != before["train"] and after["val"] == before["val"]
    assert note_of(NAME) == f"{note_of('reside-its-like')}; {note_of('street-haze')}"
    assert training_note(NAME) == "nh-haze: training sample: 1 of 42"
    with pytest.raises(UserError, match="no folder of its own.*register its parts"):
        locate(NAME, here)
    with pytest.raises(UserError, match="is a mixture of .*check each of them"):
        verify(NAME)
    (here / "data" / "nh-haze").rename(here / "gone")
    with pytest.raises(UserError, match="dataset 'nh-haze' is not on this machine"):
        locate(NAME)


def test_kind_34_ranges_of_haze_and_shares_of_parts_are_part_of_the_identity(
        here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: dataset_identity(name, "train") for name in (NAME, "street-haze")}
    street, desk = get_dataset("street-haze"), get_dataset(NAME)
    changed = {"street-haze": replace(street, haze={**street.haze, "patchy": 0.1}),
               NAME: replace(desk, parts={**desk.parts, "nh-haze": 0.2})}
    for name, other in changed.items():
        with monkeypatch.context() as patch:
            patch.setattr(identity, "get_dataset", lambda n, it=name, other=other: other if n == it else get_dataset(n))
            after = {each: dataset_identity(each, "train") for each in before}
        assert after[NAME].digest != before[NAME].digest, "a mixture is bound to what its parts say, too"
        assert (after["street-haze"].digest != before["street-haze"].digest) == (name == "street-haze")
        assert "manifest" in explain(before[NAME], after[NAME])


def test_street_photos_with_their_assumed_depth(here: Path) -> None:
    report = verify("street-haze", full=True)
    assert report.complete and not report.problems and report.found == 58
    train, val = (open_scenes("street-haze", split) for split in ("train", "val"))
    assert (len(train), len(val)) == (50, 8) and not {n for n, *_ in train.files} & {n for n, *_ in val.files}
    assert train.haze.patchy > 0 and train.size(0) == (480, 320)
    for pair in FixedHaze(val):
        assert pair.hazy.mean() > pair.clear.mean() - 20 and pair.hazy.std() < pair.clear.std()
    depth = train[0].relative()
    assert depth.max() == 1 and 0.1 < depth.min() < 0.2
