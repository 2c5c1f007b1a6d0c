"""DistanceGAN: One-Sided Unsupervised Domain Mapping (Benaim and Wolf, NeurIPS 2017), row 'Distance' of CUT's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from reprolib.models.layers.initialisation import initialise
from reprolib.models.layers.patchgan import PatchGAN
from reprolib.models.layers.resnet import MULTIPLE, ResNetGenerator, sizes
from reprolib.models.objective import TranslationObjective
from reprolib.models.system import Direction, System


class DistanceGAN(nn.Module):
    """A generator and a discriminator for each direction: CycleGAN's with zero padding and affine instance norms.

    Args:
        width: channels of the first layers, 64 in the paper.
        blocks: residual blocks, 9 in the paper for 256 x 256.
        channels: of the pictures of both domains; 1 is grey, 3 RGB.

    Shape:
        BCHW of domain A in [-1, 1], H and W multiples of 4 and from 8, to BCHW of domain B in [-1, 1];
        with direction 'ba' the other way.
        Training needs crops from 24, for the discriminators.
    """

    def __init__(self, width: int = 64, blocks: int = 9, channels: int = 3):
        super().__init__()
        self.channels = channels
        self.generator_ab = ResNetGenerator(width, blocks, reflect=False, affine=True, channels=channels)
        self.generator_ba = ResNetGenerator(width, blocks, reflect=False, affine=True, channels=channels)
        self.discriminator_a = PatchGAN(width, affine=True, channels=channels)
        self.discriminator_b = PatchGAN(width, affine=True, channels=channels)
        initialise(self, "normal", zero_biases=False)

    def forward(self, source_BCHW: Tensor, direction: Direction = "ab") -> Tensor:
        return self.get_submodule(f"generator_{direction}")(source_BCHW)


@dataclass(frozen=True)
class DistanceObjective(TranslationObjective):
    """Adversarial terms + the distance term: distances in A, standardised, equal those of the translations in B."""

    method: ClassVar[str] = "distance"

    pairs: Literal["pictures", "halves"] = "pictures"
    """Between what distances are taken: two pictures of a batch, or the halves of one (SelfDistance)."""
    two_sided: bool = True
    """Train the way back as well."""
    statistics: Literal["epoch", "domain"] = "epoch"
    """Batches by whose distances a domain's are standardised: an epoch's, which the larger domain decides, or as many
    as its own pictures make (released); 900 at most."""

    @property
    def both_ways(self) -> bool:
        return self.two_sided


SYSTEM = System(
    name="distancegan",
    label="Distance",
    task="translation",
    build=DistanceGAN,
    source="Benaim and Wolf, One-Sided Unsupervised Domain Mapping, NeurIPS 2017; distances between pictures",
    verified_params=11_388_675,  # released generator, 9 blocks with affine instance norm, one direction
    multiple=MULTIPLE,
    sizes=sizes("generator_ab"),
    objective=DistanceObjective(),
    inference=("generator_ab",),
    reverse=("generator_ba",),
    recipe={  # 100 + 100 epochs of 666 batches (horse2zebra); the authors resize the short side, here all are square
        "objective": {"statistics": "domain"},
        "steps": 133_200, "batch": 2, "load": 286, "crop": 256, "resample": "bilinear", "learning_rate": 2e-4,
        "schedule": {"kind": "linear", "start": 0.5, "end": 0.01},
    },
)
