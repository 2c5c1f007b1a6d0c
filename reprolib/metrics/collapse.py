"""When a network's picture is no picture: kept apart from the measures, whose libraries take a second to load."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def is_collapsed(restored_HW3: NDArray[np.floating]) -> bool:
    """True if a network's output, limited to [0, 1], is one colour all over.

    'One colour' is a spatial standard deviation under one 8-bit step in every channel. A saturated output (all 0 or
    all 1, where a Tanh ends at a high learning rate) is one colour once it is limited, and so is counted. NaN is not
    one colour: it has a status of its own.
    """
    deviation_3 = np.asarray(restored_HW3, dtype=np.float64).clip(0, 1).std(axis=(0, 1))
    return bool((deviation_3 < 1 / 255).all())
