"""Share of a class's pixels that were recognised, averaged over classes that occur in the truth, as drn does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reprolib.metrics.metric import Metric

if TYPE_CHECKING:
    from reprolib.metrics.segmentation import Confusion


def classacc(confusion: Confusion) -> float:
    """In percent; NaN if nothing was counted."""
    from reprolib.metrics.segmentation import mean_percent

    return mean_percent(confusion.right, confusion.truth)



METRIC = Metric(name="classacc", label="class accuracy", unit="%", better="higher", range=(0.0, 100.0), everywhere=True,
                of="labels", function=classacc)
