"""Convolution and residual block with reflected borders, which MUNIT and DRIT share."""

from __future__ import annotations

from torch import Tensor, nn

from reprolib.models.layers.normalisation import InstanceNorm2d


class ConvBlock(nn.Module):
    """Convolution over reflected borders, then a normalisation and an activation, if given.

    Shape:
        B x channels x H x W to B x out x H' x W'; H and W above `padding`.
    """

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, padding: int = 0,
                 norm: nn.Module | None = None, activation: nn.Module | None = None):
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding, padding_mode="reflect")
        self.norm = norm or nn.Identity()
        self.activation = activation or nn.Identity()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x_BCHW)))


class ResBlock(nn.Module):
    """x + IN(conv(ReLU(IN(conv(x))))), instance norm without affine; BCHW to BCHW, no activation after the sum."""

    def __init__(self, channels: int):
        super().__init__()
        self.model = nn.Sequential(
            ConvBlock(channels, channels, 3, padding=1, norm=InstanceNorm2d(channels), activation=nn.ReLU()),
            ConvBlock(channels, channels, 3, padding=1, norm=InstanceNorm2d(channels)),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.model(x_BCHW)
