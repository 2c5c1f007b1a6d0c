"""Share of a class's pixels that were recognised, averaged over all 19 classes: one that does not occur counts 0.

So does pix2pix's script (Isola et al., CVPR 2017); `classacc` leaves such classes out, as drn does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reprolib.metrics.metric import Metric

if TYPE_CHECKING:
    from reprolib.metrics.segmentation import Confusion


def classacc_all(confusion: Confusion) -> float:
    """In percent; NaN if nothing was counted."""
    from reprolib.metrics.segmentation import mean_percent_of_all

    return mean_percent_of_all(confusion.right, confusion.truth)


METRIC = Metric(name="classacc_all", label="class accuracy (absent classes 0)", unit="%", better="higher",
                range=(0.0, 100.0), of="labels", function=classacc_all)
