"""DRIT and DRIT++: Diverse Image-to-Image Translation via Disentangled Representations (Lee et al., ECCV 2018).

A content encoder a domain ends in a shared block, so that contents of both domains share one space, which a content
discriminator enforces; 8 numbers of attribute carry the rest. DRIT++ (IJCV 2020) adds the mode-seeking loss, which the
authors' code has on by default. The attribute enters by concatenation, the authors' default, or `feature`-wise, which
they advise where shape changes, as from cats to dogs; which of them CUT's table used is not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from reprolib.errors import UserError, unknown
from reprolib.models.layers.multiscale import MultiScaleDiscriminator
from reprolib.models.layers.normalisation import InstanceNorm2d
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

Side = Literal["a", "b"]

SLOPE = 0.01
"""Of leaky ReLU, except in the attribute encoder of the concatenating form (0.2)."""


class ContentEncoder(nn.Module):
    """One encoder a domain and a last block for both; BCHW in [-1, 1] to B x 4 width x H/4 x W/4."""

    def __init__(self, width: int, channels: int):
        super().__init__()
        self.own = nn.ModuleDict({side: self._own(width, channels) for side in "ab"})
        self.shared = ResBlock(4 * width)

    @staticmethod
    def _own(w: int, channels: int) -> nn.Sequential:
        return nn.Sequential(
            ConvBlock(channels, w, 7, padding=3, activation=nn.LeakyReLU(SLOPE)),
            ConvBlock(w, 2 * w, 3, 2, 1, norm=InstanceNorm2d(2 * w), activation=nn.ReLU()),
            ConvBlock(2 * w, 4 * w, 3, 2, 1, norm=InstanceNorm2d(4 * w), activation=nn.ReLU()),
            *[ResBlock(4 * w) for _ in range(3)],
        )

    def forward(self, image_BCHW: Tensor, side: Side) -> Tensor:
        return self.shared(self.own[side](image_BCHW))


class PoolingBlock(nn.Module):
    """Residual block at half the size, with leaky ReLU before each convolution; BCHW to B x out x H/2 x W/2."""

    def __init__(self, channels: int, out: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.LeakyReLU(0.2), ConvBlock(channels, channels, 3, padding=1),
            nn.LeakyReLU(0.2), ConvBlock(channels, out, 3, padding=1), nn.AvgPool2d(2),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(channels, out, 1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.body(x_BCHW) + self.shortcut(x_BCHW)


class GaussianEncoder(nn.Module):
    """BCHW in [-1, 1] to mean and log variance of its attribute, B8 each; H, W from 16."""

    def __init__(self, width: int, channels: int):
        super().__init__()
        w = width
        self.body = nn.Sequential(
            ConvBlock(channels, w, 4, 2, 1),
            PoolingBlock(w, 2 * w), PoolingBlock(2 * w, 3 * w), PoolingBlock(3 * w, 4 * w),
            nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )
        self.mean, self.log_variance = nn.Linear(4 * w, STYLE), nn.Linear(4 * w, STYLE)

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        x_BC = self.body(image_BCHW)
        return self.mean(x_BC), self.log_variance(x_BC)


class UpBlock(nn.Sequential):
    """Transposed convolution to twice the size, layer norm over the picture with one scale a channel, ReLU."""

    def __init__(self, channels: int, out: int):
        # One group over all channels is layer norm over C, H, W with affine parameters a channel.
        super().__init__(nn.ConvTranspose2d(channels, out, 3, 2, 1, output_padding=1), nn.GroupNorm(1, out), nn.ReLU())


def _beside(x_BCHW: Tensor, z_BZ: Tensor) -> Tensor:
    """The features with z as further channels, the same at every position."""
    return torch.cat((x_BCHW, z_BZ[..., None, None].expand(-1, -1, *x_BCHW.shape[2:]).to(x_BCHW.dtype)), dim=1)


class ConcatDecoder(nn.Module):
    """Content B x 4 width x H/4 x W/4 and attribute B8, which joins before every stage, to BCHW in [-1, 1]."""

    def __init__(self, width: int, channels: int):
        super().__init__()
        c = 4 * width + STYLE
        half = (c + STYLE) // 2
        quarter = (half + STYLE) // 2
        self.stages = nn.ModuleList([
            nn.Sequential(*[ResBlock(c) for _ in range(3)]),
            UpBlock(c + STYLE, half),
            UpBlock(half + STYLE, quarter),
            nn.Sequential(nn.ConvTranspose2d(quarter + STYLE, channels, 1), nn.Tanh()),
        ])

    def forward(self, content_BCHW: Tensor, attribute_BS: Tensor) -> Tensor:
        for stage in self.stages:
            content_BCHW = stage(_beside(content_BCHW, attribute_BS))
        return content_BCHW


class StyledBlock(nn.Module):
    """Residual block in which 1x1 convolutions mix a style into the features after each normalised convolution."""

    def __init__(self, channels: int):
        super().__init__()
        c = channels
        self.convs = nn.ModuleList([
            ConvBlock(c, c, 3, padding=1, norm=InstanceNorm2d(c)) for _ in range(2)
        ])
        self.mixes = nn.ModuleList([
            nn.Sequential(nn.Conv2d(2 * c, 2 * c, 1), nn.ReLU(), nn.Conv2d(2 * c, c, 1), nn.ReLU()) for _ in range(2)
        ])

    def forward(self, x_BCHW: Tensor, z_BC: Tensor) -> Tensor:
        y_BCHW = x_BCHW
        for conv, mix in zip(self.convs, self.mixes, strict=True):
            y_BCHW = mix(_beside(conv(y_BCHW), z_BC))
        return x_BCHW + y_BCHW


class FeatureDecoder(nn.Module):
    """Content B x 4 width x H/4 x W/4 and attribute B8, through an MLP into four blocks, to BCHW in [-1, 1]."""

    def __init__(self, width: int, channels: int):
        super().__init__()
        w, c = width, 4 * width
        self.mlp = nn.Sequential(nn.Linear(STYLE, c), nn.ReLU(), nn.Linear(c, c), nn.ReLU(), nn.Linear(c, 4 * c))
        self.blocks = nn.ModuleList([StyledBlock(c) for _ in range(4)])
        self.up = nn.Sequential(UpBlock(c, 2 * w), UpBlock(2 * w, w), nn.ConvTranspose2d(w, channels, 1), nn.Tanh())

    def forward(self, content_BCHW: Tensor, attribute_BS: Tensor) -> Tensor:
        for block, z_BC in zip(self.blocks, self.mlp(attribute_BS).chunk(4, dim=1), strict=True):
            content_BCHW = block(content_BCHW, z_BC)
        return self.up(content_BCHW)


class Generator(nn.Module):
    """One decoder a domain; before the concatenating ones stands a block that both share."""

    def __init__(self, width: int, concat: bool, channels: int):
        super().__init__()
        decoder = ConcatDecoder if concat else FeatureDecoder
        self.shared = ResBlock(4 * width) if concat else nn.Identity()
        self.own = nn.ModuleDict({side: decoder(width, channels) for side in "ab"})

    def forward(self, content_BCHW: Tensor, attribute_BS: Tensor, side: Side) -> Tensor:
        return self.own[side](self.shared(content_BCHW), attribute_BS)


class Translator(nn.Module):
    """Encoders and generator of both domains (21,270,982 parameters; feature-wise 31,694,358).

    Shape:
        `content(image, side)`: BCHW in [-1, 1] to B x 4 width x H/4 x W/4; H, W multiples of 4, from 8.
        `attribute(image, side)`: BCHW, H and W from 16, to mean B8 and log variance B8, or None if feature-wise.
        `generator(content, attribute, side)`: the way back, into the domain `side`.
    """

    def __init__(self, width: int, concat: bool, channels: int):
        super().__init__()
        encoder = GaussianEncoder if concat else StyleEncoder
        self.concat = concat
        self.content = ContentEncoder(width, channels)
        self.attributes = nn.ModuleDict({side: encoder(width, channels) for side in "ab"})
        self.generator = Generator(width, concat, channels)

    def attribute(self, image_BCHW: Tensor, side: Side) -> tuple[Tensor, Tensor | None]:
        encoded = self.attributes[side](image_BCHW)
        return encoded if self.concat else (encoded.flatten(1), None)


class ContentDiscriminator(nn.Module):
    """Tells the domain of a content: strided 7x7 convolutions, one 4x4, one 1x1 (10,683,649 parameters).

    No normalisation: the released code guards it by comparing two unequal strings, so that it is never built, and the
    released weights have none.

    Args:
        width: a quarter of the content's channels.
        depth: strided convolutions. 3 in the paper need crops from 212 pixels; 2 from 100, 1 from 44.

    Shape:
        B x 4 width x H/4 x W/4 to B1hw of logits.

    Raises:
        UserError: contents that are too small for this depth.
    """

    def __init__(self, width: int, depth: int = 3):
        super().__init__()
        c = 4 * width
        self.model = nn.Sequential(
            *[ConvBlock(c, c, 7, 2, 1, activation=nn.LeakyReLU(SLOPE)) for _ in range(depth)],
            ConvBlock(c, c, 4, activation=nn.LeakyReLU(SLOPE)), nn.Conv2d(c, 1, 1),
        )
        side = 4
        for _ in range(depth):
            side = 2 * side + 3
        self.smallest = side

    def forward(self, content_BCHW: Tensor) -> Tensor:
        if min(content_BCHW.shape[2:]) < self.smallest:
            height, width = (4 * n for n in content_BCHW.shape[2:])
            raise UserError(f"crops of {width}x{height} are too small for DRIT's content discriminator",
                            fix=f"crop at least {4 * self.smallest}, or set network.content_depth: 2 (from 100 pixels) "
                            "or 1 (from 44)")
        return self.model(content_BCHW)


class DRIT(nn.Module):
    """The translator, two discriminators a domain and the content discriminator.

    The first discriminator of a domain (`dis_a`, `dis_b`) judges translations in the attribute of another picture, the
    second (`dis_a2`, `dis_b2`) those in a random one.

    Args:
        attributes: 'concat' or 'feature'.
        width: channels of the first layers, 64 in the paper; all others are in proportion.
        content_depth: strided convolutions of the content discriminator, see there.
        channels: of the pictures of both domains; 1 is grey, 3 RGB.

    Shape:
        BCHW of domain A in [-1, 1], H and W multiples of 4 and from 8, to BCHW of domain B in [-1, 1];
        with direction 'ba' the other way.
        Training needs crops from 212 for a `content_depth` of 3, from 100 for 2 and from 64 for 1.

    Raises:
        UserError: another kind of attributes.
    """

    def __init__(self, attributes: str = "concat", *, width: int = 64, content_depth: int = 3,
                 channels: int = 3):
        super().__init__()
        if attributes not in ("concat", "feature"):
            raise unknown("kind of attributes", attributes, ("concat", "feature"))
        self.channels = channels
        self.translator = Translator(width, attributes == "concat", channels)
        for name in ("dis_a", "dis_b", "dis_a2", "dis_b2"):
            self.add_module(name, MultiScaleDiscriminator(width, SLOPE, channels))
        self.dis_content = ContentDiscriminator(width, content_depth)
        for module in self.modules():  # biases and linear layers keep PyTorch's defaults
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0.0, 0.02)

    def forward(self, source_BCHW: Tensor, style_BS: Tensor | None = None, direction: Direction = "ab") -> Tensor:
        """Translate with an attribute of the target domain: the given one, or one that follows from the picture
        (`picture_styles`).

        The authors crop 216 pixels out of the middle of a test picture; here it is translated whole.

        Raises:
            UserError: a side below 8 pixels.
        """
        require_size(source_BCHW, SMALLEST)
        style_BS = picture_styles(source_BCHW) if style_BS is None else style_BS
        sides: tuple[Side, Side] = ("a", "b") if direction == "ab" else ("b", "a")
        return self.translator.generator(self.translator.content(source_BCHW, sides[0]), style_BS, sides[1])

    def style(self, image_BCHW: Tensor, domain: Side) -> Tensor:
        """Attributes of pictures of a domain, B8: their means, where they are distributions.

        Raises:
            UserError: a side below 16 pixels.
        """
        require_size(image_BCHW, SMALLEST_OF_STYLE)
        return self.translator.attribute(image_BCHW, domain)[0]


def _side(match: re.Match[str]) -> str:
    return match[1].lower()


def _number(match: re.Match[str], group: int) -> int:
    return int(match[group])


OFFICIAL: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"enc_c\.conv([AB])\.([0-2])\.model\.1", lambda m: f"content.own.{_side(m)}.{m[2]}.conv"),
    (r"enc_c\.conv([AB])\.([3-5])\.model\.([15])",
     lambda m: f"content.own.{_side(m)}.{m[2]}.model.{_number(m, 3) // 5}.conv"),
    (r"enc_c\.conv_share\.0\.model\.([15])", lambda m: f"content.shared.model.{_number(m, 1) // 5}.conv"),
    (r"enc_a\.conv_([AB])\.1", lambda m: f"attributes.{_side(m)}.body.0.conv"),
    (r"enc_a\.conv_([AB])\.([2-4])\.conv\.2", lambda m: f"attributes.{_side(m)}.body.{_number(m, 2) - 1}.body.1.conv"),
    (r"enc_a\.conv_([AB])\.([2-4])\.conv\.4\.1",
     lambda m: f"attributes.{_side(m)}.body.{_number(m, 2) - 1}.body.3.conv"),
    (r"enc_a\.conv_([AB])\.([2-4])\.shortcut\.1",
     lambda m: f"attributes.{_side(m)}.body.{_number(m, 2) - 1}.shortcut.1"),
    (r"enc_a\.fc_([AB])\.0", lambda m: f"attributes.{_side(m)}.mean"),
    (r"enc_a\.fcVar_([AB])\.0", lambda m: f"attributes.{_side(m)}.log_variance"),
    (r"enc_a\.model_([ab])\.16", lambda m: f"attributes.{_side(m)}.model.6"),
    (r"enc_a\.model_([ab])\.(1|4|7|10|13)", lambda m: f"attributes.{_side(m)}.model.{_number(m, 2) // 3}.conv"),
    (r"gen\.dec_share\.0\.model\.([15])", lambda m: f"generator.shared.model.{_number(m, 1) // 5}.conv"),
    (r"gen\.dec([AB])1\.([0-2])\.model\.([15])",
     lambda m: f"generator.own.{_side(m)}.stages.0.{m[2]}.model.{_number(m, 3) // 5}.conv"),
    (r"gen\.dec([AB])([23])\.0\.model\.([01])",
     lambda m: f"generator.own.{_side(m)}.stages.{_number(m, 2) - 1}.{m[3]}"),
    (r"gen\.dec([AB])4\.0", lambda m: f"generator.own.{_side(m)}.stages.3.0"),
    (r"gen\.mlp([AB])\.([024])", lambda m: f"generator.own.{_side(m)}.mlp.{m[2]}"),
    (r"gen\.dec([AB])([1-4])\.conv([12])\.0\.1",
     lambda m: f"generator.own.{_side(m)}.blocks.{_number(m, 2) - 1}.convs.{_number(m, 3) - 1}.conv"),
    (r"gen\.dec([AB])([1-4])\.blk([12])\.([02])",
     lambda m: f"generator.own.{_side(m)}.blocks.{_number(m, 2) - 1}.mixes.{_number(m, 3) - 1}.{m[4]}"),
    (r"gen\.dec([AB])5\.([01])\.model\.([01])", lambda m: f"generator.own.{_side(m)}.up.{m[2]}.{m[3]}"),
    (r"gen\.dec([AB])5\.2", lambda m: f"generator.own.{_side(m)}.up.2"),
)
"""Layers of the official checkpoint in both forms, and ours."""


def importer(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official checkpoint, {'enc_c': ..., 'enc_a': ..., 'gen': ..., ...} read as 'enc_c.NAME' and so on.

    Discriminators and optimisers are left out; affine parameters of shape C11 become C.

    Raises:
        KeyError: a name that no official network has.
    """
    ours: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.startswith(("enc_c.", "enc_a.", "gen.")):
            layer, kind = name.rsplit(".", 1)
            ours[f"translator.{_renamed(layer)}.{kind}"] = tensor.flatten() if tensor.ndim == 3 else tensor
    return ours


def _renamed(layer: str) -> str:
    for pattern, rename in OFFICIAL:
        if match := re.fullmatch(pattern, layer):
            return rename(match)
    raise KeyError(layer)


def sizes(state: Mapping[str, Tensor]) -> dict[str, int | str]:
    """Form, width and channels of the translator that made a file."""
    first = state["translator.content.own.a.0.conv.weight"]
    feature_wise = any(".mlp." in name for name in state)
    return {"attributes": "feature" if feature_wise else "concat", "width": len(first), "channels": first.shape[1]}


@dataclass(frozen=True)
class DRITObjective(TranslationObjective):
    """The authors' weights throughout (Lee et al., equation 7); nothing of it is a choice here."""

    method: ClassVar[str] = "drit"


SYSTEM = System(
    name="drit",
    label="DRIT",
    task="translation",
    build=DRIT,
    source="Lee et al., Diverse Image-to-Image Translation via Disentangled Representations, ECCV 2018; with the "
    "mode-seeking loss of DRIT++, as the official code has by default",
    multiple=4,
    importer=importer,
    sizes=sizes,
    objective=DRITObjective(),
    inference=("translator",),
    reverse=("translator",),
    styles=STYLE,
    recipe={
        # 1,200 epochs of horse2zebra's 1,334 in batches of 2, the rate falling from the 600th. The authors' code stops
        # at 500,000 counted iterations where these come first; two of three batches train only the content
        # discriminator and do not count. Cityscapes stops so in epoch 1,009 with a third of the rate left, cats to
        # dogs in 583 with all of it.
        "steps": 800_400, "batch": 2, "load": 256, "crop": 216, "learning_rate": 1e-4,
        "schedule": {"kind": "linear", "start": 0.5},
    },
)
