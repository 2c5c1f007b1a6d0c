"""Modulated deformable convolution (DCNv2, Zhu et al., CVPR 2019) in plain PyTorch.

torchvision's operator has a slow CPU backward and refuses bf16. Here a bilinear sample is a weighted bag of four
pixels, so that one `embedding_bag` reads all taps at all positions, and one matrix product combines them. Values and
gradients are those of torchvision's operator. DCNv2's own kernels, with which AECR-Net was released, have the same
values, and other gradients only where a sample lies exactly on the ring around the map (`border`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.errors import unknown

OPERATORS = ("ours", "dcnv2", "torchvision")


def deform_conv2d(x_BCHW: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None = None, *,
                  mask: Tensor | None = None, padding: int = 1, border: str = "torchvision") -> Tensor:
    """Deformable convolution of stride 1 with one offset group.

    The arguments are those of `torchvision.ops.deform_conv2d`, so that either can stand in for the other. Positions
    and samples are computed in float32 at least; the matrix product in `weight`'s type, or in autocast's. Legend:
    R, Q rows and columns of the result, T taps (k^2).

    Args:
        x_BCHW: features; outside the map they are zero.
        offset: B, 2T, R, Q in pixels; for tap t (row by row) the channels 2t and 2t+1 are dy and dx.
        weight: O, C, k, k.
        bias: O, or None.
        mask: B, T, R, Q, factors of the samples; None is all ones.
        padding: zeros around the map in pixels; R = H + 2 padding - k + 1.
        border: 'torchvision', or 'dcnv2', whose kernels give no gradient to an offset that leads to row or column -1,
            to H or W, or beyond. All offsets start at 0, where taps in the first row or column lead to -1: in the first
            step the gradient of the layer that predicts offsets differs by 2 to 7 % of its norm, later hardly ever.

    Returns:
        B, O, R, Q, channels last in memory. An offset that is not finite makes its results NaN.
    """
    out, _, kernel, _ = weight.shape
    exact = torch.promote_types(torch.promote_types(x_BCHW.dtype, offset.dtype), torch.float32)
    index, share = _corners(x_BCHW, offset.to(exact), kernel, padding, border)
    if mask is not None:
        share = share * mask.to(exact).permute(0, 2, 3, 1)[..., None]

    # Channels last, because then a corner is one contiguous row; a ring of zeros stands for all that is outside.
    pixels_NC = F.pad(x_BCHW.to(exact).permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).flatten(0, 2)
    sampled = F.embedding_bag(index.view(-1, 4), pixels_NC, mode="sum", per_sample_weights=share.view(-1, 4))
    sampled_BRQK = sampled.view(*index.shape[:3], -1)  # K = TC
    if not torch.is_autocast_enabled(x_BCHW.device.type):
        sampled_BRQK = sampled_BRQK.to(weight.dtype)
    return F.linear(sampled_BRQK, weight.permute(0, 2, 3, 1).reshape(out, -1), bias).permute(0, 3, 1, 2)


def _corners(x_BCHW: Tensor, offset: Tensor, kernel: int, padding: int, border: str) -> tuple[Tensor, Tensor]:
    """The four pixels around each sampled position and their bilinear shares.

    Returns:
        index: B, R, Q, T, 4; row of the map that has a ring of one pixel and is flattened over B, H, W.
        share: B, R, Q, T, 4; sums to 1. Gradients flow to the offset.
    """
    batch, _, height, width = x_BCHW.shape
    rows, columns = offset.shape[-2:]
    tap = torch.arange(-padding, kernel - padding, device=x_BCHW.device)
    home_y = torch.arange(rows, device=x_BCHW.device).view(-1, 1, 1) + tap.repeat_interleave(kernel)
    home_x = torch.arange(columns, device=x_BCHW.device).view(-1, 1) + tap.repeat(kernel)
    offset_BRQT2 = offset.permute(0, 2, 3, 1).unflatten(3, (-1, 2))
    y, x = home_y + offset_BRQT2[..., 0], home_x + offset_BRQT2[..., 1]
    if border == "dcnv2":
        inside = (y > -1) & (y < height) & (x > -1) & (x < width)
        y, x = torch.where(inside, y, y.detach()), torch.where(inside, x, x.detach())
    top, bottom, lower = _neighbours(y, height)
    left, right, farther = _neighbours(x, width)

    picture = torch.arange(batch, device=x_BCHW.device).view(-1, 1, 1, 1) * (height + 2)
    top, bottom = (picture + top) * (width + 2), (picture + bottom) * (width + 2)
    index = torch.stack((top + left, top + right, bottom + left, bottom + right), dim=-1)
    upper, nearer = 1 - lower, 1 - farther
    return index, torch.stack((upper * nearer, upper * farther, lower * nearer, lower * farther), dim=-1)


def _neighbours(position: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The whole numbers on both sides of a position and the share of the second.

    They count from 0 at the ring before the map to size + 1 at the ring behind it; beyond, both lie on the ring. On
    a whole number, where bilinear interpolation has a kink, the second share rises from 0, as in torchvision: all
    offsets start there.
    """
    first = position.detach().floor()
    # Infinity must not reach the conversion to integers: an index out of range ends the process on a GPU.
    whole = first.nan_to_num().clamp(-2, size).long()
    return whole.clamp(min=-1) + 1, whole.clamp(max=size - 1) + 2, position - first


class ModulatedDeformConv2d(nn.Module):
    """DCNv2 layer: a convolution predicts offsets and masks, which start at zero and one half.

    State-dict names are those of the layer that AECR-Net was released with: `weight`, `bias`,
    `conv_offset_mask.{weight,bias}`; the first 2k^2 predicted channels are offsets, the last k^2 mask logits.

    Args:
        channels: of the input and of the result.
        kernel: side of the kernel, odd.
        operator: 'ours', 'dcnv2' (ours with that border), or 'torchvision' as the reference.
    """

    def __init__(self, channels: int, kernel: int = 3, operator: str = "ours"):
        super().__init__()
        if operator not in OPERATORS:
            raise unknown("deformable operator", operator, OPERATORS)
        self.kernel, self.padding, self.operator = kernel, kernel // 2, operator
        self.weight = nn.Parameter(torch.empty(channels, channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.conv_offset_mask = nn.Conv2d(channels, 3 * kernel * kernel, kernel, padding=self.padding)
        bound = 1 / math.sqrt(channels * kernel * kernel)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.zeros_(self.conv_offset_mask.weight)
        assert self.conv_offset_mask.bias is not None
        nn.init.zeros_(self.conv_offset_mask.bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        offset, mask = self.conv_offset_mask(x_BCHW).split((2 * self.kernel**2, self.kernel**2), dim=1)
        convolve: Callable[..., Tensor] = deform_conv2d
        if self.operator == "dcnv2":
            convolve = partial(deform_conv2d, border="dcnv2")
        if self.operator == "torchvision":  # loaded only where it is asked for: that takes seconds
            from torchvision import ops

            convolve = ops.deform_conv2d
        return convolve(x_BCHW, offset, self.weight, self.bias, padding=self.padding, mask=mask.sigmoid())
