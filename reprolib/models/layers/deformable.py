"""Modulated deformable convolution (DCNv2, Zhu et al., CVPR 2019) in plain PyTorch.

torchvision's operator has a slow CPU backward and refuses bf16. Here all taps are read by one `grid_sample` and
combined by one matrix product; values and gradients are the operator's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d as torchvision_deform_conv2d

OPERATORS = ("ours", "torchvision")


def deform_conv2d(x_BCHW: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None = None, *,
                  mask: Tensor | None = None, padding: int = 1) -> Tensor:
    """Deformable convolution of stride 1 with one offset group.

    The arguments are those of `torchvision.ops.deform_conv2d`, so that either can stand in for the other. Positions
    and samples are computed in float32 at least; the matrix product in `weight`'s type, or in autocast's.

    Args:
        x_BCHW: features; outside the map they are zero.
        offset: B, 2k^2, H', W' in pixels; for tap t (row by row) the channels 2t and 2t+1 are dy and dx.
        weight: O, C, k, k with k odd.
        bias: O, or None.
        mask: B, k^2, H', W', factors of the samples; None is all ones.
        padding: zeros around the map in pixels.

    Returns:
        B, O, H', W' with H' = H + 2 padding - k + 1.
    """
    batch, channels, height, width = x_BCHW.shape
    out, _, kernel, _ = weight.shape
    taps, (rows, columns) = kernel * kernel, offset.shape[-2:]
    exact = torch.promote_types(torch.promote_types(x_BCHW.dtype, offset.dtype), torch.float32)
    x, shift = x_BCHW.to(exact), offset.to(exact).view(batch, taps, 2, rows, columns)

    tap = torch.arange(kernel, device=x.device, dtype=exact) - padding
    home_y = tap.repeat_interleave(kernel).view(1, taps, 1, 1) + torch.arange(rows, device=x.device).view(1, 1, -1, 1)
    home_x = tap.repeat(kernel).view(1, taps, 1, 1) + torch.arange(columns, device=x.device).view(1, 1, 1, -1)
    at_y, at_x = home_y + shift[:, :, 0], home_x + shift[:, :, 1]

    # Zeros to the right and below change nothing, since positions outside read zero anyway. With sizes that are
    # powers of two, grid_sample's rescaling of positions is exact, so that whole-pixel offsets (the initial ones)
    # fall on the same side of the kink of bilinear interpolation as in torchvision, and gradients agree too.
    tall, wide = (1 << max(1, math.ceil(math.log2(n))) for n in (height, width))
    x = F.pad(x, (0, wide - width, 0, tall - height))
    grid = torch.stack(((2 * at_x + 1) / wide - 1, (2 * at_y + 1) / tall - 1), dim=-1)
    sampled = F.grid_sample(x, grid.view(batch, taps * rows, columns, 2), padding_mode="zeros", align_corners=False)
    sampled = sampled.reshape(batch, channels, taps, rows * columns)
    if mask is not None:
        sampled = sampled * mask.to(exact).view(batch, 1, taps, rows * columns)
    columns_BKN = sampled.reshape(batch, channels * taps, rows * columns)
    if not torch.is_autocast_enabled(x.device.type):
        columns_BKN = columns_BKN.to(weight.dtype)
    result = weight.reshape(out, channels * taps) @ columns_BKN
    if bias is not None:
        result = result + bias.to(result.dtype).view(1, out, 1)
    return result.view(batch, out, rows, columns)


class ModulatedDeformConv2d(nn.Module):
    """DCNv2 layer: a convolution predicts offsets and masks, which start at zero and one half.

    State-dict names are those of the layer that AECR-Net was released with: `weight`, `bias`,
    `conv_offset_mask.{weight,bias}`; the first 2k^2 predicted channels are offsets, the last k^2 mask logits.
    """

    def __init__(self, channels: int, kernel: int = 3, operator: str = "ours"):
        super().__init__()
        if operator not in OPERATORS:
            raise ValueError(f"operator must be one of {OPERATORS}, not '{operator}'")
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
        mask = mask.sigmoid()
        if self.operator == "torchvision":
            return torchvision_deform_conv2d(x_BCHW, offset, self.weight, self.bias, padding=self.padding, mask=mask)
        return deform_conv2d(x_BCHW, offset, self.weight, self.bias, mask=mask, padding=self.padding)
