"""FFA-Net: Feature Fusion Attention Network for Single Image Dehazing (Qin et al., AAAI 2020).

The authors' released network is followed, names included, so that its weights load as they are (under the outer key
`model`, each name beginning with `module.`). Paper and code differ in one size: the paper and the published weights
have 19 blocks a group (4,455,913 parameters), and so have the command in the authors' README and the recipe here; the
code's default is 20, which alone gives the 4.68M of Table 1 and is the default here. PyTorch's default initialisation
throughout.

The input is normalised inside. The residual around the network adds the *normalised* picture and the target is the
plain one in [0, 1], as released: the network learns to undo the normalisation.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from reprolib.models.fitting import numbered
from reprolib.models.layers.attention import FABlock, PixelAttention
from reprolib.models.system import System

MEAN = (0.64, 0.60, 0.58)
STD = (0.14, 0.15, 0.152)
"""Of the hazy training pictures, RGB."""

GROUPS = 3


class Group(nn.Module):
    """x + conv(blocks(x))."""

    def __init__(self, channels: int, blocks: int):
        super().__init__()
        conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.gp = nn.Sequential(*[FABlock(channels) for _ in range(blocks)], conv)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.gp(x_BCHW) + x_BCHW


class FFANet(nn.Module):
    """Three groups of attention blocks in a row, whose results are weighed by channel attention and summed.

    Args:
        width: channels; a multiple of 8.
        blocks: attention blocks in each group; 20 is Table 1's size, 19 that of the published weights.

    Shape:
        B3HW in [0, 1] to B3HW, unbounded; any height and width.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int = 64, blocks: int = 20):
        super().__init__()
        if width < 8 or width % 8:
            raise ValueError(f"width must be a multiple of 8, not {width}")
        squeezed = max(width // 16, 1)
        self.pre = nn.Sequential(nn.Conv2d(3, width, 3, padding=1))
        self.g1, self.g2, self.g3 = (Group(width, blocks) for _ in range(GROUPS))
        self.ca = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(GROUPS * width, squeezed, 1), nn.ReLU(),
            nn.Conv2d(squeezed, GROUPS * width, 1), nn.Sigmoid(),
        )
        self.palayer = PixelAttention(width)
        self.post = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1))
        # Not persistent: the published files hold no such entries.
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, hazy_B3HW: Tensor) -> Tensor:
        normalised = (hazy_B3HW - self.mean) / self.std
        y1 = self.g1(self.pre(normalised))
        y2 = self.g2(y1)
        y3 = self.g3(y2)
        w1, w2, w3 = self.ca(torch.cat((y1, y2, y3), 1)).chunk(GROUPS, dim=1)
        return self.post(self.palayer(w1 * y1 + w2 * y2 + w3 * y3)) + normalised


def sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Width and blocks of the network that made a file."""
    return {"width": len(state["pre.0.weight"]), "blocks": numbered(state, "g1.gp.") - 1}


SYSTEM = System(
    name="ffanet",
    label="FFA-Net",
    task="dehazing",
    build=FFANet,
    source="Qin et al., FFA-Net: Feature Fusion Attention Network for Single Image Dehazing, AAAI 2020; layout and key "
    "names of the released code with its default of 20 blocks a group (published weights: 19)",
    paper_params="4.68M",
    verified_params=4_682_356,  # 20 blocks a group
    sizes=sizes,
    recipe={  # the README's command for indoor scenes; a cosine over the steps
        "network": {"blocks": 19},
        "loss": {"l1": 1.0},
        "optimiser": {"kind": "adam", "betas": [0.9, 0.999]}, "learning_rate": 1e-4, "schedule": {"kind": "cosine"},
        "steps": 500_000, "batch": 2, "crop": 240, "augment": True,
    },
)
