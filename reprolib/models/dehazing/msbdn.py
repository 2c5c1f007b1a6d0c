"""MSBDN-DFF: Multi-Scale Boosted Dehazing Network with Dense Feature Fusion (Dong et al., CVPR 2020).

The authors' released network 'v1-1' is followed, names included, so that its weights load as they are: fusion by
back-projection from the oldest feature to the newest, no activation and no global residual at the output. (A later
model of theirs, MSBDN-RDFF, is a different network.) The published file is a pickled module, which is read without
running it. PyTorch's default initialisation throughout.

The authors train on 9,000 outdoor and 7,000 indoor pairs whose list is lost, rescaled by 0.5, 0.7 and 1 and cut into
patches of 256x256 on a grid of 128 before training. A picture of 620x460 gives 0, 2 and 6 patches at these scales, and
the size of their files (184 GB) is that of some 117,000 pairs of patches: 7,300 batches an epoch and 730,000 in all,
which `SYSTEM.recipe` counts. Here patches are random crops of the dataset's pictures at full size. The rate falls with
the 50th and with the 100th epoch, counted from 1.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.errors import UserError
from reprolib.models.fitting import numbered
from reprolib.models.system import System

SMALLEST = 32
"""Height and width in pixels below which the reflection at 1/16 of the size has nothing to reflect."""


class ReflectConv(nn.Module):
    """Convolution that keeps the size (or halves it, stride 2) by reflection padding."""

    def __init__(self, channels: int, out: int, kernel: int = 3, stride: int = 1):
        super().__init__()
        self.reflection_pad = nn.ReflectionPad2d(kernel // 2)
        self.conv2d = nn.Conv2d(channels, out, kernel, stride)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.conv2d(self.reflection_pad(x_BCHW))


class Up(nn.Module):
    """Transposed convolution k3 s2: h x w to (2h + 1) x (2w + 1), then resized to the size asked for."""

    def __init__(self, channels: int, out: int):
        super().__init__()
        self.conv2d = nn.ConvTranspose2d(channels, out, 3, stride=2)

    def forward(self, x_BCHW: Tensor, like_BCHW: Tensor) -> Tensor:
        return F.interpolate(self.conv2d(x_BCHW), size=like_BCHW.shape[2:], mode="bilinear", align_corners=False)


class ResBlock(nn.Module):
    """x + 0.1 * conv(PReLU(conv(x))), one slope for all channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = ReflectConv(channels, channels)
        self.conv2 = ReflectConv(channels, channels)
        self.relu = nn.PReLU()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return 0.1 * self.conv2(self.relu(self.conv1(x_BCHW))) + x_BCHW


class Projection(nn.Module):
    """One step of back-projection: k4 s2 p1 to half the size (`conv`) or twice the size (`deconv`), then PReLU."""

    def __init__(self, channels: int, out: int, *, up: bool):
        super().__init__()
        if up:
            self.deconv = nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1)
        else:
            self.conv = nn.Conv2d(channels, out, 4, stride=2, padding=1)
        self.act = nn.PReLU()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        project = self.deconv if hasattr(self, "deconv") else self.conv
        return self.act(project(x_BCHW))


class DenseFusion(nn.Module):
    """DFF: corrects a feature by its back-projection errors against all earlier ones.

    For each remembered feature, oldest and farthest in scale first: project the current feature to that scale, subtract
    the remembered feature, project the difference back and add it. The projections are shared by all remembered ones.

    Args:
        channels: of the current feature.
        memory: how many earlier features there are; the newest is one scale away.
        encoder: earlier features are larger (twice the size and half the channels a scale); otherwise smaller.
    """

    def __init__(self, channels: int, memory: int, *, encoder: bool):
        super().__init__()
        widths = [channels // 2**i if encoder else channels * 2**i for i in range(memory + 1)]
        towards = [Projection(widths[i], widths[i + 1], up=encoder) for i in range(memory)]
        back = [Projection(widths[i + 1], widths[i], up=not encoder) for i in range(memory)]
        self.up_convs = nn.ModuleList(towards if encoder else back)
        self.down_convs = nn.ModuleList(back if encoder else towards)
        self.encoder = encoder

    def forward(self, x_BCHW: Tensor, memory: list[Tensor]) -> Tensor:
        towards, back = (self.up_convs, self.down_convs) if self.encoder else (self.down_convs, self.up_convs)
        for scales, remembered in zip(range(len(towards), 0, -1), memory, strict=True):
            difference = x_BCHW
            for i in range(scales):
                difference = towards[i](difference)
            difference = difference - remembered
            for i in reversed(range(scales)):
                difference = back[i](difference)
            x_BCHW = x_BCHW + difference
        return x_BCHW


def dense(channels: int) -> nn.Sequential:
    """The three residual blocks that the released code calls dense."""
    return nn.Sequential(*[ResBlock(channels) for _ in range(3)])


class MSBDN(nn.Module):
    """Encoder, residual bottleneck and boosted decoder over five scales.

    Args:
        width: channels at full resolution; doubled at each of the four halvings.
        blocks: residual blocks in the bottleneck.

    Shape:
        B3HW in [0, 1] to B3HW, unbounded; height and width multiples of 16 and at least 32.

    Raises:
        UserError: a size that the network cannot take.
    """

    def __init__(self, width: int = 16, blocks: int = 18):
        super().__init__()
        w1, w2, w4, w8, w16 = (width * 2**level for level in range(5))
        self.conv_input = ReflectConv(3, w1, kernel=11)
        self.dense0 = dense(w1)
        self.conv2x, self.fusion1, self.dense1 = ReflectConv(w1, w2, stride=2), _fuse_down(w2, 1), dense(w2)
        self.conv4x, self.fusion2, self.dense2 = ReflectConv(w2, w4, stride=2), _fuse_down(w4, 2), dense(w4)
        self.conv8x, self.fusion3, self.dense3 = ReflectConv(w4, w8, stride=2), _fuse_down(w8, 3), dense(w8)
        self.conv16x, self.fusion4 = ReflectConv(w8, w16, stride=2), _fuse_down(w16, 4)
        self.dehaze = nn.Sequential()
        for i in range(blocks):
            self.dehaze.add_module(f"res{i}", ResBlock(w16))
        self.convd16x, self.dense_4, self.fusion_4 = Up(w16, w8), dense(w8), _fuse_up(w8, 1)
        self.convd8x, self.dense_3, self.fusion_3 = Up(w8, w4), dense(w4), _fuse_up(w4, 2)
        self.convd4x, self.dense_2, self.fusion_2 = Up(w4, w2), dense(w2), _fuse_up(w2, 3)
        self.convd2x, self.dense_1, self.fusion_1 = Up(w2, w1), dense(w1), _fuse_up(w1, 4)
        self.conv_output = ReflectConv(w1, 3)

    def forward(self, hazy_B3HW: Tensor) -> Tensor:
        _check_size(hazy_B3HW)
        skips, deepest = self._encode(hazy_B3HW)
        doubled = 2 * deepest
        return self._decode(self.dehaze(doubled) + doubled - deepest, skips)

    def _encode(self, hazy_B3HW: Tensor) -> tuple[list[Tensor], Tensor]:
        """Features at 1, 1/2, 1/4 and 1/8 of the size for the decoder, and the one at 1/16."""
        x = self.conv_input(hazy_B3HW)
        memory, skips = [x], [self.dense0(x) + x]
        levels = (
            (self.conv2x, self.fusion1, self.dense1),
            (self.conv4x, self.fusion2, self.dense2),
            (self.conv8x, self.fusion3, self.dense3),
        )
        for down, fusion, blocks in levels:
            x = fusion(down(skips[-1]), memory)
            memory.append(x)
            skips.append(blocks(x) + x)
        return skips, self.fusion4(self.conv16x(skips[-1]), memory)

    def _decode(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        memory = [x]
        levels = (
            (self.convd16x, self.dense_4, self.fusion_4),
            (self.convd8x, self.dense_3, self.fusion_3),
            (self.convd4x, self.dense_2, self.fusion_2),
            (self.convd2x, self.dense_1, self.fusion_1),
        )
        for (up, blocks, fusion), skip in zip(levels, reversed(skips), strict=True):
            previous = up(x, like_BCHW=skip)
            strengthened = previous + skip
            # Boosting: strengthen (add the skip), operate (the blocks), subtract the estimate of the scale below.
            x = fusion(blocks(strengthened) + strengthened - previous, memory)
            memory.append(x)
        return self.conv_output(x)


def _fuse_down(channels: int, memory: int) -> DenseFusion:
    return DenseFusion(channels, memory, encoder=True)


def _fuse_up(channels: int, memory: int) -> DenseFusion:
    return DenseFusion(channels, memory, encoder=False)


def _check_size(image_B3HW: Tensor) -> None:
    height, width = image_B3HW.shape[2:]
    if height % 16 or width % 16 or min(height, width) < SMALLEST:
        fix = f"pad height and width to multiples of 16 and to at least {SMALLEST}"
        raise UserError(f"MSBDN cannot take {width}x{height} pixels", fix=fix)


def sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Width and blocks of the network that made a file."""
    return {"width": len(state["conv_input.conv2d.weight"]), "blocks": numbered(state, "dehaze.")}


SYSTEM = System(
    name="msbdn",
    label="MSBDN",
    task="dehazing",
    build=MSBDN,
    source="Dong et al., Multi-Scale Boosted Dehazing Network with Dense Feature Fusion, CVPR 2020; "
    "layout and key names of the released MSBDN-DFF v1-1",
    paper_params="31.35M",
    verified_params=31_353_061,  # released v1-1
    multiple=16,
    sizes=sizes,
    recipe={  # 100 epochs of 117,000 patches; the rate divided by 10 after 49 and after 99 of them
        "loss": {"mse": 1.0},
        "optimiser": {"kind": "adam", "betas": [0.9, 0.999]},
        "learning_rate": 1e-4, "schedule": {"kind": "step", "milestones": [0.49, 0.99], "factor": 0.1},
        "steps": 730_000, "batch": 16, "crop": 256, "augment": True,
    },
)
