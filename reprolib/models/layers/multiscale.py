"""The multi-scale patch discriminator of MUNIT, which DRIT took over."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from reprolib.models.layers.residual import ConvBlock
from reprolib.models.layers.style import require_size

SMALLEST = 64
"""Side of a picture below which the coarsest scale has nothing left to reflect."""


class MultiScaleDiscriminator(nn.Module):
    """Three discriminators without normalisation on the picture at full, half and quarter size (3 x 2,757,057).

    The released codes of both build no normalisation either: DRIT's option for it compares two unequal strings.

    Args:
        width: channels of the first layer; 64 in both papers.
        slope: of the leaky ReLU, 0.2 in MUNIT and 0.01 in DRIT.
        channels: of the pictures.

    Shape:
        BCHW in [-1, 1], H and W from 64, to three B1hw of logits, a sixteenth of each scale's size.

    Raises:
        UserError: smaller pictures.
    """

    def __init__(self, width: int = 64, slope: float = 0.2, channels: int = 3):
        super().__init__()
        stages = (channels, width, 2 * width, 4 * width, 8 * width)
        self.cnns = nn.ModuleList([
            nn.Sequential(
                *[ConvBlock(i, o, 4, 2, 1, activation=nn.LeakyReLU(slope)) for i, o in pairwise(stages)],
                nn.Conv2d(stages[-1], 1, 1),
            )
            for _scale in range(3)
        ])
        self.downsample = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)

    def forward(self, image_BCHW: Tensor) -> list[Tensor]:
        require_size(image_BCHW, SMALLEST)
        logits = []
        for cnn in self.cnns:
            logits.append(cnn(image_BCHW))
            image_BCHW = self.downsample(image_BCHW)
        return logits
