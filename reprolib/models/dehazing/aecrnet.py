"""AECR-Net: Contrastive Learning for Compact Single Image Dehazing (Wu et al., CVPR 2021).

The released network is followed where the paper is silent: one feature-attention block is applied six times and one
deformable layer twice (only sharing gives the paper's 2.61M), a FastDeconv layer comes first, the output is a tanh.
Every other layer has PyTorch's default initialisation. Input and target are RGB in [0, 1], not normalised.

Readings where the sources leave a choice: mixup gives the *encoder* the share sigma(theta), as the slides' equation
does, starting at sigma(-1) and sigma(-0.6); 'SC' of Table 2 is plain addition in place of mixup; FastDeconv stays in
every ablation, because the paper does not name it as a part that is removed.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from reprolib.errors import UserError, unknown
from reprolib.models.layers.attention import FABlock
from reprolib.models.layers.deconvolution import FastDeconv
from reprolib.models.layers.deformable import ModulatedDeformConv2d
from reprolib.models.objective import Contrast, DehazingObjective
from reprolib.models.system import System

MIXES = ("mixup", "skip", "none")


class Mix(nn.Module):
    """f = sigma(theta) * encoder + (1 - sigma(theta)) * decoder (slides, Figure 4)."""

    def __init__(self, start: float):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([start]))

    @property
    def factor(self) -> Tensor:
        """Share of the encoder, in (0, 1)."""
        return self.w.sigmoid()

    def forward(self, encoder: Tensor, decoder: Tensor) -> Tensor:
        return self.factor * encoder + (1 - self.factor) * decoder


class Skip(nn.Module):
    """Plain addition: the 'SC' row of Table 2."""

    def forward(self, encoder: Tensor, decoder: Tensor) -> Tensor:
        return encoder + decoder


class NoMix(nn.Module):
    """No connection from encoder to decoder."""

    def forward(self, encoder: Tensor, decoder: Tensor) -> Tensor:
        return decoder


class DFE(nn.Module):
    """Dynamic feature enhancement: one deformable layer (slides, Figure 5)."""

    def __init__(self, channels: int, operator: str):
        super().__init__()
        self.dcn = ModulatedDeformConv2d(channels, operator=operator)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.dcn(x_BCHW)


class AECRNet(nn.Module):
    """Autoencoder-like dehazing network.

    Args:
        width: channels at full resolution; 64 in the paper, doubled at each of the two downsamplings.
        blocks: how often the shared feature-attention block is applied.
        dfe: apply the shared deformable layer twice after the blocks; without it the blocks feed the decoder.
        mix: how encoder features join the decoder at 1/4 and 1/2 resolution.
        deconv: begin with FastDeconv.
        operator: whose deformable convolution runs: 'ours'; 'dcnv2', which is ours with the gradients that the released
            operator has at borders; or 'torchvision', the reference for timing.
        deep_first: so many training passes before encoder features join the decoder; not the paper's. In a short
            training the way through them is learned first, and blocks and deformable layers hardly ever
            (docs/indoor.md). A buffer counts the passes, as batch normalisation counts its batches.
        freeze_deconv: so many training passes after which FastDeconv whitens by its running averages in training, too;
            the released operator can do so (`freeze`), the released network does not. A batch of few crops has its own
            haze and its own cast, and whitening by these hides what is to be learned (docs/indoor.md).

    Shape:
        B3HW in [0, 1] to B3HW in (-1, 1); height and width multiples of 4.
    """

    def __init__(self, width: int = 64, blocks: int = 6, *, dfe: bool = True, mix: str = "mixup", deconv: bool = True,
                 operator: str = "ours", deep_first: int | None = None, freeze_deconv: int | None = None):
        super().__init__()
        if mix not in MIXES:
            raise unknown("mix of AECR-Net", mix, MIXES)
        for option, passes in (("deep_first", deep_first), ("freeze_deconv", freeze_deconv)):
            if passes is not None and passes < 1:
                raise UserError(f"{passes} passes are none", where=f"{option} of AECR-Net", fix="leave it out")
        self.blocks = blocks
        self.deep_first = deep_first
        self.freeze_deconv = freeze_deconv
        if deep_first is not None or freeze_deconv is not None:
            self.register_buffer("passes", torch.zeros((), dtype=torch.long))
        self.deconv = FastDeconv(3, 3) if deconv else nn.Identity()
        self.down1 = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), nn.ReLU())
        self.down2 = nn.Sequential(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU())
        self.down3 = nn.Sequential(nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1), nn.ReLU())
        self.block = FABlock(4 * width)
        self.dcn_block = DFE(4 * width, operator) if dfe else None
        self.mix1 = self._mix(mix, -1.0)
        self.up1 = self._up(4 * width, 2 * width)
        self.mix2 = self._mix(mix, -0.6)
        self.up2 = self._up(2 * width, width)
        self.up3 = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())

    def forward(self, hazy_B3HW: Tensor) -> Tensor:
        passes = self._count()
        if self.freeze_deconv is not None:
            self.deconv.train(self.training and passes <= self.freeze_deconv)
        x1 = self.down1(self.deconv(hazy_B3HW))
        x2 = self.down2(x1)
        x3 = self.down3(x2)
        y = x3
        for _ in range(self.blocks):
            y = self.block(y)
        if self.dcn_block is not None:
            y = self.dcn_block(self.dcn_block(y))
        if self.deep_first is not None and passes <= self.deep_first:  # nothing joins yet
            return self.up3(self.up2(self.up1(y)))
        y = self.up1(self.mix1(x3, y))
        return self.up3(self.up2(self.mix2(x2, y)))

    def _count(self) -> int:
        """Training passes so far, with this one if it is one; 0 where nothing depends on them."""
        if self.deep_first is None and self.freeze_deconv is None:
            return 0
        passes = self.get_buffer("passes")
        if self.training:
            passes += 1
        return int(passes)

    def mixing_factors(self) -> dict[str, float]:
        """The learned shares of the encoder; empty without mixup."""
        mixes = {"mix1": self.mix1, "mix2": self.mix2}
        return {name: mix.factor.item() for name, mix in mixes.items() if isinstance(mix, Mix)}

    @staticmethod
    def _mix(kind: str, start: float) -> nn.Module:
        return Mix(start) if kind == "mixup" else Skip() if kind == "skip" else NoMix()

    @staticmethod
    def _up(channels: int, out: int) -> nn.Module:
        return nn.Sequential(nn.ConvTranspose2d(channels, out, 3, stride=2, padding=1, output_padding=1), nn.ReLU())


def from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Key names of the authors' checkpoint to ours: DataParallel's prefix goes, their mixers mix4 and mix5 are ours."""
    renamed = {"mix4.w": "mix1.w", "mix5.w": "mix2.w"}
    names = {key: key.removeprefix("module.") for key in state}
    return {renamed.get(name, name): state[key] for key, name in names.items()}


def sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Width of the network that made a file."""
    return {"width": len(state["down1.1.weight"])}


SYSTEM = System(
    name="aecrnet",
    label="AECR-Net (Ours)",
    task="dehazing",
    build=AECRNet,
    source="Wu et al., Contrastive Learning for Compact Single Image Dehazing, CVPR 2021; layout of the released code",
    paper_params="2.61M",
    verified_params=2_614_229,  # the released layout with shared attention and deformable blocks
    multiple=4,
    importer=from_official,
    objective=DehazingObjective(contrast=Contrast()),  # without CR it is another row of Table 2
    sizes=sizes,
    recipe={  # the authors' options where the paper gives none: 100 "epochs" of 5,000 steps, a cosine over the steps
        "network": {"operator": "dcnv2"},
        "loss": {"l1": 1.0},
        "contrast": {"features": "vgg19", "rate": "1:1", "weight": 0.1},
        "optimiser": {"kind": "adam", "betas": [0.9, 0.999]}, "learning_rate": 2e-4, "schedule": {"kind": "cosine"},
        "steps": 500_000, "batch": 16, "crop": 240, "augment": True,
    },
)
