"""FDU (PFDN): Physics-based Feature Dehazing Networks (Dong and Pan, ECCV 2020).

The authors published no code, so this is a THIRD-PARTY layout: the baseline of the gUNet study (Song et al., arXiv
2022), key names included, in which the feature dehazing unit is a channel-wise affine map. Numbers of this network are
not the authors' own. That layout works on [-1, 1]; here the change from and to [0, 1] is inside. It pads pictures to
multiples of 16, of which the network itself needs 4.

How Dong and Pan trained is not told. The recipe is that of gUNet's baselines: 1,000 "epochs" of 16,384 pictures. A
tenth of its crops touch the border, and its rate changes once an epoch; here crops lie anywhere, and every step has a
rate of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.models.fitting import numbered
from reprolib.models.system import System


class FeatureDehazingUnit(nn.Module):
    """FDU: a * x + b with a, b in (0, 1) for each channel, from the mean over pixels.

    The haze model solved for the clear picture, J = I / t + A * (1 - 1 / t), is affine in I. The unit keeps that form,
    in feature space and constant over the picture, but not the model's ranges: a stays below 1, where 1 / t is above.
    """

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(),
            nn.Linear(hidden, 2 * channels, bias=False), nn.Sigmoid(),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        scale_BC11, shift_BC11 = self.fc(x_BCHW.mean((2, 3)))[..., None, None].chunk(2, dim=1)
        return x_BCHW * scale_BC11 + shift_BC11


class FeatureDehazingBlock(nn.Module):
    """PFDB: x + FDU(conv(ReLU(conv(x))))."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.fdu = FeatureDehazingUnit(channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.fdu(self.conv2(F.relu(self.conv1(x_BCHW)))) + x_BCHW


class PFDN(nn.Module):
    """Encoder to 1/4 of the size, feature dehazing blocks, decoder.

    Args:
        width: channels at full resolution; doubled at each of the two halvings.
        blocks: feature dehazing blocks.

    Shape:
        B3HW in [0, 1] to B3HW in (0, 1); height and width multiples of 4.
    """

    def __init__(self, width: int = 64, blocks: int = 9):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1), nn.ReLU(),
        )
        self.pfdbs = nn.Sequential(*[FeatureDehazingBlock(4 * width) for _ in range(blocks)])
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2), nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 2, stride=2), nn.ReLU(),
            nn.Conv2d(width, 3, 3, padding=1), nn.Tanh(),
        )

    def forward(self, hazy_B3HW: Tensor) -> Tensor:
        restored = self.decoder(self.pfdbs(self.encoder(2 * hazy_B3HW - 1)))
        return (restored + 1) / 2


def sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Width and blocks of the network that made a file."""
    return {"width": len(state["encoder.0.weight"]), "blocks": numbered(state, "pfdbs.")}


SYSTEM = System(
    name="fdu",
    label="FDU",
    task="dehazing",
    build=PFDN,
    source="Dong and Pan, Physics-based Feature Dehazing Networks, ECCV 2020; third-party layout (gUNet's baseline), "
    "the authors published no code",
    verified_params=11_268_611,  # third-party layout
    multiple=16,
    count_note="Table 1 prints no count; 11,268,611 is that of the third-party layout",
    sizes=sizes,
    recipe={  # the third party's; L1 of pictures in [-1, 1] is twice that in [0, 1]
        "loss": {"l1": 2.0},
        "optimiser": {"kind": "adamw", "betas": [0.9, 0.999], "weight_decay": 0.01},
        "learning_rate": 8e-4, "schedule": {"kind": "cosine", "warmup": 0.05, "end": 0.01},
        "steps": 256_000, "batch": 64, "crop": 256, "augment": True,
    },
)
