"""Intersection over union, averaged over all 19 classes: one that occurs neither in truth nor prediction counts 0.

So does pix2pix's script (Isola et al., CVPR 2017), on which older tables stand; `miou` leaves such classes out, as drn
and CUT's evaluation do. Where every class occurs, both are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reprolib.metrics.metric import Metric

if TYPE_CHECKING:
    from reprolib.metrics.segmentation import Confusion


def miou_all(confusion: Confusion) -> float:
    """In percent; NaN if nothing was counted."""
    from reprolib.metrics.segmentation import mean_percent_of_all

    right, truth, predicted = confusion.right, confusion.truth, confusion.predicted
    return mean_percent_of_all(right, truth + predicted - right)


METRIC = Metric(name="miou_all", label="mIoU (absent classes 0)", unit="%", better="higher", range=(0.0, 100.0),
                of="labels", function=miou_all)
