"""Segmentation scores by closed forms and an independent loop; at the segmenter's size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from reprolib import metrics
from reprolib.data.labels import PALETTE, VOID, encode
from reprolib.errors import UserError
from reprolib.metrics.segmentation import Confusion, confusion_of, load_segmenter, segment


def loop(truths: list[np.ndarray], predictions: list[np.ndarray], classes: int) -> dict[str, float]:
    """The scores pixel by pixel, from sets of pixels and not from a matrix."""
    pixels = [(int(t), int(p)) for a, b in zip(truths, predictions, strict=True)
              for t, p in zip(a.ravel(), b.ravel(), strict=True)]
    kept = [(t, p) for t, p in pixels if t != VOID]
    ious, accuracies = [], []
    for c in range(classes):
        truth = {i for i, (t, _) in enumerate(kept) if t == c}
        predicted = {i for i, (_, p) in enumerate(kept) if p == c}
        if truth | predicted:
            ious.append(len(truth & predicted) / len(truth | predicted))
        if truth:
            accuracies.append(len(truth & predicted) / len(truth))
    right = sum(t == p for t, p in kept)
    return {"miou": 100 * np.mean(ious), "classacc": 100 * np.mean(accuracies),
            "pixacc": 100 * right / len(kept), "pixacc_void": 100 * right / len(pixels)}


def scores(confusion: Confusion) -> dict[str, float]:
    """Every metric of labels that is measured everywhere."""
    return {name: metrics.get(name).function(confusion) for name in metrics.names("labels")
            if metrics.get(name).everywhere}


def test_scores_agree_with_a_loop() -> None:
    random = np.random.default_rng(0)
    confusion, truths, predictions = Confusion(), [], []
    for _ in range(3):  # classes 15 to 18 never occur, 12 to 14 are only ever predicted
        truth = random.integers(0, 12, (9, 13)).astype(np.uint8)
        truth[random.random(truth.shape) < 0.2] = VOID
        predicted = np.where(random.random(truth.shape) < 0.4, truth, random.integers(0, 15, truth.shape))
        predicted = np.where(predicted == VOID, 3, predicted).astype(np.uint8)
        truths.append(truth)
        predictions.append(predicted)
        confusion.add(truth, predicted)
    assert scores(confusion) == pytest.approx(loop(truths, predictions, 19))
    assert confusion.matrix.sum() + confusion.void == 3 * 9 * 13


def test_closed_form() -> None:
    """Half of class 0 is taken for class 1, a quarter of the picture is void."""
    truth = np.array([[0, 0, 1, VOID]], np.uint8)
    confusion = Confusion()
    confusion.add(truth, np.array([[0, 1, 1, 5]], np.uint8))
    assert scores(confusion) == pytest.approx(
        {"miou": 50, "classacc": 75, "pixacc": 200 / 3, "pixacc_void": 50})
    assert confusion.matrix[0, 1] == 1 and confusion.matrix[1, 0] == 0  # rows are the truth


def test_one_matrix_over_all_pictures_is_not_a_mean_over_pictures() -> None:
    confusion = Confusion()
    confusion.add(np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8))
    confusion.add(np.zeros((1, 3), np.uint8), np.ones((1, 3), np.uint8))
    assert scores(confusion)["classacc"] == pytest.approx(25)


def test_nothing_but_void() -> None:
    confusion = Confusion()
    confusion.add(np.full((2, 2), VOID, np.uint8), np.zeros((2, 2), np.uint8))
    found = scores(confusion)
    assert all(np.isnan(found[name]) for name in ("miou", "classacc", "pixacc")) and found["pixacc_void"] == 0


@pytest.mark.parametrize(("truth", "predicted", "message"), [
    (np.zeros((2, 2)), np.zeros((2, 3)), "label map of .2, 2. against"),
    (np.full((2, 2), 30), np.zeros((2, 2)), "label map with labels from 30"),
    (np.zeros((2, 2)), np.full((2, 2), 19), "prediction with labels from 19"),
])
def test_bad_labels(truth: np.ndarray, predicted: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Confusion().add(truth.astype(np.uint8), predicted.astype(np.uint8))


class Painter(nn.Module):
    """A perfect segmenter of pictures that are painted in the palette; 8 x 16 pixels."""

    size = (8, 16)

    def __init__(self) -> None:
        super().__init__()
        self.palette = nn.Parameter(torch.from_numpy(PALETTE).float() / 255)
        self.saw: list[Tensor] = []

    def forward(self, x_B3HW: Tensor) -> Tensor:
        self.saw.append(x_B3HW)
        return -(x_B3HW[:, None] - self.palette[None, :, :, None, None]).square().sum(2)


def test_judged_at_the_segmenters_size() -> None:
    """Photo bicubic, truth nearest, by Pillow; a label map is its own perfect photo where resizing adds no colours."""
    random = np.random.default_rng(0)
    label = random.integers(0, 19, (8, 16)).astype(np.uint8).repeat(4, 0).repeat(2, 1)
    label[:4, :2] = VOID
    photo = random.integers(0, 256, (*label.shape, 3), dtype=np.uint8)
    painter = Painter()
    predicted = segment(painter, photo)
    assert predicted.shape == (8, 16)
    bicubic = np.asarray(Image.fromarray(photo).resize((16, 8), Image.Resampling.BICUBIC))
    assert torch.equal(painter.saw[0][0], torch.from_numpy(bicubic.copy()).permute(2, 0, 1).float() / 255)

    confusion = Confusion()
    confusion.add(label[::4, ::2], predicted)  # blocks of one label: any nearest rule picks these
    by_ids = confusion_of(painter, [photo], [label])
    assert np.array_equal(by_ids.matrix, confusion.matrix) and by_ids.void == confusion.void and by_ids.ambiguous == 0
    by_colours = confusion_of(painter, [photo], [encode(label)])
    assert np.array_equal(by_colours.matrix, by_ids.matrix) and by_colours.void == by_ids.void

    small = encode(random.integers(0, 19, (8, 16)).astype(np.uint8))
    assert scores(confusion_of(painter, [small], [small]))["miou"] == 100


def test_counts_ambiguous_colours() -> None:
    painted = np.tile(PALETTE[0], (8, 16, 1))
    painted[:2] = PALETTE[[0, 1]].mean(0)  # halfway between two classes
    assert confusion_of(Painter(), [painted], [painted]).ambiguous == 25


def test_as_many_maps_as_photos() -> None:
    with pytest.raises(UserError, match="0 photos against 1"):
        confusion_of(Painter(), [], [np.zeros((8, 16), np.uint8)])


def test_an_absent_segmenter_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no trained segmenter"):
        load_segmenter(tmp_path / "last.safetensors")
