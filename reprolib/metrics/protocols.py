"""A restored picture against the clear one, under named protocols.

Papers print "PSNR / SSIM" and mean different things by it. A `Protocol` states each choice that their evaluation codes
make differently, so that a number always names its protocol and the size of the effect can be measured.

Shape legend: H height, W width, 3 the channels in RGB order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reprolib.errors import UserError, unknown
from reprolib.metrics import names, of_pictures

GAUSSIAN = 11
"""Taps of the Gaussian window with sigma 1.5 (Wang et al., section III-C)."""
UNIFORM = 7
"""scikit-image's default window."""

Plane = Literal["rgb", "y", "grey"]
"""What is compared: RGB; the Y channel of BT.601, 16-235, as MATLAB's `rgb2ycbcr`; or its full-range grey, rounded to 8
bits, as MATLAB's `rgb2gray` gives it for pictures of 8 bits."""

BT601 = np.array([0.2989, 0.5870, 0.1140])
"""Weights of R, G and B in grey, with the digits of MATLAB's `rgb2gray`."""


@dataclass(frozen=True)
class Protocol:
    """One way to compare a restored picture with its truth."""

    name: str
    text: str
    """What it does and who measures so, in words for a table."""
    clamp: bool = True
    """Limit the restored picture to [0, 1] first."""
    eight_bits: bool = False
    """Round both pictures to multiples of 1/255 first."""
    psnr_on: Plane = "rgb"
    ssim_on: Plane = "rgb"
    shave: int = 0
    """Pixels cut from each side before PSNR; SSIM keeps them."""
    window: int = GAUSSIAN
    """Taps of the SSIM window: `GAUSSIAN` (population covariance) or `UNIFORM` (sample covariance)."""
    padded: bool = False
    """SSIM at every pixel, with zeros beyond the border; otherwise only where the window fits."""
    pooled: bool = False
    """SSIM after average pooling by round(min(H, W) / 256)."""
    volume: bool = False
    """SSIM of the picture as a volume of three layers: the window spans the channels too, with the outermost pixels and
    channels repeated, as MATLAB's `ssim` takes an RGB array."""
    data_range: float = 1.0
    """Range that SSIM's constants are taken for; 2 is scikit-image's default for floats before 0.20."""

    def prepare(self, restored_HW3: NDArray[np.floating], clear_HW3: NDArray[np.floating]) -> tuple[
            NDArray[np.float64], NDArray[np.float64]]:
        """Both pictures in float64, clamped and rounded as the protocol has it."""
        restored, clear = (np.asarray(picture, dtype=np.float64) for picture in (restored_HW3, clear_HW3))
        if self.clamp or self.eight_bits:
            restored = restored.clip(0, 1)
        if self.eight_bits:
            restored, clear = np.round(restored * 255) / 255, np.round(clear * 255) / 255
        return restored, clear


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
        psnr_on="y",
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


def plane(picture_HW3: NDArray[np.float64], which: Plane) -> NDArray[np.float64]:
    """The picture, HW3, or one plane of it, HW, of values in [0, 1]."""
    from skimage.color import rgb2ycbcr

    if which == "rgb":
        return picture_HW3
    if which == "y":
        y: NDArray[np.float64] = rgb2ycbcr(picture_HW3)[..., 0] / 255
        return y
    grey: NDArray[np.float64] = np.round(picture_HW3 @ BT601 * 255) / 255
    return grey


def measure(restored_HW3: NDArray[np.floating], clear_HW3: NDArray[np.floating], protocol: str | Protocol = DEFAULT,
            metrics: Sequence[str] | None = None) -> dict[str, float]:
    """Metrics of one picture under a protocol.

    Args:
        restored_HW3: floating point, RGB, nominally in [0, 1].
        clear_HW3: floating point, RGB, in [0, 1].
        protocol: a name of `PROTOCOLS`, or one that is not among them.
        metrics: names of metrics of pictures; by default all.

    Returns:
        A value a metric. Equal pictures have an infinite PSNR and a picture with NaN has NaN: these are the true
        values, and a caller that writes JSON decides what to do with them.

    Raises:
        UserError: shapes differ, not HW3, not floating point, smaller than the SSIM window, no such protocol, or a
            name that is no metric of pictures.
    """
    p = protocol if isinstance(protocol, Protocol) else get_protocol(protocol)
    chosen = of_pictures(names("pictures") if metrics is None else metrics)
    _check(restored_HW3, clear_HW3)
    restored, clear = p.prepare(restored_HW3, clear_HW3)
    return {m.name: m.function(restored, clear, *([p] if m.by_protocol else [])) for m in chosen}


def _check(restored_HW3: NDArray[np.floating], clear_HW3: NDArray[np.floating]) -> None:
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
