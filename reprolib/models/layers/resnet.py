"""The ResNet generator of CycleGAN (Johnson et al., ECCV 2016; Zhu et al., ICCV 2017), and CUT's form of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from reprolib.errors import UserError
from reprolib.models.layers.normalisation import InstanceNorm2d
from reprolib.models.layers.resample import BlurDown, BlurUp

MULTIPLE, SMALLEST = 4, 8
"""Height and width are multiples of the first and at least the second: a quarter of the size must still reflect."""


class ResidualBlock(nn.Module):
    """x + IN(conv(ReLU(IN(conv(x))))), each convolution over padded borders; BCHW to BCHW."""

    def __init__(self, channels: int, pad: type[nn.Module], affine: bool):
        super().__init__()
        c = channels
        self.conv_block = nn.Sequential(
            pad(1), nn.Conv2d(c, c, 3), InstanceNorm2d(c, affine=affine), nn.ReLU(),
            pad(1), nn.Conv2d(c, c, 3), InstanceNorm2d(c, affine=affine),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.conv_block(x_BCHW)


class ResNetGenerator(nn.Module):
    """Two halvings, residual blocks, two doublings (11,378,179 parameters with 9 blocks, 7,837,699 with 6).

    The layers stand in one sequence `model` at the released indices, with which PatchNCE names its taps: with
    `antialias` 0 is the padded picture, 4 and 8 are convolutions before their normalisation, and 12 the first block.

    Args:
        width: channels of the first layer, 64 in the papers; all others are in proportion.
        blocks: residual blocks.
        antialias: halve by convolution and `BlurDown`, double by `BlurUp` and convolution (CUT). Otherwise convolutions
            halve and transposed ones double (CycleGAN, GcGAN, DistanceGAN), and the blocks begin at index 10.
        reflect: pad by reflection at the first, the residual and the last convolutions; by zeros in DistanceGAN.
        affine: instance norms have learned scale and shift (DistanceGAN: 11,388,675 parameters).
        channels: of the pictures; 1 is grey, 3 RGB.

    Shape:
        BCHW in [-1, 1] to BCHW in [-1, 1]; H and W multiples of 4, from 8.

    Raises:
        UserError: a size that the network cannot take, or a tap outside the encoder.
    """

    def __init__(self, width: int = 64, blocks: int = 9, *, antialias: bool = False, reflect: bool = True,
                 affine: bool = False, channels: int = 3):
        super().__init__()
        self.channels = channels
        w, pad = width, nn.ReflectionPad2d if reflect else nn.ZeroPad2d

        def activated(layer: nn.Module, channels: int) -> list[nn.Module]:
            return [layer, InstanceNorm2d(channels, affine=affine), nn.ReLU()]

        def down(channels: int) -> list[nn.Module]:
            conv = nn.Conv2d(channels, 2 * channels, 3, stride=1 if antialias else 2, padding=1)
            return activated(conv, 2 * channels) + ([BlurDown(2 * channels)] if antialias else [])

        def up(channels: int) -> list[nn.Module]:
            if antialias:
                return [BlurUp(channels), *activated(nn.Conv2d(channels, channels // 2, 3, padding=1), channels // 2)]
            conv = nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1)
            return activated(conv, channels // 2)

        encoder = [pad(3), *activated(nn.Conv2d(channels, w, 7), w), *down(w), *down(2 * w),
                   *(ResidualBlock(4 * w, pad, affine) for _ in range(blocks))]
        self.deepest = len(encoder) - 1
        """Index of the last residual block, where the encoder ends."""
        self.model = nn.Sequential(*encoder, *up(4 * w), *up(2 * w), pad(3), nn.Conv2d(w, channels, 7), nn.Tanh())

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.forward_with_taps(x_BCHW, ())[0]

    def forward_with_taps(self, x_BCHW: Tensor, taps: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """The output, and on the way what `encode` gives."""
        return self._run(x_BCHW, taps, len(self.model))

    def encode(self, x_BCHW: Tensor, taps: Sequence[int]) -> list[Tensor]:
        """Outputs of the layers with these indices, in the order of the layers; computes nothing behind the last."""
        return self._run(x_BCHW, taps, max(taps) + 1)[1]

    def tap_channels(self, taps: Sequence[int]) -> list[int]:
        """Channels at each tap: 3, 128, 256, 256, 256 at 0, 4, 8, 12 and 16 of CUT's generator of RGB pictures."""
        self._check_taps(taps)
        channels, result = self.channels, []
        for index, layer in enumerate(self.model[: max(taps) + 1]):
            channels = layer.out_channels if isinstance(layer, nn.Conv2d) else channels
            result += [channels] if index in taps else []
        return result

    def _run(self, x_BCHW: Tensor, taps: Sequence[int], stop: int) -> tuple[Tensor, list[Tensor]]:
        self._check_taps(taps)
        _check_size(x_BCHW)
        features = []
        for index, layer in enumerate(self.model[:stop]):
            x_BCHW = layer(x_BCHW)
            if index in taps:
                features.append(x_BCHW)
        return x_BCHW, features

    def _check_taps(self, taps: Sequence[int]) -> None:
        wrong = [tap for tap in taps if not 0 <= tap <= self.deepest]
        if wrong:
            raise UserError(f"tap {wrong[0]} does not exist in the encoder of this generator",
                            fix=f"taps are layers from 0 to {self.deepest}, the last residual block")


def _check_size(image_BCHW: Tensor) -> None:
    height, width = image_BCHW.shape[-2:]
    if height % MULTIPLE or width % MULTIPLE or min(height, width) < SMALLEST:
        raise UserError(f"the generator cannot take {width}x{height} pixels",
                        fix=f"crop or pad height and width to multiples of {MULTIPLE}, at least {SMALLEST}")


UNUSED = ("running_mean", "running_var", "num_batches_tracked")
"""Statistics in files from before PyTorch 0.4, which instance norm does not read."""


def importer(child: str) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
    """Maps a published generator's state dict (`model.1.weight`, ...) to that of a system with it under `child`.

    Files of generators that had dropout in their blocks, which is off in all papers here, count the second convolution
    of a block one further.
    """

    def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {f"{child}." + re.sub(r"conv_block\.6\.", "conv_block.5.", name): tensor
                for name, tensor in state.items() if not name.endswith(UNUSED)}

    return rename


def sizes(child: str) -> Callable[[Mapping[str, Tensor]], dict[str, int]]:
    """Width, blocks and channels of the generator under `child` that made a file."""

    def found(state: Mapping[str, Tensor]) -> dict[str, int]:
        first = state[f"{child}.model.1.weight"]
        return {"width": len(first), "channels": first.shape[1],
                "blocks": sum(name.endswith("conv_block.1.weight") for name in state)}

    return found


def exporter(child: str) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
    """The way back; what is not of this generator is left out."""

    def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        prefix = f"{child}."
        return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}

    return rename
