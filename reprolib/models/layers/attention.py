"""The feature attention block of FFA-Net (Qin et al., AAAI 2020), which AECR-Net reuses."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ChannelAttention(nn.Module):
    """x * sigmoid(MLP(mean over pixels)), one factor a channel."""

    def __init__(self, channels: int, reduction: int = 8):
        super().__init__()
        self.ca = nn.Sequential(
            nn.Conv2d(channels, channels // reduction, 1), nn.ReLU(),
            nn.Conv2d(channels // reduction, channels, 1), nn.Sigmoid(),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW * self.ca(x_BCHW.mean((2, 3), keepdim=True))


class PixelAttention(nn.Module):
    """x * sigmoid(1x1 convolutions), one factor a pixel."""

    def __init__(self, channels: int, reduction: int = 8):
        super().__init__()
        self.pa = nn.Sequential(
            nn.Conv2d(channels, channels // reduction, 1), nn.ReLU(),
            nn.Conv2d(channels // reduction, 1, 1), nn.Sigmoid(),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW * self.pa(x_BCHW)


class FABlock(nn.Module):
    """Two convolutions, channel and pixel attention, with a residual around each half."""

    def __init__(self, channels: int, reduction: int = 8):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.calayer = ChannelAttention(channels, reduction)
        self.palayer = PixelAttention(channels, reduction)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW = F.relu(self.conv1(x_BCHW)) + x_BCHW
        return self.palayer(self.calayer(self.conv2(y_BCHW))) + x_BCHW
