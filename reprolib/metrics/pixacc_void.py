"""Share of pixels that were recognised, with void ones counted as wrong: follow-ups compute it so too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reprolib.metrics.metric import Metric

if TYPE_CHECKING:
    from reprolib.metrics.segmentation import Confusion


def pixacc_void(confusion: Confusion) -> float:
    """In percent; NaN if nothing was counted."""
    from reprolib.metrics.segmentation import percent

    return percent(int(confusion.right.sum()), int(confusion.truth.sum()) + confusion.void)



METRIC = Metric(name="pixacc_void", label="pixel accuracy, void wrong", unit="%", better="higher",
                range=(0.0, 100.0), everywhere=True, of="labels", function=pixacc_void)
