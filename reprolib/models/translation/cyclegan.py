"""CycleGAN: Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks (Zhu et al., ICCV 2017).

CUT's table does not say which of two CycleGANs it measures. This is the original, with strided convolutions and weights
from N(0, 0.02); the one inside CUT's own code, which inherits CUT's blurs, initialisation and epochs, does not run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn

from reprolib.models.layers.initialisation import initialise
from reprolib.models.layers.patchgan import PatchGAN
from reprolib.models.layers.resnet import MULTIPLE, ResNetGenerator, exporter, importer, sizes
from reprolib.models.objective import TranslationObjective
from reprolib.models.system import Direction, System


class CycleGAN(nn.Module):
    """A generator and a discriminator for each direction, with the released initial weights.

    Args:
        width: channels of the first layers, 64 in the paper.
        blocks: residual blocks, 9 in the paper for 256 x 256.
        affine: the generators' instance norms have learned scale and shift, as in some that others have trained.
        channels: of the pictures of both domains; 1 is grey, 3 RGB.

    Shape:
        BCHW of domain A in [-1, 1], H and W multiples of 4 and from 8, to BCHW of domain B in [-1, 1];
        with direction 'ba' the other way.
        Training needs crops from 24, for the discriminators.
    """

    def __init__(self, width: int = 64, blocks: int = 9, affine: bool = False, channels: int = 3):
        super().__init__()
        self.channels = channels
        self.generator_ab = ResNetGenerator(width, blocks, affine=affine, channels=channels)
        self.generator_ba = ResNetGenerator(width, blocks, affine=affine, channels=channels)
        self.discriminator_a = PatchGAN(width, channels=channels)
        self.discriminator_b = PatchGAN(width, channels=channels)
        initialise(self, "normal")

    def forward(self, source_BCHW: Tensor, direction: Direction = "ab") -> Tensor:
        return self.get_submodule(f"generator_{direction}")(source_BCHW)


@dataclass(frozen=True)
class CycleGANObjective(TranslationObjective):
    """Adversarial terms in both directions + cycle consistency + identity (Zhu et al., equation 3)."""

    method: ClassVar[str] = "cyclegan"

    cycle: Annotated[float, Field(ge=0)] = 10.0
    """lambda of equation 3."""
    identity: Annotated[float, Field(ge=0)] = 0.5
    """Weight of G_ab(b) = b and G_ba(a) = a, as a share of `cycle`; 0 leaves the term out. The released code has 0.5
    by default, the paper only for paintings. CUT's table does not say; its times fit a run with it."""


SYSTEM = System(
    name="cyclegan",
    label="CycleGAN",
    task="translation",
    build=CycleGAN,
    source="Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, ICCV 2017; "
    "released layout",
    verified_params=11_378_179,  # released generator, ResNet with 9 blocks, one direction
    multiple=MULTIPLE,
    importer=importer("generator_ab"),
    sizes=sizes("generator_ab"),
    exporter=exporter("generator_ab"),
    objective=CycleGANObjective(),
    inference=("generator_ab",),
    reverse=("generator_ba",),
    recipe={  # 100 + 100 epochs of horse2zebra's 1,334; Cityscapes has 2,975 an epoch, cat to dog 5,153
        "rounding": "down",
        "steps": 266_800, "batch": 1, "load": 286, "crop": 256, "learning_rate": 2e-4,
        "schedule": {"kind": "linear", "start": 0.5},
    },
)
