"""Structural similarity, by scikit-image.

Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity", IEEE TIP
2004, with K1 = 0.01 and K2 = 0.03.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reprolib.errors import UserError
from reprolib.metrics.metric import Metric
from reprolib.metrics.protocols import GAUSSIAN, Protocol, plane

POOLED_SIDE = 256
"""gUNet shrinks a picture until its shorter side is about this many pixels."""


def ssim(restored_HW3: NDArray[np.float64], clear_HW3: NDArray[np.float64], protocol: Protocol) -> float:
    """Mean over pixels, and over channels where there are three.

    Raises:
        UserError: pictures smaller than the window.
    """
    from skimage.metrics import structural_similarity

    if protocol.pooled:
        restored_HW3, clear_HW3 = _pool(restored_HW3), _pool(clear_HW3)
    window = protocol.window
    if min(clear_HW3.shape[:2]) < window:
        raise UserError(
            f"a picture of {clear_HW3.shape[0]}x{clear_HW3.shape[1]} pixels is smaller than the "
            f"{window}x{window} window of SSIM", fix=f"give pictures of at least {window} pixels a side")
    restored, clear = plane(restored_HW3, protocol.ssim_on), plane(clear_HW3, protocol.ssim_on)
    if protocol.volume:
        return _volume(restored, clear, window // 2)
    if protocol.padded:
        # scikit-image averages only where the window fits. Zeros of half a window around both pictures make it fit at
        # exactly the original pixels, which is a zero-padded convolution of the same size.
        border = ((window // 2,) * 2, (window // 2,) * 2, (0, 0))[:clear.ndim]
        restored, clear = np.pad(restored, border), np.pad(clear, border)
    channels = -1 if clear.ndim == 3 else None
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False} if window == GAUSSIAN else {}
    return float(structural_similarity(clear, restored, data_range=protocol.data_range, channel_axis=channels,
                                       **gaussian))


def _volume(restored_HW3: NDArray[np.float64], clear_HW3: NDArray[np.float64], radius: int) -> float:
    """With a window in three directions, which scikit-image refuses where a picture has fewer channels than taps."""
    from scipy.ndimage import gaussian_filter

    def blur(volume_HW3: NDArray[np.float64]) -> NDArray[np.float64]:
        blurred_HW3: NDArray[np.float64] = gaussian_filter(volume_HW3, 1.5, mode="nearest", radius=radius)
        return blurred_HW3

    means = blur(restored_HW3), blur(clear_HW3)
    product = means[0] * means[1]
    power = means[0] ** 2 + means[1] ** 2
    variances = blur(restored_HW3**2) + blur(clear_HW3**2) - power
    covariance = blur(restored_HW3 * clear_HW3) - product
    c1, c2 = 0.01**2, 0.03**2
    return float(((2 * product + c1) * (2 * covariance + c2) / ((power + c1) * (variances + c2))).mean())


def _pool(picture_HW3: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average pooling to int(side / factor) pixels a side, in uneven bins where it does not divide."""
    import torch

    height, width = picture_HW3.shape[:2]
    factor = max(1, round(min(height, width) / POOLED_SIDE))
    picture_3HW = torch.from_numpy(np.ascontiguousarray(picture_HW3.transpose(2, 0, 1)))
    pooled_3HW = torch.nn.functional.adaptive_avg_pool2d(picture_3HW, (height // factor, width // factor))
    pooled_HW3: NDArray[np.float64] = pooled_3HW.numpy().transpose(1, 2, 0)
    return pooled_HW3


METRIC = Metric(name="ssim", label="SSIM", better="higher", decimals=4, range=(-1.0, 1.0), everywhere=True,
                of="pictures", function=ssim, by_protocol=True)
