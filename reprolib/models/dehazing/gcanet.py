"""GCANet: Gated Context Aggregation Network for Image Dehazing and Deraining (Chen et al., WACV 2019).

Not a row of the paper's Table 1: an additional system, because its published weights can be had and check the whole
chain from weights file to score. The authors' released network is followed, names included (their file is a plain
state dict). What their script does around it is inside: 0..255, the edge map, the residual added to the picture.
Their final clamp and rounding are left to the metric's protocol. They resize a picture whose sides are no multiples of
4 to the next smaller ones; here the caller pads, so that a picture keeps its size and its pixels.

The recipe is the paper's; training code was not published. Its squared error is that of a residual in 0..255, here of
pictures in [0, 1]: gradients are 65,025 times smaller, of which Adam notices no more than its epsilon.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.models.layers.normalisation import InstanceNorm2d
from reprolib.models.strips import Rows, behind, normed, of_whole_map, rows_of, write
from reprolib.models.system import System


def edge_map(x_BCHW: Tensor) -> Tensor:
    """Mean absolute difference to the four neighbours and over channels, B1HW; a missing neighbour counts as equal."""
    across = F.pad(x_BCHW.diff(dim=3).abs(), (1, 1))
    along = F.pad(x_BCHW.diff(dim=2).abs(), (0, 0, 1, 1))
    total = across[..., 1:] + across[..., :-1] + along[..., 1:, :] + along[..., :-1, :]
    return total.mean(1, keepdim=True) / 4


def with_edges(hazy_B3HW: Tensor) -> Tensor:
    """What the network sees, B4HW: the picture in 0..255 and its edge map, less 128."""
    picture = 255 * hazy_B3HW
    return torch.cat((picture, edge_map(picture)), 1) - 128


class SharedSmoothing(nn.Module):
    """One k x k kernel for all channels, before a dilated convolution: without it, neighbours share no input.

    Begins as the identity.
    """

    def __init__(self, kernel: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, kernel, kernel))
        nn.init.dirac_(self.weight)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        channels, kernel = x_BCHW.shape[1], self.weight.shape[-1]
        weight = self.weight.expand(channels, 1, kernel, kernel)
        return F.conv2d(x_BCHW, weight, padding=kernel // 2, groups=channels)


class ResBlock(nn.Module):
    """ReLU(x + norm(conv(ReLU(norm(conv(x)))))), with dilated convolutions, each of them after a smoothing one.

    Without dilation there is nothing to smooth, and no smoothing.
    """

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        smooth = dilation > 1
        self.pre_conv1 = SharedSmoothing(2 * dilation - 1) if smooth else nn.Identity()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm1 = InstanceNorm2d(channels, affine=True)
        self.pre_conv2 = SharedSmoothing(2 * dilation - 1) if smooth else nn.Identity()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm2 = InstanceNorm2d(channels, affine=True)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(self.pre_conv1(x_BCHW))))
        return F.relu(x_BCHW + self.norm2(self.conv2(self.pre_conv2(y))))

    def run_in_strips(self, x_1CHW: Tensor, y_1CHW: Tensor) -> None:
        """Replace a map by the result; `y` is room for another."""
        height, halo = x_1CHW.shape[2], 2 * self.conv1.dilation[0]
        write(y_1CHW, behind(rows_of(x_1CHW), height, lambda x: self.conv1(self.pre_conv1(x)), halo))
        write(y_1CHW, normed(rows_of(y_1CHW), height, self.norm1))
        second = behind(rows_of(y_1CHW), height, lambda y: self.conv2(self.pre_conv2(y)), halo)
        norm2 = of_whole_map(self.norm2, second, height)
        write(x_1CHW, lambda *rows: F.relu(rows_of(x_1CHW)(*rows) + norm2(second(*rows))))


class GCANet(nn.Module):
    """Encoder to half the size, smoothed dilated blocks, gated sum of three depths, decoder to a residual.

    Args:
        width: channels throughout; 64 in the paper.
        middle: residual block after which the second of the three features is taken. 4 in the released code, although
            the dilation changes after 3. With the released weights, 120 SOTS indoor pairs (8 bits) give 29.706 dB with
            4, 29.487 with 3, 29.467 with 5 and 29.373 with 6.

    Shape:
        B3HW in [0, 1] to B3HW, unbounded; height and width multiples of 4.
    """

    def __init__(self, width: int = 64, middle: int = 4):
        super().__init__()
        self.middle = middle
        self.conv1 = nn.Conv2d(4, width, 3, padding=1, bias=False)
        self.norm1 = InstanceNorm2d(width, affine=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = InstanceNorm2d(width, affine=True)
        self.conv3 = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)
        self.norm3 = InstanceNorm2d(width, affine=True)
        self.res1, self.res2, self.res3 = (ResBlock(width, dilation=2) for _ in range(3))
        self.res4, self.res5, self.res6 = (ResBlock(width, dilation=4) for _ in range(3))
        self.res7 = ResBlock(width, dilation=1)
        self.gate = nn.Conv2d(3 * width, 3, 3, padding=1)
        self.deconv3 = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        self.norm4 = InstanceNorm2d(width, affine=True)
        self.deconv2 = nn.Conv2d(width, width, 3, padding=1)
        self.norm5 = InstanceNorm2d(width, affine=True)
        self.deconv1 = nn.Conv2d(width, 3, 1)

    def forward(self, hazy_B3HW: Tensor) -> Tensor:
        y = with_edges(hazy_B3HW)
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2), (self.conv3, self.norm3)):
            y = F.relu(norm(conv(y)))
        shallow = y
        features = [shallow]
        for block in self.blocks():
            features.append(block(features[-1]))
        middle, deep = features[self.middle], features[-1]
        g1, g2, g3 = self.gate(torch.cat((shallow, middle, deep), 1)).chunk(3, dim=1)
        y = F.relu(self.norm4(self.deconv3(g1 * shallow + g2 * middle + g3 * deep)))
        y = F.relu(self.norm5(self.deconv2(y)))
        return hazy_B3HW + self.deconv1(y) / 255

    def blocks(self) -> tuple[ResBlock, ...]:
        """In their order."""
        return self.res1, self.res2, self.res3, self.res4, self.res5, self.res6, self.res7


def in_strips(network: GCANet, hazy_13HW: Tensor) -> Tensor:
    """`network(hazy)` with three feature maps of half the picture's size in memory, where it takes about thirty.

    Equal but for rounding: norms sum in another order.
    """
    height, width = hazy_13HW.shape[2:]
    half = height // 2
    first = normed(behind(rows_of(hazy_13HW), height, lambda x: network.conv1(with_edges(x)), 2), height, network.norm1)
    second = normed(behind(first, height, network.conv2, 1), height, network.norm2)
    shallow = normed(behind(second, height, network.conv3, 2, 0.5), half, network.norm3)  # made anew when asked for
    mixed = mixed_in_strips(network, shallow, half, width // 2)
    fourth = normed(behind(rows_of(mixed), half, network.deconv3, 2, 2), height, network.norm4)
    fifth = normed(behind(fourth, height, network.deconv2, 1), height, network.norm5)
    restored = torch.empty_like(hazy_13HW)
    write(restored, lambda start, stop: hazy_13HW[:, :, start:stop] + network.deconv1(fifth(start, stop)) / 255)
    return restored


def mixed_in_strips(network: GCANet, shallow: Rows, height: int, width: int) -> Tensor:
    """The gated sum of three depths: 1CHW, at half the picture's size."""
    first = shallow(0, 1)
    deep = first.new_empty(1, first.shape[1], height, width)
    room, middle = torch.empty_like(deep), deep
    write(deep, shallow)
    for index, block in enumerate(network.blocks()):
        if index == network.middle:
            middle = deep.clone()
        block.run_in_strips(deep, room)

    def features(start: int, stop: int) -> Tensor:
        return torch.cat((shallow(start, stop), middle[:, :, start:stop], deep[:, :, start:stop]), 1)

    def gated(features_1CrW: Tensor) -> Tensor:
        (s1, s2, s3), (g1, g2, g3) = (x.chunk(3, dim=1) for x in (features_1CrW, network.gate(features_1CrW)))
        return g1 * s1 + g2 * s2 + g3 * s3

    write(room, behind(features, height, gated, 1), part=2)  # with three maps held: here most memory is taken
    return room


def sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Width of the network that made a file."""
    return {"width": len(state["conv1.weight"])}


SYSTEM = System(
    name="gcanet",
    label="GCANet (extra)",
    task="dehazing",
    build=GCANet,
    source="Chen et al., Gated Context Aggregation Network for Image Dehazing and Deraining, WACV 2019; layout and key "
    "names of the released code; not a row of Table 1",
    verified_params=702_818,  # released weights
    multiple=4,
    large=in_strips,
    sizes=sizes,
    recipe={  # 100 epochs of ITS's 13,990 pairs, the rate divided by 10 every 40; the crop is not told
        "loss": {"mse": 1.0},
        "optimiser": {"kind": "adam", "betas": [0.9, 0.999]},
        "learning_rate": 1e-2, "schedule": {"kind": "step", "every": 0.4, "factor": 0.1},
        "steps": 116_600, "batch": 12,
    },
)
