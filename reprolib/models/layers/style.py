"""Style codes of MUNIT and DRIT: what encodes them, and how one is drawn where none is given."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor, nn

from reprolib.errors import UserError
from reprolib.models.layers.residual import ConvBlock

STYLE = 8
"""Numbers in a style, in both papers."""

SMALLEST = 8
"""Smallest side of a picture: reflected borders at a quarter of the size need at least two rows."""

SMALLEST_OF_STYLE = 16
"""Smallest side of a picture whose style is encoded, which is halved four times."""


class StyleEncoder(nn.Module):
    """MUNIT's style encoder, which is DRIT's feature-wise attribute encoder too: no normalisation, global mean.

    Shape:
        BCHW in [-1, 1] to B x 8 x 1 x 1; H and W from 16.
    """

    def __init__(self, width: int, channels: int = 3):
        super().__init__()
        w = width
        self.model = nn.Sequential(
            ConvBlock(channels, w, 7, padding=3, activation=nn.ReLU()),
            *[ConvBlock(i, o, 4, 2, 1, activation=nn.ReLU()) for i, o in
              ((w, 2 * w), (2 * w, 4 * w), (4 * w, 4 * w), (4 * w, 4 * w))],
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(4 * w, STYLE, 1),
        )

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.model(image_BCHW)


def picture_styles(image_BCHW: Tensor) -> Tensor:
    """One style a picture from N(0, 1), B x 8, drawn from a seed that is the picture's own checksum.

    The authors draw a random style for every test picture. Here it is a function of the picture in 8 bits, so that
    pictures differ in style as theirs do, and yet a result is the same again in any order, batch, run and device.

    Raises:
        UserError: pictures that are too small for either generator.
    """
    require_size(image_BCHW, SMALLEST)
    bytes_BCHW = ((image_BCHW.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()
    seeds = [zlib.crc32(picture.contiguous().numpy().tobytes()) for picture in bytes_BCHW]
    styles = [torch.randn(STYLE, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(styles).to(image_BCHW.device)


def require_size(image_BCHW: Tensor, smallest: int) -> None:
    """Check that pictures are large enough for a network.

    Raises:
        UserError: a side below `smallest` pixels.
    """
    height, width = image_BCHW.shape[-2:]
    if min(height, width) < smallest:
        raise UserError(f"pictures of {width}x{height} are too small",
                        fix=f"give at least {smallest} pixels a side")
