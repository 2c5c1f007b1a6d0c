"""Peak signal-to-noise ratio: 10 log10(range^2 / mean squared error), by scikit-image."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from reprolib.metrics.metric import Metric
from reprolib.metrics.protocols import Protocol, plane


def psnr(restored_HW3: NDArray[np.float64], clear_HW3: NDArray[np.float64], protocol: Protocol) -> float:
    """In dB; infinite for equal pictures."""
    from skimage.metrics import peak_signal_noise_ratio

    if protocol.shave:
        inner = slice(protocol.shave, -protocol.shave)
        restored_HW3, clear_HW3 = restored_HW3[inner, inner], clear_HW3[inner, inner]
    restored, clear = plane(restored_HW3, protocol.psnr_on), plane(clear_HW3, protocol.psnr_on)
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(clear, restored, data_range=1))


METRIC = Metric(name="psnr", label="PSNR", unit="dB", better="higher", range=(0.0, math.inf), everywhere=True,
                of="pictures", function=psnr, by_protocol=True)
