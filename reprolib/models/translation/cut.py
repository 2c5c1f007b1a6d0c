"""CUT: Contrastive Learning for Unpaired Image-to-Image Translation (Park et al., ECCV 2020).

Layers and key names follow the released networks, so that the authors' generators load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from reprolib.models.layers.heads import projection_heads
from reprolib.models.layers.initialisation import initialise
from reprolib.models.layers.patchgan import PatchGAN
from reprolib.models.layers.resnet import MULTIPLE, ResNetGenerator, exporter, importer, sizes
from reprolib.models.objective import TranslationObjective
from reprolib.models.system import System

TAPS = (0, 4, 8, 12, 16)
"""Layers that PatchNCE compares: padded picture, two convolutions before their normalisation, blocks 1 and 5."""


class CUT(nn.Module):
    """Generator, discriminator and projection heads: 14,703,300 parameters in all, with the released initial weights.

    Args:
        width: channels of the first layers, 64 in the paper.
        blocks: residual blocks, 9 in the paper.
        taps: layers that PatchNCE compares; None is the paper's five, whose last moves to the last residual block where
            there are fewer than five blocks.
        channels: of the pictures of both domains; 1 is grey, 3 RGB.

    Shape:
        BCHW of domain A in [-1, 1], H and W multiples of 4 and from 8, to BCHW of domain B in [-1, 1].
        Training needs crops from 24, for the discriminator.

    Raises:
        UserError: a tap outside the generator's encoder.
    """

    def __init__(self, width: int = 64, blocks: int = 9, taps: Sequence[int] | None = None, channels: int = 3):
        super().__init__()
        self.channels = channels
        self.generator = ResNetGenerator(width, blocks, antialias=True, channels=channels)
        self.discriminator = PatchGAN(width, antialias=True, channels=channels)
        wanted = taps or (min(tap, self.generator.deepest) for tap in TAPS)
        self.taps = tuple(sorted(set(wanted)))
        self.heads = projection_heads(self.generator.tap_channels(self.taps))
        initialise(self, "xavier")

    def forward(self, source_BCHW: Tensor) -> Tensor:
        return self.generator(source_BCHW)


@dataclass(frozen=True)
class CUTObjective(TranslationObjective):
    """L_GAN + lambda_x PatchNCE(G, H, X) + lambda_y PatchNCE(G, H, Y) (slides): (1, 1) in CUT, (10, 0) in FastCUT."""

    method: ClassVar[str] = "cut"

    lambda_x: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the contrastive term on A."""
    lambda_y: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the one on B, with G(B) instead of G(A): the identity term. 0 leaves it out."""
    average: bool = True
    """With an identity term, halve both weights, as the released code does and the slides do not."""
    flip: bool = False
    """Translate mirrored sources with p = 0.5, and compare features mirrored back (FastCUT)."""
    patches: Annotated[int, Field(ge=1)] = 256
    """Positions in each layer."""
    allow_fewer: bool = False
    """Take all positions of a layer that has fewer, as the released code does without a word; otherwise refuse."""
    tau: Annotated[float, Field(gt=0)] = 0.07
    """Temperature."""
    negatives: Literal["internal", "minibatch", "external", "both"] = "internal"
    """Where they come from: the picture itself, the batch, a memory bank, or picture and bank."""
    bank: Annotated[int, Field(ge=1)] = 16384
    """External keys of each layer."""


SYSTEM = System(
    name="cut",
    label="CUT",
    task="translation",
    build=CUT,
    source="Park et al., Contrastive Learning for Unpaired Image-to-Image Translation, ECCV 2020; released layout",
    verified_params=11_378_179,  # released generator, ResNet with 9 blocks; antialiasing adds none
    multiple=MULTIPLE,
    importer=importer("generator"),
    sizes=sizes("generator"),
    exporter=exporter("generator"),
    objective=CUTObjective(),
    inference=("generator",),
    kept=("heads",),
    recipe={  # 200 + 200 epochs of horse2zebra's 1,334; Cityscapes has 2,975 an epoch, cat to dog 5,153
        "objective": {"allow_fewer": True}, "rounding": "down",
        "steps": 533_600, "batch": 1, "load": 286, "crop": 256, "augment_until_decay": True, "learning_rate": 2e-4,
        "schedule": {"kind": "linear", "start": 0.5},
    },
)
