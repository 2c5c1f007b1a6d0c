"""KDDN: Distilling Image Dehazing with Heterogeneous Task Imitation (Hong et al., CVPR 2020).

A teacher learns to reconstruct *clear* pictures (an auto-encoder); a student learns to dehaze, and its intermediate
features on the hazy picture imitate the teacher's on the clear one. Table 1 reports the student.

The authors published no code, and their layer table is not in what can be read publicly. The idea is implemented in
the layout of the one public re-implementation (by FadeoN, not an author): a student of 2,404,867 parameters and a
teacher of 557,443. The paper's 5.99M matches neither, nor both together; see `SYSTEM.count_note`. A user of that layout
found its reconstructions blurred on pictures in [-1, 1], and mended by [0, 1] in and (tanh + 1) / 2 out, as here.

Training, in that re-implementation: the teacher alone with L1 on clear pictures (30 epochs); then the student (60
epochs, as users report; its README has 200) with L1 + VGG19 features + imitation of `teacher.features(clear)` by the
student's own, all of weight 1; Adam 1e-4, batch 4, the central 255x255 pixels (256 at first) of 80 % of the pictures.
The recipe keeps terms, weights, optimiser and batch. It is not followed in what looks like a slip:

* it imitates at two depths, after blocks 3 and 5: its list of 2, 4 and 6 counts from 0, and 6 never comes. Here at
  three, after blocks 2, 4 and 6;
* it trains on [-1, 1], where L1 and features are larger: imitation weighs four to five times more here;
* it asks at every batch whether the loss has stopped falling, and lowers the rate. Noise alone ends its learning so
  after some 60 batches, and users report 5.76 dB. Here the rate is constant;
* its teacher goes on learning beside the student; here it is frozen by then (`reprolib.training.dehazing.terms`);
* crops are random here, of all pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, overload

from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.errors import unknown
from reprolib.models.fitting import numbered
from reprolib.models.system import System


class ResBlock(nn.Module):
    """ReLU(x + conv(ReLU(conv(x)))), the teacher's block."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(x_BCHW))) + x_BCHW)


class SWRCA(nn.Module):
    """Spatially weighted channel attention with a residual: channel weights come from where the haze is.

    u = ReLU(conv x), v = conv u; a spatial gate s = sigmoid(conv u) weights v before the mean over pixels, a
    fully connected layer and a sigmoid turn the means into channel weights w; the result is v * w + x.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.gate = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.fc = nn.Linear(channels, channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        u_BCHW = F.relu(self.conv1(x_BCHW))
        v_BCHW = self.conv2(u_BCHW)
        means_BC = (v_BCHW * self.gate(u_BCHW).sigmoid()).mean((2, 3))
        return v_BCHW * self.fc(means_BC).sigmoid()[..., None, None] + x_BCHW


class ResidualGroup(nn.Module):
    """Three SWRCA blocks and a convolution, around them a residual: one block of the student."""

    def __init__(self, channels: int):
        super().__init__()
        self.blocks = nn.Sequential(*[SWRCA(channels) for _ in range(3)])
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.conv(self.blocks(x_BCHW)) + x_BCHW


class KDDN(nn.Module):
    """The frame that teacher and student share; they differ in the block.

    Args:
        block: builds one block of the body for a number of channels.
        width: channels everywhere; teacher and student need the same for imitation.
        blocks: of the body, at least 3; features are taken after each third (2, 4 and 6 of the paper's 6).

    Shape:
        B3HW in [0, 1] to B3HW in (0, 1); height and width multiples of 4.
    """

    def __init__(self, block: Callable[[int], nn.Module], width: int = 64, blocks: int = 6):
        super().__init__()
        if blocks < 3:
            raise ValueError(f"KDDN needs at least 3 blocks to take features at three depths, not {blocks}")
        self.taps = tuple(blocks * third // 3 for third in (1, 2, 3))
        self.downsample = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1), nn.ReLU(),
        )
        self.body = nn.ModuleList([block(width) for _ in range(blocks)])
        self.upsample = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2, mode="bilinear"),
        )
        self.reconstruction = nn.Conv2d(width, 3, 3, padding=1)

    @overload
    def forward(self, image_B3HW: Tensor, with_features: Literal[False] = False) -> Tensor: ...
    @overload
    def forward(self, image_B3HW: Tensor, with_features: Literal[True]) -> tuple[Tensor, list[Tensor]]: ...
    def forward(self, image_B3HW: Tensor, with_features: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        """The picture, and with `with_features` also what `features` gives, for one pass through the network."""
        features = self.features(image_B3HW)
        restored = (self.reconstruction(self.upsample(features[-1])).tanh() + 1) / 2
        return (restored, features) if with_features else restored

    def features(self, image_B3HW: Tensor) -> list[Tensor]:
        """What is imitated: the body's features after each third, B x width x H/4 x W/4; the last feeds the decoder."""
        x, taken = self.downsample(image_B3HW), []
        for depth, block in enumerate(self.body, start=1):
            x = block(x)
            if depth in self.taps:
                taken.append(x)
        return taken


ROLES: dict[str, Callable[[int], nn.Module]] = {"student": ResidualGroup, "teacher": ResBlock}


def build(role: str = "student", *, width: int = 64, blocks: int = 6) -> KDDN:
    """The dehazing student, or the teacher that reconstructs clear pictures.

    Raises:
        UserError: another role.
    """
    if role not in ROLES:
        raise unknown("role of KDDN", role, ROLES)
    return KDDN(ROLES[role], width, blocks)


def sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Width and blocks of the network that made a file."""
    return {"width": len(state["downsample.0.weight"]), "blocks": numbered(state, "body.")}


SYSTEM = System(
    name="kddn",
    label="KDDN",
    task="dehazing",
    build=build,
    source="Hong et al., Distilling Image Dehazing with Heterogeneous Task Imitation, CVPR 2020; "
    "third-party layout (FadeoN's re-implementation), the authors published no code",
    paper_params="5.99M",
    multiple=4,
    count_note="count not matched: 2,404,867 is the student of the only public re-implementation (its teacher has "
    "557,443, both together 2,962,310); the authors published no code, and several widths would fit 5.99M, "
    "so none was guessed",
    sizes=sizes,
    recipe={  # 30 epochs for the teacher and 60 for the student, of ITS's 13,990 pairs
        "loss": {"l1": 1.0, "features": 1.0, "distillation": 1.0},
        "optimiser": {"kind": "adam", "betas": [0.9, 0.999]}, "learning_rate": 1e-4, "schedule": {"kind": "constant"},
        "steps": 314_800, "batch": 4, "crop": 256, "augment": False,
    },
)
