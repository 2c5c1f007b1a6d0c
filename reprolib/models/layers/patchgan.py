"""The patch discriminator of the CycleGAN family (Isola et al., CVPR 2017), and CUT's with blurred resampling."""

from __future__ import annotations

from torch import Tensor, nn

from reprolib.models.layers.normalisation import InstanceNorm2d
from reprolib.models.layers.resample import BlurDown
from reprolib.models.layers.style import require_size

SMALLEST = 24
"""Side of a picture below which the last normalisation has a single position to normalise."""


class PatchGAN(nn.Module):
    """Five convolutions that judge overlapping patches (2,764,737 parameters, 2,766,529 with `affine`).

    A logit sees 70 x 70 pixels, and 84 x 84 with `antialias`, although the papers say 70 for both.

    Args:
        width: channels of the first layer, 64 in the papers.
        antialias: convolve at stride 1 and halve by `BlurDown` (CUT); otherwise convolutions halve.
        affine: instance norms have learned scale and shift (DistanceGAN).
        channels: of the pictures.

    Shape:
        BCHW in [-1, 1], H and W from 24, to B1hw of logits without a sigmoid, h = H // 8 - 2: 30 x 30 at 256 x 256.

    Raises:
        UserError: smaller pictures.
    """

    def __init__(self, width: int = 64, *, antialias: bool = False, affine: bool = False, channels: int = 3):
        super().__init__()
        layers: list[nn.Module] = []
        inner = channels
        for out in (width, 2 * width, 4 * width, 8 * width):
            halve = out < 8 * width
            layers.append(nn.Conv2d(inner, out, 4, stride=2 if halve and not antialias else 1, padding=1))
            layers += [InstanceNorm2d(out, affine=affine)] if layers[1:] else []
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            layers += [BlurDown(out)] if halve and antialias else []
            inner = out
        self.model = nn.Sequential(*layers, nn.Conv2d(inner, 1, 4, padding=1))

    def forward(self, image_BCHW: Tensor) -> Tensor:
        require_size(image_BCHW, SMALLEST)
        return self.model(image_BCHW)
