"""How well translated street scenes keep their label maps, as a segmenter sees them (CUT's Cityscapes columns).

The photos are segmented by a DRN-D-22 that was trained on real ones, and compared with the maps that they were made
from. One confusion matrix is summed over all pictures. CUT's 'mAP' is the mean intersection over union of the classes:
drn, its evaluation code, prints that under this name. drn has no pixel accuracy. Follow-ups compute it in two ways,
which differ a lot, and so both are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from reprolib.data.labels import CLASSES, VOID, decode
from reprolib.errors import UserError
from reprolib.models.segmentation.drn import DRND22, NAME
from reprolib.models.weights import load_weights, read_options


class Confusion:
    """Counts of pixels by truth (row) and prediction (column), and of void ones; void is in no row."""

    def __init__(self, classes: int = len(CLASSES)):
        self.matrix = np.zeros((classes, classes), np.int64)
        self.void = 0

    def add(self, truth_HW: np.ndarray, predicted_HW: np.ndarray) -> None:
        """Count one picture; labels are 0 to classes - 1, and `VOID` in the truth.

        Raises:
            UserError: the two differ in size, or a label is none of these.
        """
        classes = len(self.matrix)
        if truth_HW.shape != predicted_HW.shape:
            raise UserError(f"a label map of {truth_HW.shape} against a prediction of {predicted_HW.shape}",
                            fix="resize the map (nearest) to the size of the prediction")
        scored = truth_HW != VOID
        truth, predicted = truth_HW[scored].astype(np.int64), predicted_HW[scored].astype(np.int64)
        for what, labels in (("label map", truth), ("prediction", predicted)):
            if labels.size and not 0 <= labels.min() <= labels.max() < classes:
                raise UserError(f"a {what} with labels from {labels.min()} to {labels.max()}",
                                fix=f"expected 0 to {classes - 1}, and {VOID} for void")
        self.matrix += np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)
        self.void += int((~scored).sum())

    def scores(self) -> dict[str, float]:
        """In percent: `miou`, `classacc`, `pixacc` (void left out) and `pixacc_void` (void counted as wrong).

        Means are over classes that occur: for `miou` in truth or prediction, for `classacc` in the truth, as drn and
        its users do. NaN where nothing was counted.
        """
        right, truth, predicted = self.matrix.diagonal(), self.matrix.sum(axis=1), self.matrix.sum(axis=0)
        scored, correct = int(truth.sum()), int(right.sum())
        return {
            "miou": _mean_percent(right, truth + predicted - right),
            "classacc": _mean_percent(right, truth),
            "pixacc": _percent(correct, scored),
            "pixacc_void": _percent(correct, scored + self.void),
        }


def _mean_percent(part: np.ndarray, whole: np.ndarray) -> float:
    occurs = whole > 0
    return float(100 * (part[occurs] / whole[occurs]).mean()) if occurs.any() else float("nan")


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else float("nan")


def segment(segmenter: nn.Module, photo_HW3: np.ndarray) -> np.ndarray:
    """Predicted labels of a photo at the segmenter's size, uint8 HW; the photo is resized bicubically."""
    height, width = _size(segmenter)
    resized_HW3 = resize(photo_HW3, (height, width), Image.Resampling.BICUBIC)
    device = next(segmenter.parameters()).device
    segmenter.eval()
    with torch.inference_mode():
        x_13HW = torch.from_numpy(resized_HW3).to(device).permute(2, 0, 1)[None].float() / 255
        predicted_HW: np.ndarray = segmenter(x_13HW)[0].argmax(dim=0).to("cpu", torch.uint8).numpy()
    return predicted_HW


def segmentation_scores(segmenter: nn.Module, photos: Sequence[np.ndarray],
                        labels: Sequence[np.ndarray]) -> dict[str, float]:
    """Segment photos and compare with the label maps that they belong to, at the segmenter's size.

    Args:
        segmenter: a `DRND22`, or any network with its `size` and shapes.
        photos: uint8 RGB HW3, resized bicubically.
        labels: one a photo, resized to the nearest pixel: uint8 HW of trainIds, or HW3 painted in Cityscapes' colours
            (decoded to the nearest colour). TrainIds are exact, colours out of JPEG files are not.

    Returns:
        See `Confusion.scores`; further 'n', and 'ambiguous', the share in percent of pixels whose colour was doubtful.

    Raises:
        UserError: not as many maps as photos, or none.
    """
    if len(photos) != len(labels) or not photos:
        raise UserError(f"{len(photos)} photos against {len(labels)} label maps", fix="give one map a photo")
    confusion, ambiguous, pixels = Confusion(), 0, 0
    for photo_HW3, label in zip(photos, labels, strict=True):
        truth_HW, doubtful = true_labels(label, _size(segmenter))
        confusion.add(truth_HW, segment(segmenter, photo_HW3))
        ambiguous, pixels = ambiguous + doubtful, pixels + truth_HW.size
    return {**confusion.scores(), "n": len(photos), "ambiguous": 100 * ambiguous / pixels}


def true_labels(label: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, int]:
    """TrainIds HW of a map (HW ids or HW3 colours) at a size, and how many pixels had a doubtful colour."""
    resized = resize(label, size, Image.Resampling.NEAREST)
    return decode(resized) if resized.ndim == 3 else (resized, 0)


def resize(picture: np.ndarray, size: tuple[int, int], how: Image.Resampling) -> np.ndarray:
    """To height and width, by Pillow; a copy, uint8 like the picture."""
    return np.array(Image.fromarray(picture).resize((size[1], size[0]), how))


def load_segmenter(weights: Path) -> DRND22:
    """A trained segmenter of ours with its width and size, in evaluation.

    Raises:
        UserError: no such file, or not a segmenter.
    """
    if not weights.is_file():
        raise UserError("no trained segmenter", where=weights, fix="run `reprolib train-segmenter DATASET`")
    segmenter = DRND22(**read_options(weights, NAME)).eval()
    load_weights(segmenter, weights)
    return segmenter


def _size(segmenter: nn.Module) -> tuple[int, int]:
    size: tuple[int, int] = segmenter.size  # type: ignore[assignment]  # mypy takes a module's fields for tensors
    return size
