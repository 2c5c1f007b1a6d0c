"""Frechet distance of VGG16's features (relu5_1, averaged over positions), for places without Inception's weights.

The equation is FID's, the features are not, and so neither are the numbers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reprolib.metrics.metric import Metric, Score

if TYPE_CHECKING:
    from reprolib.metrics.distance import PictureSet


def fd_vgg16(real: PictureSet, fake: PictureSet) -> Score:
    """Symmetric in the sets; comparable at equal counts of pictures only."""
    from reprolib.metrics.distance import distances

    return distances(real, fake, "vgg16").frechet


METRIC = Metric(name="fd_vgg16", label="FD-VGG16", better="lower", range=(0.0, math.inf), everywhere=True, of="sets",
                features="vgg16", function=fd_vgg16, stands_for="fid")
