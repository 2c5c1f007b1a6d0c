"""Frechet Inception distance of two sets of pictures.

Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", NeurIPS 2017,
equation 6, with the features that define it and no others.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reprolib.metrics.metric import Metric, Score

if TYPE_CHECKING:
    from reprolib.metrics.distance import PictureSet


def fid(real: PictureSet, fake: PictureSet) -> Score:
    """Symmetric in the sets; comparable at equal counts of pictures only."""
    from reprolib.metrics.distance import distances

    return distances(real, fake, "inception").frechet


METRIC = Metric(name="fid", label="FID", better="lower", range=(0.0, math.inf), everywhere=True, of="sets",
                features="inception", function=fid)
