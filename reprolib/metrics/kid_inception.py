"""Kernel Inception distance of two sets of pictures: unbiased, where few pictures bias the Frechet distance up.

Binkowski et al., "Demystifying MMD GANs", ICLR 2018, section 3: polynomial kernel of degree 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reprolib.metrics.metric import Metric, Score

if TYPE_CHECKING:
    from reprolib.metrics.distance import PictureSet


def kid_inception(real: PictureSet, fake: PictureSet) -> Score:
    """Mean over random subsets of one size; can lie below 0."""
    from reprolib.metrics.distance import distances

    return distances(real, fake, "inception").kernel


METRIC = Metric(name="kid_inception", label="KID", better="lower", decimals=4, everywhere=True, of="sets",
                features="inception", function=kid_inception)
