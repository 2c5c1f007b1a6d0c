"""GcGAN: Geometry-Consistent Generative Adversarial Networks for One-Sided Unsupervised Domain Mapping (CVPR 2019).

Fu et al. train on transformed pictures beside the originals, by the same generator or by a second one. Their own run on
horse2zebra has two, and so has the recipe; their code's default, and their run on Cityscapes, is one. The paper of CUT
does not say which it measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from reprolib.models.layers.initialisation import initialise
from reprolib.models.layers.patchgan import PatchGAN
from reprolib.models.layers.resnet import MULTIPLE, ResNetGenerator, exporter, importer, sizes
from reprolib.models.objective import TranslationObjective
from reprolib.models.system import System


class GcGAN(nn.Module):
    """A generator and two discriminators, for pictures as they are and for transformed ones.

    Args:
        width: channels of the first layers, 64 in the paper.
        blocks: residual blocks, 9 in the paper for 256 x 256.
        shared: transformed pictures go through the same generator; otherwise through a second one,
            `generator_transformed`, which only training needs.
        channels: of the pictures of both domains; 1 is grey, 3 RGB.

    Shape:
        BCHW of domain A in [-1, 1], H and W multiples of 4 and from 8, to BCHW of domain B in [-1, 1].
        Training needs crops from 24, for the discriminators.
    """

    def __init__(self, width: int = 64, blocks: int = 9, shared: bool = True, channels: int = 3):
        super().__init__()
        self.channels = channels
        self.generator = ResNetGenerator(width, blocks, channels=channels)
        if not shared:
            self.generator_transformed = ResNetGenerator(width, blocks, channels=channels)
        self.discriminator = PatchGAN(width, channels=channels)
        self.discriminator_transformed = PatchGAN(width, channels=channels)
        initialise(self, "xavier", zero_biases=False)

    def forward(self, source_BCHW: Tensor) -> Tensor:
        return self.generator(source_BCHW)


@dataclass(frozen=True)
class GcGANObjective(TranslationObjective):
    """Adversarial terms for pictures and their transforms + geometry consistency (Fu et al., equation 3)."""

    method: ClassVar[str] = "gcgan"

    transform: Literal["rot90", "rot270", "vflip"] = "rot90"
    """T, which a translation commutes with: a quarter turn counter-clockwise, one clockwise (the released code's), or
    upside down. With pictures flipped at random, the two turns train alike on average."""
    identity: Annotated[float, Field(ge=0)] = 0.5
    """Weight of G(b) = b, as a share of the consistency's."""


SYSTEM = System(
    name="gcgan",
    label="GCGAN",
    task="translation",
    build=GcGAN,
    source="Fu et al., Geometry-Consistent Generative Adversarial Networks for One-Sided Unsupervised Domain Mapping, "
    "CVPR 2019; released layout",
    verified_params=11_378_179,  # released generator, ResNet with 9 blocks
    multiple=MULTIPLE,
    importer=importer("generator"),
    sizes=sizes("generator"),
    exporter=exporter("generator"),
    objective=GcGANObjective(),
    inference=("generator",),
    recipe={  # 100 + 100 epochs of horse2zebra's 1,334 in batches of 8, of which an epoch's last has 6
        "network": {"shared": False}, "objective": {"transform": "rot270"},
        "steps": 33_400, "batch": 8, "load": 288, "crop": 256, "learning_rate": 2e-4,
        "schedule": {"kind": "linear", "start": 0.5},
    },
)
