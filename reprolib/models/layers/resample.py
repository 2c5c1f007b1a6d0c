"""Resampling by two with fixed blurs (Zhang, Making Convolutional Networks Shift-Invariant Again, ICML 2019).

The kernels are buffers under the released name `filt`, so that published state dicts fit as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _kernel(channels: int, taps: tuple[float, ...], total: float) -> Tensor:
    """The outer product of `taps` with itself, summing to `total`, for each channel: C1kk."""
    line_k = torch.tensor(taps)
    square_kk = torch.outer(line_k, line_k)
    return (total * square_kk / square_kk.sum()).repeat(channels, 1, 1, 1)


class BlurDown(nn.Module):
    """Blur with [1, 2, 1] over reflected borders, then every second pixel; BCHW to B x C x ceil(H/2) x ceil(W/2)."""

    filt: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("filt", _kernel(channels, (1.0, 2.0, 1.0), total=1.0))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.conv2d(F.pad(x_BCHW, (1, 1, 1, 1), "reflect"), self.filt, stride=2, groups=len(self.filt))


class BlurUp(nn.Module):
    """Zeros between the pixels, then a blur with [1, 3, 3, 1] over repeated borders; BCHW to B x C x 2H x 2W.

    This is bilinear interpolation between pixel centres; the transposed convolution is the faster form on a CPU.
    """

    filt: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("filt", _kernel(channels, (1.0, 3.0, 3.0, 1.0), total=4.0))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        padded_BCHW = F.pad(x_BCHW, (1, 1, 1, 1), "replicate")
        return F.conv_transpose2d(padded_BCHW, self.filt, stride=2, padding=3, groups=len(self.filt))
