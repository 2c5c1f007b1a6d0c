"""MUNIT: Multimodal Unsupervised Image-to-Image Translation (Huang, Liu, Belongie, Kautz, ECCV 2018).

Each domain has an auto-encoder that splits a picture into content (a map) and style (8 numbers). A picture is
translated by decoding its content with the other domain's decoder and a style of that domain drawn from N(0, 1).
Layers and key names follow the official networks; their generator file {'a', 'b'} loads through `importer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.models.layers.multiscale import MultiScaleDiscriminator
from reprolib.models.layers.normalisation import InstanceNorm2d, LayerNorm, adain
from reprolib.models.layers.residual import ConvBlock, ResBlock
from reprolib.models.layers.style import (
    SMALLEST,
    SMALLEST_OF_STYLE,
    STYLE,
    StyleEncoder,
    picture_styles,
    require_size,
)
from reprolib.models.objective import TranslationObjective
from reprolib.models.system import Direction, System

BLOCKS = 4
"""Residual blocks in an encoder and in a decoder."""


class Residuals(nn.Module):
    """Residual blocks with instance norm; BCHW to BCHW."""

    def __init__(self, channels: int):
        super().__init__()
        self.model = nn.Sequential(*[ResBlock(channels) for _ in range(BLOCKS)])

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.model(x_BCHW)


class StyledResBlock(nn.Module):
    """A residual block whose two normalisations take shift and scale, in this order, from outside."""

    def __init__(self, channels: int):
        super().__init__()
        self.model = nn.ModuleList([ConvBlock(channels, channels, 3, padding=1) for _ in range(2)])

    def forward(self, x_BCHW: Tensor, numbers_BN: Tensor) -> Tensor:
        shift_1, scale_1, shift_2, scale_2 = numbers_BN.chunk(4, dim=1)
        y_BCHW = F.relu(adain(self.model[0](x_BCHW), shift_1, scale_1))
        return x_BCHW + adain(self.model[1](y_BCHW), shift_2, scale_2)


class StyledResiduals(nn.Module):
    """Residual blocks under a style; BCHW and B x 16C to BCHW."""

    def __init__(self, channels: int):
        super().__init__()
        self.model = nn.ModuleList([StyledResBlock(channels) for _ in range(BLOCKS)])

    def forward(self, x_BCHW: Tensor, numbers_BN: Tensor) -> Tensor:
        for block, own_BN in zip(self.model, numbers_BN.chunk(BLOCKS, dim=1), strict=True):
            x_BCHW = block(x_BCHW, own_BN)
        return x_BCHW


class ContentEncoder(nn.Module):
    """BCHW in [-1, 1] to content B x 4 width x H/4 x W/4."""

    def __init__(self, width: int, channels: int):
        super().__init__()
        w = width
        self.model = nn.Sequential(
            ConvBlock(channels, w, 7, padding=3, norm=InstanceNorm2d(w), activation=nn.ReLU()),
            ConvBlock(w, 2 * w, 4, 2, 1, norm=InstanceNorm2d(2 * w), activation=nn.ReLU()),
            ConvBlock(2 * w, 4 * w, 4, 2, 1, norm=InstanceNorm2d(4 * w), activation=nn.ReLU()),
            Residuals(4 * w),
        )

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.model(image_BCHW)


class Decoder(nn.Module):
    """Content B x 4 width x H/4 x W/4 and the numbers of its AdaIN layers to BCHW in [-1, 1]."""

    def __init__(self, width: int, channels: int):
        super().__init__()
        w = width
        self.model = nn.ModuleList([
            StyledResiduals(4 * w),
            nn.Upsample(scale_factor=2),
            ConvBlock(4 * w, 2 * w, 5, padding=2, norm=LayerNorm(2 * w), activation=nn.ReLU()),
            nn.Upsample(scale_factor=2),
            ConvBlock(2 * w, w, 5, padding=2, norm=LayerNorm(w), activation=nn.ReLU()),
            ConvBlock(w, channels, 7, padding=3, activation=nn.Tanh()),
        ])

    def forward(self, content_BCHW: Tensor, numbers_BN: Tensor) -> Tensor:
        blocks, *layers = self.model
        x_BCHW = blocks(content_BCHW, numbers_BN)
        for layer in layers:
            x_BCHW = layer(x_BCHW)
        return x_BCHW


class FullyConnected(nn.Module):
    """A linear layer under the official name."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.fc = nn.Linear(inputs, outputs)

    def forward(self, x_BC: Tensor) -> Tensor:
        return self.fc(x_BC)


class MLP(nn.Module):
    """Style B8 to shift and scale of every AdaIN layer, B x (4 blocks * 4 * channels)."""

    def __init__(self, width: int):
        super().__init__()
        hidden = 4 * width
        self.model = nn.ModuleList([
            FullyConnected(STYLE, hidden), FullyConnected(hidden, hidden),
            FullyConnected(hidden, BLOCKS * 4 * 4 * width),
        ])

    def forward(self, style_BS: Tensor) -> Tensor:
        first, second, last = self.model
        return last(F.relu(second(F.relu(first(style_BS)))))


class AutoEncoder(nn.Module):
    """One domain: a picture to content and style, and back (15,026,187 parameters).

    Shape:
        `encode`: BCHW in [-1, 1] to content B x 4 width x H/4 x W/4 and style B8; H, W multiples of 4, from 16.
        `decode`: the way back, with any content and any style.
    """

    def __init__(self, width: int = 64, channels: int = 3):
        super().__init__()
        self.enc_style = StyleEncoder(width, channels)
        self.enc_content = ContentEncoder(width, channels)
        self.dec = Decoder(width, channels)
        self.mlp = MLP(width)

    def encode(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        return self.enc_content(image_BCHW), self.enc_style(image_BCHW).flatten(1)

    def decode(self, content_BCHW: Tensor, style_BS: Tensor) -> Tensor:
        return self.dec(content_BCHW, self.mlp(style_BS))


class MUNIT(nn.Module):
    """Two auto-encoders and two discriminators, with the paper's initial weights.

    Args:
        width: channels of the first layers, 64 in the paper; all others are in proportion.
        channels: of the pictures of both domains; 1 is grey, 3 RGB.

    Shape:
        BCHW of domain A in [-1, 1], H and W multiples of 4 and from 8, to BCHW of domain B in [-1, 1];
        with direction 'ba' the other way.
        Training needs crops from 64, for the discriminators.
    """

    def __init__(self, width: int = 64, channels: int = 3):
        super().__init__()
        self.channels = channels
        self.gen_a, self.gen_b = AutoEncoder(width, channels), AutoEncoder(width, channels)
        self.dis_a, self.dis_b = (MultiScaleDiscriminator(width, 0.2, channels) for _domain in "ab")
        self.apply(_initialise)
        for discriminator in (self.dis_a, self.dis_b):
            for weight in (p for p in discriminator.parameters() if p.ndim > 1):
                nn.init.normal_(weight, 0.0, 0.02)

    def forward(self, source_BCHW: Tensor, style_BS: Tensor | None = None, direction: Direction = "ab") -> Tensor:
        """Translate in a style of the target domain: the given one, or one that follows from the picture
        (`picture_styles`).

        Raises:
            UserError: a side below 8 pixels.
        """
        require_size(source_BCHW, SMALLEST)
        style_BS = picture_styles(source_BCHW) if style_BS is None else style_BS
        source, target = (self.gen_a, self.gen_b) if direction == "ab" else (self.gen_b, self.gen_a)
        return target.decode(source.enc_content(source_BCHW), style_BS)

    def style(self, image_BCHW: Tensor, domain: Literal["a", "b"]) -> Tensor:
        """Styles of pictures of a domain, B8.

        Raises:
            UserError: a side below 16 pixels.
        """
        require_size(image_BCHW, SMALLEST_OF_STYLE)
        encoder = self.gen_a if domain == "a" else self.gen_b
        return encoder.enc_style(image_BCHW).flatten(1)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, mode="fan_in")
        assert module.bias is not None
        nn.init.zeros_(module.bias)


STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Buffers of the official files that nothing reads: AdaIN's dummies, and instance norms before PyTorch 0.4."""


def importer(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official generator file, {'a': ..., 'b': ...} read as 'a.NAME' and 'b.NAME', in our names."""
    return {f"gen_{name}": tensor for name, tensor in state.items() if not name.endswith(STATISTICS)}


def sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Width and channels of the networks that made a file."""
    first = state["gen_a.enc_content.model.0.conv.weight"]
    return {"width": len(first), "channels": first.shape[1]}


def exporter(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The way back, with the unused running statistics that the official class expects behind each AdaIN layer."""
    official = {name.removeprefix("gen_"): tensor for name, tensor in state.items()}
    for name in [n for n in official if ".dec.model.0." in n and n.endswith("conv.bias")]:
        stem, channels = name.removesuffix("conv.bias"), len(official[name])
        official |= {f"{stem}norm.running_mean": torch.zeros(channels), f"{stem}norm.running_var": torch.ones(channels)}
    return official


@dataclass(frozen=True)
class MUNITObjective(TranslationObjective):
    """Adversarial terms + reconstruction of pictures, contents and styles + cycle (Huang et al., equation 5)."""

    method: ClassVar[str] = "munit"

    cycle: Annotated[float, Field(ge=0)] = 10.0
    """Weight of the explicit cycle term; its authors advise 0 where shapes change."""


SYSTEM = System(
    name="munit",
    label="MUNIT",
    task="translation",
    build=MUNIT,
    source="Huang et al., Multimodal Unsupervised Image-to-Image Translation, ECCV 2018; official layout",
    verified_params=15_026_187,  # released generator, one domain
    multiple=4,
    importer=importer,
    sizes=sizes,
    exporter=exporter,
    objective=MUNITObjective(),
    inference=("gen_a", "gen_b"),
    reverse=("gen_b", "gen_a"),
    styles=STYLE,
    recipe={  # pictures are resized on their short side, to 256; `load` resizes both, the same for square ones
        "steps": 1_000_000, "batch": 1, "load": 256, "crop": 256, "resample": "bilinear", "learning_rate": 1e-4,
        "schedule": {"kind": "step", "every": 0.1, "factor": 0.5},
    },
)
