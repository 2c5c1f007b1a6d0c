"""CIEDE2000 colour difference, by scikit-image: how far apart two colours look, where 1 is just noticeable.

Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula: implementation notes, supplementary test data, and
mathematical observations", Color Research & Application 2005. Pictures are taken as sRGB under D65.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from reprolib.metrics.metric import Metric


def ciede2000(restored_HW3: NDArray[np.float64], clear_HW3: NDArray[np.float64]) -> float:
    """Mean over pixels."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    return float(deltaE_ciede2000(rgb2lab(clear_HW3), rgb2lab(restored_HW3)).mean())


METRIC = Metric(name="ciede2000", label="CIEDE2000", better="lower", range=(0.0, math.inf), of="pictures",
                function=ciede2000)
