"""Intersection over union, averaged over classes that occur in truth or prediction.

drn, CUT's evaluation code, prints it as "mAP", and so does CUT's table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reprolib.metrics.metric import Metric

if TYPE_CHECKING:
    from reprolib.metrics.segmentation import Confusion


def miou(confusion: Confusion) -> float:
    """In percent; NaN if nothing was counted."""
    from reprolib.metrics.segmentation import mean_percent

    right, truth, predicted = confusion.right, confusion.truth, confusion.predicted
    return mean_percent(right, truth + predicted - right)



METRIC = Metric(name="miou", label="mIoU", unit="%", better="higher", range=(0.0, 100.0), everywhere=True, of="labels",
                function=miou)
