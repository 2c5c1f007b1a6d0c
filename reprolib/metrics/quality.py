"""PSNR and SSIM of a restored picture against the clear one, under named protocols.

Papers print "PSNR / SSIM" and mean different things by it. A `Protocol` states each choice that their evaluation codes
make differently, so that a number always names its protocol and the size of the effect can be measured. PSNR, SSIM and
the conversion to luma are scikit-image's.

SSIM: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity",
IEEE TIP 2004, with K1 = 0.01 and K2 = 0.03.

Shape legend: H height, W width, 3 the channels in RGB order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from reprolib.errors import UserError, unknown

METRICS = ("psnr", "ssim")

GAUSSIAN = 11
"""Taps of the Gaussian window with sigma 1.5 (Wang et al., section III-C)."""
UNIFORM = 7
"""scikit-image's default window."""
POOLED_SIDE = 256
"""gUNet shrinks a picture until its shorter side is about this many pixels before it takes SSIM."""


@dataclass(frozen=True)
class Protocol:
    """One way to compute PSNR and SSIM, picture by picture; a set's value is the mean over its pictures."""

    name: str
    text: str
    """What it does and who measures so, in words for a table."""
    clamp: bool = True
    """Limit the restored picture to [0, 1] first."""
    eight_bits: bool = False
    """Round both pictures to multiples of 1/255 first."""
    luma: bool = False
    """PSNR on the Y channel (BT.601, 16-235), not on RGB."""
    shave: int = 0
    """Pixels cut from each side before PSNR; SSIM keeps them."""
    window: int = GAUSSIAN
    """Taps of the SSIM window: `GAUSSIAN` (population covariance) or `UNIFORM` (sample covariance)."""
    padded: bool = False
    """SSIM at every pixel, with zeros beyond the border; otherwise only where the window fits."""
    pooled: bool = False
    """SSIM after average pooling by round(min(H, W) / 256)."""


_ALL = (
    Protocol(
        "aecr",
        "RGB, clamped to [0, 1], not rounded; SSIM 11x11 Gaussian, zero-padded (AECR-Net, FFA-Net, MSBDN)",
        padded=True,
    ),
    Protocol("8bit", "as aecr, after rounding both pictures to 8 bits", eight_bits=True, padded=True),
    Protocol("skimage7", "RGB, not clamped; SSIM 7x7 uniform window (GridDehazeNet)", clamp=False, window=UNIFORM),
    Protocol(
        "gunet",
        "RGB, clamped; SSIM 11x11 Gaussian, no padding, after average pooling to about 256 pixels "
        "(gUNet, DehazeFormer)",
        pooled=True,
    ),
    Protocol(
        "y",
        "8 bits; PSNR on the Y channel without a 1-pixel border; SSIM in RGB, 11x11 Gaussian, no padding "
        "(AECR-Net in MindSpore)",
        eight_bits=True,
        luma=True,
        shave=1,
    ),
)
PROTOCOLS = {protocol.name: protocol for protocol in _ALL}
DEFAULT = "aecr"
"""The protocol of every number that stands beside the paper's."""


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        UserError: no such protocol, with the nearest name.
    """
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def measure(restored_HW3: NDArray, clear_HW3: NDArray, protocol: str = DEFAULT,
            metrics: Sequence[str] = METRICS) -> dict[str, float]:
    """PSNR (dB) and SSIM (at most 1) of one picture; both better when higher.

    Args:
        restored_HW3: floating point, RGB, nominally in [0, 1].
        clear_HW3: floating point, RGB, in [0, 1].
        protocol: a name of `PROTOCOLS`.
        metrics: what is wanted; SSIM takes most of the time.

    Returns:
        {"psnr": dB, "ssim": no unit}. Equal pictures have an infinite PSNR and a picture with NaN has NaN for both:
        these are the true values, and a caller that writes JSON decides what to do with them.

    Raises:
        UserError: shapes differ, not HW3, smaller than the SSIM window, or no such protocol.
    """
    p = get_protocol(protocol)
    _check(restored_HW3, clear_HW3)
    restored, clear = (np.asarray(picture, dtype=np.float64) for picture in (restored_HW3, clear_HW3))
    if p.clamp or p.eight_bits:
        restored = restored.clip(0, 1)
    if p.eight_bits:
        restored, clear = np.round(restored * 255) / 255, np.round(clear * 255) / 255
    return {name: {"psnr": _psnr, "ssim": _ssim}[name](restored, clear, p) for name in metrics}


def _check(restored_HW3: NDArray, clear_HW3: NDArray) -> None:
    if restored_HW3.shape != clear_HW3.shape:
        raise UserError(
            f"pictures of different size: restored {restored_HW3.shape}, clear {clear_HW3.shape}",
            fix="compare pictures of one size; centre-crop the clear one if the hazy one lost its border",
        )
    if clear_HW3.ndim != 3 or clear_HW3.shape[2] != 3:
        raise UserError(f"not an RGB picture: shape {clear_HW3.shape}", fix="give height x width x 3")
    if not all(np.issubdtype(picture.dtype, np.floating) for picture in (restored_HW3, clear_HW3)):
        raise UserError(
            f"pictures of type {restored_HW3.dtype} and {clear_HW3.dtype}", fix="convert both to floats in [0, 1]"
        )


def _psnr(restored_HW3: NDArray, clear_HW3: NDArray, p: Protocol) -> float:
    """10 log10(range^2 / mean squared error)."""
    if p.shave:
        inner = slice(p.shave, -p.shave)
        restored_HW3, clear_HW3 = restored_HW3[inner, inner], clear_HW3[inner, inner]
    if p.luma:
        restored_HW3, clear_HW3 = (rgb2ycbcr(picture)[..., 0] / 255 for picture in (restored_HW3, clear_HW3))
    with np.errstate(divide="ignore"):  # equal pictures: infinity, as documented
        return float(peak_signal_noise_ratio(clear_HW3, restored_HW3, data_range=1))


def _ssim(restored_HW3: NDArray, clear_HW3: NDArray, p: Protocol) -> float:
    """Mean over pixels and channels."""
    if p.pooled:
        restored_HW3, clear_HW3 = _pool(restored_HW3), _pool(clear_HW3)
    if min(clear_HW3.shape[:2]) < p.window:
        raise UserError(
            f"a picture of {clear_HW3.shape[0]}x{clear_HW3.shape[1]} pixels is smaller than the "
            f"{p.window}x{p.window} window of SSIM",
            fix=f"give pictures of at least {p.window} pixels a side",
        )
    if p.padded:
        # scikit-image averages only where the window fits. Zeros of half a window around both pictures make it fit at
        # exactly the original pixels, which is a zero-padded convolution of the same size.
        border = ((p.window // 2,) * 2, (p.window // 2,) * 2, (0, 0))
        restored_HW3, clear_HW3 = np.pad(restored_HW3, border), np.pad(clear_HW3, border)
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False} if p.window == GAUSSIAN else {}
    return float(structural_similarity(clear_HW3, restored_HW3, data_range=1, channel_axis=-1, **gaussian))


def _pool(picture_HW3: NDArray) -> NDArray:
    """Average pooling to int(side / factor) pixels a side, in uneven bins where it does not divide."""
    height, width = picture_HW3.shape[:2]
    factor = max(1, round(min(height, width) / POOLED_SIDE))
    picture_3HW = torch.from_numpy(np.ascontiguousarray(picture_HW3.transpose(2, 0, 1)))
    pooled_3HW = torch.nn.functional.adaptive_avg_pool2d(picture_3HW, (height // factor, width // factor))
    return pooled_3HW.numpy().transpose(1, 2, 0)
