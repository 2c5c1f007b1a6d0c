"""DRN-D-22, the segmenter that judges translated street scenes.

Yu, Koltun, Funkhouser, "Dilated residual networks", CVPR 2017. Names and layout are those of the authors' release
(fyu/drn): `base.0` to `base.8`, `seg`, `up`. Strides end at 8; from there dilations 2 and 4 widen the view instead,
and two plain convolutions without a skip take away the gridding that dilation leaves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

NAME = "drn-d-22"
CLASSES = 19
MULTIPLE = 8
"""Height and width must be multiples of this, the stride of the features."""

MEAN = (0.2901, 0.3281, 0.2870)
DEVIATION = (0.1830, 0.1866, 0.1845)
"""Of Cityscapes' training photos, as in the release."""


class DRND22(nn.Module):
    """Per-pixel class scores.

    Args:
        classes: of the last layer.
        width: channels of the first layer, 16 as published; the others keep their ratio to it.
        size: height and width at which it is trained and judges; 128 x 256 in CUT's evaluation.

    Shape:
        B3HW RGB in [0, 1], H and W multiples of 8, to log-probabilities B, classes, H, W.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, classes: int = CLASSES, width: int = 16, size: tuple[int, int] = (128, 256)):
        super().__init__()
        self.size = (size[0], size[1])
        c1, c2, c4, c8, c16, c32 = (width * factor for factor in (1, 2, 4, 8, 16, 32))
        self.base = nn.Sequential(
            _conv(3, c1, kernel=7),
            _conv(c1, c1),
            _conv(c1, c2, stride=2),
            _stage(c2, c4, stride=2),
            _stage(c4, c8, stride=2),
            _stage(c8, c16, dilation=2),
            _stage(c16, c32, dilation=4),
            _conv(c32, c32, dilation=2),
            _conv(c32, c32),
        )
        self.seg = nn.Conv2d(c32, classes, 1)
        self.up = nn.ConvTranspose2d(classes, classes, 16, stride=8, padding=4, groups=classes, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False)
        self._initialise()

    def forward(self, x_B3HW: Tensor) -> Tensor:
        coarse = self.seg(self.base((x_B3HW - self.mean) / self.deviation))
        return self.up(coarse).float().log_softmax(dim=1)

    @torch.no_grad()
    def _initialise(self) -> None:
        """As released: He's normal over the fan out, and an upsampler that stays bilinear."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.normal_(0, math.sqrt(2 / (layer.kernel_size[0] ** 2 * layer.out_channels)))
        assert self.seg.bias is not None
        self.seg.bias.zero_()
        tent = 1 - (torch.arange(16) - 7.5).abs() / 8
        self.up.weight.copy_(tent[:, None] * tent)
        self.up.weight.requires_grad_(False)


class Block(nn.Module):
    """Two 3x3 convolutions and a skip, which is a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, dilation: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        skip = x if self.downsample is None else self.downsample(x)
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())) + skip).relu()


def _stage(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(Block(inputs, outputs, stride, dilation), Block(outputs, outputs, 1, dilation))


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False),
                         nn.BatchNorm2d(outputs), nn.ReLU())


def import_base(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`base`'s state out of the released ImageNet classifier: `layer3.0.conv1` is `3.0.conv1`, `fc` is left out."""
    return {name.removeprefix("layer"): t for name, t in state.items() if name.startswith("layer")}
