"""GridDehazeNet: Attention-Based Multi-Scale Network for Image Dehazing (Liu et al., ICCV 2019).

The authors' released network is followed, names included, so that its weights (a plain state dict whose names begin
with `module.`) load as they are. The paper and the code agree on the grid; from the code alone come the ReLU at the
output, the input on [-1, 1] (moved inside here) and the fusion coefficients, kept in one tensor of which the grid uses
672 entries of 2,304: Table 1's 0.96M counts all of them. PyTorch's default initialisation; all coefficients begin at 1.
The authors train without flips or rotations. Their perceptual term feeds torchvision's VGG16 with plain [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.models.system import System

ROWS = 3
"""Scales: 1, 1/2 and 1/4 of the size."""

COLUMNS = 6
"""Features flow down the rows in the first half of the columns and up in the second."""

LAYERS = 4
"""Convolutions whose results a dense block joins."""


class DenseLayer(nn.Module):
    """Appends ReLU(conv(x)) to x."""

    def __init__(self, channels: int, growth: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, growth, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return torch.cat((x_BCHW, F.relu(self.conv(x_BCHW))), 1)


class RDB(nn.Module):
    """Residual dense block: x + 1x1 convolution of x and all its dense layers."""

    def __init__(self, channels: int, growth: int):
        super().__init__()
        widths = [channels + i * growth for i in range(LAYERS)]
        self.residual_dense_layers = nn.Sequential(*[DenseLayer(width, growth) for width in widths])
        self.conv_1x1 = nn.Conv2d(channels + LAYERS * growth, channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.conv_1x1(self.residual_dense_layers(x_BCHW)) + x_BCHW


class Down(nn.Module):
    """To half the size (rounded up) and twice the channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(channels, 2 * channels, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(x_BCHW))))


class Up(nn.Module):
    """To the size of another feature, which is twice this one's or one pixel less, and half the channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.deconv = nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1)
        self.conv = nn.Conv2d(channels, channels // 2, 3, padding=1)

    def forward(self, x_BCHW: Tensor, like_BCHW: Tensor) -> Tensor:
        size = list(like_BCHW.shape[2:])
        return F.relu(self.conv(F.relu(self.deconv(x_BCHW, output_size=size))))


class GridDehazeNet(nn.Module):
    """A grid of dense blocks: three scales by six steps, with learned channel-wise fusion where two paths meet.

    Modules of the grid are named 'row_column'. An RDB leads from that node to the next column, a Down from that node
    to the row below, an Up to that node from the row below.

    Args:
        width: channels at full resolution; doubled at each of the two halvings.
        growth: channels that each layer of a dense block adds.

    Shape:
        B3HW in [0, 1] to B3HW, non-negative; any height and width.
    """

    def __init__(self, width: int = 16, growth: int = 16):
        super().__init__()
        widths = [width * 2**row for row in range(ROWS)]
        half = COLUMNS // 2
        self.coefficient = nn.Parameter(torch.ones(ROWS, COLUMNS, 2, widths[-1]))
        self.conv_in = nn.Conv2d(3, width, 3, padding=1)
        self.rdb_in = RDB(width, growth)
        self.rdb_module = nn.ModuleDict(
            {f"{row}_{column}": RDB(widths[row], growth) for row in range(ROWS) for column in range(COLUMNS - 1)}
        )
        self.downsample_module = nn.ModuleDict(
            {f"{row}_{column}": Down(widths[row]) for row in range(ROWS - 1) for column in range(half)}
        )
        self.upsample_module = nn.ModuleDict(
            {f"{row}_{column}": Up(widths[row + 1]) for row in range(ROWS - 1) for column in range(half, COLUMNS)}
        )
        self.rdb_out = RDB(width, growth)
        self.conv_out = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, hazy_B3HW: Tensor) -> Tensor:
        nodes = [self.rdb_in(self.conv_in(2 * hazy_B3HW - 1))]
        for row in range(ROWS - 1):
            nodes.append(self.downsample_module[f"{row}_0"](nodes[-1]))
        for column in range(1, COLUMNS // 2):
            nodes = self._flow_down(nodes, column)
        for column in range(COLUMNS // 2, COLUMNS):
            nodes = self._flow_up(nodes, column)
        return F.relu(self.conv_out(self.rdb_out(nodes[0])))

    def _flow_down(self, previous: list[Tensor], column: int) -> list[Tensor]:
        """The nodes of a column, largest scale first, from those of the column before."""
        nodes = [self._from_left(previous, 0, column)]
        for row in range(1, ROWS):
            above = self.downsample_module[f"{row - 1}_{column}"](nodes[-1])
            nodes.append(self._fuse(row, column, self._from_left(previous, row, column), above))
        return nodes

    def _flow_up(self, previous: list[Tensor], column: int) -> list[Tensor]:
        nodes = [self._from_left(previous, ROWS - 1, column)]
        for row in reversed(range(ROWS - 1)):
            below = self.upsample_module[f"{row}_{column}"](nodes[0], like_BCHW=previous[row])
            nodes.insert(0, self._fuse(row, column, self._from_left(previous, row, column), below))
        return nodes

    def _from_left(self, previous: list[Tensor], row: int, column: int) -> Tensor:
        return self.rdb_module[f"{row}_{column - 1}"](previous[row])

    def _fuse(self, row: int, column: int, left_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
        """a * left + b * other, a and b learned for each channel (the paper's channel-wise attention)."""
        a_C11, b_C11 = self.coefficient[row, column, :, : left_BCHW.shape[1], None, None]
        return a_C11 * left_BCHW + b_C11 * other_BCHW


def sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Width and growth of the network that made a file."""
    width = len(state["conv_in.weight"])
    return {"width": width, "growth": (state["rdb_in.conv_1x1.weight"].shape[1] - width) // LAYERS}


SYSTEM = System(
    name="griddehazenet",
    label="GridDehazeNet",
    task="dehazing",
    build=GridDehazeNet,
    source="Liu et al., GridDehazeNet: Attention-Based Multi-Scale Network for Image Dehazing, ICCV 2019; "
    "layout and key names of the released code",
    paper_params="0.96M",
    verified_params=958_051,  # fusion coefficients included
    sizes=sizes,
    recipe={  # 100 epochs of ITS's 13,990 pairs (the authors' list has all, or misses at most seven), halved every 20
        "loss": {"smooth_l1": 1.0, "perceptual_plain": 0.04},
        "optimiser": {"kind": "adam", "betas": [0.9, 0.999]},
        "learning_rate": 1e-3, "schedule": {"kind": "step", "every": 0.2, "factor": 0.5},
        "steps": 77_800, "batch": 18, "crop": 240, "augment": False,
    },
)
