"""Share of pixels that were recognised; void ones are left out. drn has no such score; follow-ups compute it so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reprolib.metrics.metric import Metric

if TYPE_CHECKING:
    from reprolib.metrics.segmentation import Confusion


def pixacc(confusion: Confusion) -> float:
    """In percent; NaN if nothing was counted."""
    from reprolib.metrics.segmentation import percent

    return percent(int(confusion.right.sum()), int(confusion.truth.sum()))



METRIC = Metric(name="pixacc", label="pixel accuracy", unit="%", better="higher", range=(0.0, 100.0), everywhere=True,
                of="labels", function=pixacc)
