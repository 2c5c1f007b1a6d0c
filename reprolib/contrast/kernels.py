"""The distances of CR as training computes them: the mean L1 distance with a way back of one byte an element.

It equals the broadcast form, `losses.l1_distance` (tests/contrast/test_kernels.py), which at r samples keeps r
differences of feature maps for the way back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from reprolib.runtime import to_device


def mean_distance(anchor_BCHW: Tensor, samples_NCHW: Tensor, index_Bn: Tensor) -> Tensor:
    """D of the equation for each picture: the mean over its n samples, and over elements, of |anchor - sample|.

    Args:
        anchor_BCHW: features.
        samples_NCHW: features to choose from; no gradient flows to them.
        index_Bn: which samples belong to each anchor, n >= 1; rows of `samples_NCHW`.

    Returns:
        B, in float32 (float64 for float64 features).
    """
    assert anchor_BCHW.shape[1:] == samples_NCHW.shape[1:], (anchor_BCHW.shape, samples_NCHW.shape)
    assert len(index_Bn) == len(anchor_BCHW) and index_Bn.shape[1] > 0, index_Bn.shape
    result: Tensor = _MeanDistance.apply(at_least_float32(anchor_BCHW), at_least_float32(samples_NCHW.detach()),
                                         to_device(index_Bn, anchor_BCHW.device))
    return result


def at_least_float32(x: Tensor) -> Tensor:
    """Distances and similarities of half-precision features are still taken in full precision."""
    return x if x.dtype == torch.float64 else x.float()


class _MeanDistance(torch.autograd.Function):
    """The gradient of sum_k |a - s_k| is sum_k sign(a - s_k), a small whole number.

    So any number of samples needs one byte an element for the way back, and neither r copies of the features nor r
    graphs.
    """

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, samples: Tensor, index: Tensor) -> Tensor:
        batch, count = index.shape
        block = _block(anchor)
        # One byte an element; 16 bits where 127 could be exceeded.
        slope = torch.empty_like(anchor, dtype=torch.int8 if count < 128 else torch.int16)
        total = anchor.new_zeros(batch)
        difference, signs = torch.empty_like(anchor[:block]), torch.empty_like(anchor[:block])
        axes = tuple(range(1, anchor.dim()))
        for start in range(0, batch, block):
            rows = slice(start, start + block)
            signs.zero_()
            for k in range(count):
                torch.sub(anchor[rows], _take(samples, index[rows, k]), out=difference)
                total[rows] += difference.abs().sum(axes)
                signs += difference.sign_()
            slope[rows] = signs
        ctx.save_for_backward(slope)
        ctx.scale = 1 / (count * anchor[0].numel())
        return total * ctx.scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_B: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return slope * (gradient_B * ctx.scale).view(-1, *[1] * (slope.dim() - 1)), None, None


def _block(anchor: Tensor) -> int:
    """Pictures at a time: one fits a processor's cache (5 times faster at r = 10); a GPU prefers few large kernels."""
    return 1 if anchor.device.type == "cpu" else len(anchor)


def _take(samples: Tensor, rows: Tensor) -> Tensor:
    """The rows of `samples`; a single one (on a CPU) as a view."""
    if len(rows) > 1 or samples.device.type != "cpu":
        return samples.index_select(0, rows)
    row = int(rows)
    return samples[row : row + 1]
