"""Guided filter (He et al., ECCV 2010): smooth a map so that its edges follow a picture's.

Not kornia's or OpenCV's: DCP's recorded results depend on the last bits, and on float64 sums.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def box_mean(x_BCHW: Tensor, radius: int) -> Tensor:
    """Mean over the (2r+1)^2 window, of the pixels that lie inside the picture."""
    for dim in (2, 3):
        size = x_BCHW.shape[dim]
        sums = F.pad(x_BCHW.cumsum(dim), (0, 0, 1, 0) if dim == 2 else (1, 0))
        low = [max(0, i - radius) for i in range(size)]
        high = [min(size, i + radius + 1) for i in range(size)]
        index = sums.new_tensor(high).long(), sums.new_tensor(low).long()
        count = (index[0] - index[1]).view((-1, 1) if dim == 2 else (1, -1))
        x_BCHW = (sums.index_select(dim, index[0]) - sums.index_select(dim, index[1])) / count
    return x_BCHW


def guided_filter(guide_B1HW: Tensor, x_B1HW: Tensor, radius: int, epsilon: float) -> Tensor:
    """Filter `x` with the grey picture `guide`; both in [0, 1].

    Sums run in float64: a running sum over a whole picture loses the small variances in float32.
    """
    guide, x = guide_B1HW.double(), x_B1HW.double()
    mean_g, mean_x = box_mean(guide, radius), box_mean(x, radius)
    covariance = box_mean(guide * x, radius) - mean_g * mean_x
    variance = box_mean(guide * guide, radius) - mean_g * mean_g
    slope = covariance / (variance + epsilon)
    offset = mean_x - slope * mean_g
    return (box_mean(slope, radius) * guide + box_mean(offset, radius)).to(x_B1HW.dtype)


def grey(x_B3HW: Tensor) -> Tensor:
    """ITU-R BT.601 luma of RGB."""
    return (x_B3HW * x_B3HW.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
