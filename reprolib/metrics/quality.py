"""PSNR and SSIM under named protocols. The metrics are scikit-image's; a protocol is what is done around them.

Papers print 'PSNR' and 'SSIM' for different computations; a number without its protocol cannot be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from reprolib.errors import UserError, unknown

WINDOW = 11
"""Side of Wang et al.'s Gaussian window (sigma 1.5)."""


@dataclass(frozen=True)
class Protocol:
    """How the two metrics are computed; both functions take restored and clear, float HW3."""

    name: str
    text: str
    psnr: Callable[[np.ndarray, np.ndarray], float]
    ssim: Callable[[np.ndarray, np.ndarray], float]


def _clamp(x: np.ndarray) -> np.ndarray:
    return x.clip(0, 1)


def _round8(x: np.ndarray) -> np.ndarray:
    return np.round(x.clip(0, 1) * 255) / 255


def _psnr(restored: np.ndarray, clear: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(clear, restored, data_range=1.0))


def _gaussian_ssim(restored: np.ndarray, clear: np.ndarray) -> float:
    """11x11 Gaussian window, averaged over the windows that lie inside the picture."""
    axis = -1 if restored.ndim == 3 else None
    return float(structural_similarity(restored, clear, data_range=1.0, channel_axis=axis, gaussian_weights=True,
                                       sigma=1.5, use_sample_covariance=False))


def _padded_ssim(restored: np.ndarray, clear: np.ndarray) -> float:
    """The same with zeros around the picture, averaged over every pixel.

    scikit-image leaves out a border of half a window; with that much zero padding the border it leaves out is the
    padding, and what remains is the zero-padded 'same' convolution of the authors' code.
    """
    border = ((WINDOW // 2,) * 2, (WINDOW // 2,) * 2, (0, 0))
    return _gaussian_ssim(np.pad(restored, border), np.pad(clear, border))


def _downsampled_ssim(restored: np.ndarray, clear: np.ndarray) -> float:
    """Gaussian SSIM after averaging k x k pixels, k = round(shorter side / 256)."""
    k = max(1, round(min(clear.shape[:2]) / 256))
    height, width = (n // k * k for n in clear.shape[:2])
    small = [x[:height, :width].reshape(height // k, k, width // k, k, 3).mean((1, 3)) for x in (restored, clear)]
    return _gaussian_ssim(small[0], small[1])


def _luma(x: np.ndarray) -> np.ndarray:
    """Y of ITU-R BT.601 in studio range, as the Matlab-style evaluation codes take it, in [16, 235] / 255."""
    return (x @ np.array([65.481, 128.553, 24.966]) + 16) / 255


def _shaved_luma_psnr(restored: np.ndarray, clear: np.ndarray) -> float:
    inner = slice(1, -1)
    return _psnr(_luma(_round8(restored))[inner, inner], _luma(_round8(clear))[inner, inner])


PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        Protocol("aecr", "clamped to [0, 1], RGB, float; SSIM 11x11 Gaussian, zero-padded (AECR-Net, FFA-Net, MSBDN)",
                 lambda a, b: _psnr(_clamp(a), b), lambda a, b: _padded_ssim(_clamp(a), b)),
        Protocol("8bit", "as aecr, after rounding to 8 bits",
                 lambda a, b: _psnr(_round8(a), b), lambda a, b: _padded_ssim(_round8(a), b)),
        Protocol("skimage7", "not clamped, RGB; SSIM 7x7 uniform, scikit-image's default (GridDehazeNet)",
                 _psnr, lambda a, b: float(structural_similarity(a, b, data_range=1.0, channel_axis=-1))),
        Protocol("gunet", "clamped; SSIM 11x11 Gaussian after averaging down to about 256 pixels (gUNet, DehazeFormer)",
                 lambda a, b: _psnr(_clamp(a), b), lambda a, b: _downsampled_ssim(_clamp(a), b)),
        Protocol("y", "8 bits, PSNR of Y without a 1-pixel border; SSIM RGB, inside windows (AECR-Net for MindSpore)",
                 _shaved_luma_psnr, lambda a, b: _gaussian_ssim(_round8(a), b)),
    )
}


def measure(restored_HW3: np.ndarray, clear_HW3: np.ndarray, protocol: str = "aecr") -> dict[str, float]:
    """PSNR in dB and SSIM of a restored picture against the clear one.

    Args:
        restored_HW3: float RGB, nominally in [0, 1]; whether it is clamped is the protocol's choice.
        clear_HW3: float RGB in [0, 1].
        protocol: a name of PROTOCOLS.

    Returns:
        {'psnr': dB, 'ssim': -1..1}. PSNR of two equal pictures is infinite.

    Raises:
        UserError: unknown protocol, pictures of different shape, or smaller than the SSIM window.
    """
    if protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    if restored_HW3.shape != clear_HW3.shape or clear_HW3.ndim != 3 or clear_HW3.shape[2] != 3:
        raise UserError(f"pictures do not match in size: {restored_HW3.shape} against {clear_HW3.shape}",
                        fix="compare RGB pictures of the same height and width")
    if min(clear_HW3.shape[:2]) < WINDOW:
        raise UserError(f"a picture of {clear_HW3.shape[1]}x{clear_HW3.shape[0]} is smaller than the SSIM window",
                        fix=f"use pictures of at least {WINDOW}x{WINDOW}")
    restored, clear = np.float32(restored_HW3), np.float32(clear_HW3)
    chosen = PROTOCOLS[protocol]
    return {"psnr": chosen.psnr(restored, clear), "ssim": chosen.ssim(restored, clear)}


def is_collapsed(restored_HW3: np.ndarray) -> bool:
    """True for a picture that is one colour: no channel varies by as much as one 8-bit level."""
    return bool((_clamp(restored_HW3).std((0, 1)) < 1 / 255).all())
