"""Kernel distance of VGG16's features, for places without Inception's weights: KID's estimate, other features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reprolib.metrics.metric import Metric, Score

if TYPE_CHECKING:
    from reprolib.metrics.distance import PictureSet


def kid_vgg16(real: PictureSet, fake: PictureSet) -> Score:
    """Mean over random subsets of one size; can lie below 0."""
    from reprolib.metrics.distance import distances

    return distances(real, fake, "vgg16").kernel


METRIC = Metric(name="kid_vgg16", label="KD-VGG16", better="lower", decimals=4, everywhere=True, of="sets",
                features="vgg16", function=kid_vgg16, stands_for="kid_inception")
