"""How well translated street scenes keep their label maps, as a segmenter sees them (CUT's Cityscapes columns).

The photos are segmented by a DRN-D-22 that was trained on real ones, and compared with the maps that they were made
from. One confusion matrix is summed over all pictures; the metrics of labels are functions of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from reprolib.data.channels import as_rgb
from reprolib.data.labels import CLASSES, VOID, decode
from reprolib.errors import UserError
from reprolib.models.segmentation.drn import DRND22
from reprolib.models.weights import load_weights, read_header

Picture = NDArray[np.uint8]


class Confusion:
    """Counts of pixels by truth (row) and prediction (column), and of void ones; void is in no row.

    Our own: torchmetrics has one, and takes 5 s to load on two cores, torch itself not counted.
    """

    def __init__(self, classes: int = len(CLASSES)):
        self.matrix = np.zeros((classes, classes), np.int64)
        self.void = 0
        self.doubtful = 0

    def add(self, truth_HW: Picture, predicted_HW: Picture, doubtful: int = 0) -> None:
        """Count one picture; labels are 0 to classes - 1, and `VOID` in the truth, of whose pixels some are doubtful.

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
        self.doubtful += doubtful

    @property
    def right(self) -> NDArray[np.int64]:
        """Pixels of each class that were recognised."""
        return self.matrix.diagonal()

    @property
    def truth(self) -> NDArray[np.int64]:
        """Pixels of each class in the truth."""
        return np.asarray(self.matrix.sum(axis=1))

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Pixels of each class in the predictions, where the truth is not void."""
        return np.asarray(self.matrix.sum(axis=0))

    @property
    def ambiguous(self) -> float:
        """Share in percent of true pixels whose painted colour was doubtful."""
        return percent(self.doubtful, int(self.matrix.sum()) + self.void)


def mean_percent(part: NDArray[np.int64], whole: NDArray[np.int64]) -> float:
    """Mean of part / whole over classes with a whole, in percent; NaN without any."""
    occurs = whole > 0
    return float(100 * (part[occurs] / whole[occurs]).mean()) if occurs.any() else float("nan")


def mean_percent_of_all(part: NDArray[np.int64], whole: NDArray[np.int64]) -> float:
    """Mean of part / whole over all classes, in percent, where 0 / 0 is 0; NaN if there is nothing in any."""
    return float(100 * (part / np.maximum(whole, 1)).mean()) if whole.any() else float("nan")


def percent(part: int, whole: int) -> float:
    """NaN of nothing."""
    return 100 * part / whole if whole else float("nan")


def segment(segmenter: nn.Module, photo_HW3: Picture) -> Picture:
    """Predicted labels of a photo at the segmenter's size, uint8 HW; the photo is resized bicubically."""
    height, width = _size(segmenter)
    resized_HW3 = resize(as_rgb(photo_HW3), (height, width), Image.Resampling.BICUBIC)
    device = next(segmenter.parameters()).device
    segmenter.eval()
    with torch.inference_mode():
        x_13HW = torch.from_numpy(resized_HW3).to(device).permute(2, 0, 1)[None].float() / 255
        predicted_HW: Picture = segmenter(x_13HW)[0].argmax(dim=0).to("cpu", torch.uint8).numpy()
    return predicted_HW


def confusion_of(segmenter: nn.Module, photos: Sequence[Picture], labels: Sequence[Picture]) -> Confusion:
    """Segment photos and compare with the label maps that they belong to, at the segmenter's size.

    Args:
        segmenter: a `DRND22`, or any network with its `size` and shapes.
        photos: uint8, RGB HW3 or grey HW1, resized bicubically.
        labels: one a photo, resized to the nearest pixel: uint8 HW of trainIds, or HW3 painted in Cityscapes' colours
            (decoded to the nearest colour). TrainIds are exact, colours out of JPEG files are not.

    Raises:
        UserError: not as many maps as photos, or none.
    """
    if len(photos) != len(labels) or not photos:
        raise UserError(f"{len(photos)} photos against {len(labels)} label maps", fix="give one map a photo")
    confusion = Confusion()
    for photo_HW3, label in zip(photos, labels, strict=True):
        truth_HW, doubtful = true_labels(label, _size(segmenter))
        confusion.add(truth_HW, segment(segmenter, photo_HW3), doubtful)
    return confusion


def true_labels(label: Picture, size: tuple[int, int]) -> tuple[Picture, int]:
    """TrainIds HW of a map (HW ids or HW3 colours) at a size, and how many pixels had a doubtful colour."""
    resized = resize(label, size, Image.Resampling.NEAREST)
    return decode(resized) if resized.ndim == 3 else (resized, 0)


def resize(picture: Picture, size: tuple[int, int], how: Image.Resampling) -> Picture:
    """To height and width, by Pillow; a copy, uint8 like the picture."""
    return np.array(Image.fromarray(picture).resize((size[1], size[0]), how))


def load_segmenter(weights: Path) -> DRND22:
    """A trained segmenter of ours with its width and size, in evaluation.

    Raises:
        UserError: no such file, or not a segmenter.
    """
    if not weights.is_file():
        raise UserError("no trained segmenter", where=weights, fix="run `reprolib segmenter`")
    segmenter = DRND22(**read_header(weights, "segmenter").options).eval()
    load_weights(segmenter, weights)
    return segmenter


def _size(segmenter: nn.Module) -> tuple[int, int]:
    size: tuple[int, int] = segmenter.size  # type: ignore[assignment]  # mypy takes a module's fields for tensors
    return size
