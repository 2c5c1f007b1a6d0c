"""Second axis: the latent space in which distances are taken. Five taps of a frozen ImageNet VGG."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from reprolib.errors import UserError, unknown

WEIGHTS = Path("weights")
"""Folder of local weight files, NAME.safetensors or NAME.pth."""


@dataclass(frozen=True)
class Trunk:
    """A VGG layout: convolutions per block, and how the network wants its input."""

    convolutions: tuple[int, ...]
    normalisation: str


TRUNKS = {
    # The authors feed raw [0, 1] pictures to torchvision's network, without its mean and deviation.
    "vgg19": Trunk((2, 2, 4, 4, 4), "none"),
    # Caffe-style weights expect BGR levels around zero; [0, 1] would be an almost black picture to them.
    "vgg16": Trunk((2, 2, 3, 3, 3), "caffe"),
}
WIDTHS = (64, 128, 256, 512, 512)
NORMALISATIONS = ("none", "imagenet", "caffe")


class VGGFeatures(nn.Module):
    """relu1_1, relu2_1, relu3_1, relu4_1, relu5_1 of a VGG: convolutions 1, 3, 5, 9 and 13 of VGG19.

    Args:
        name: 'vgg19' (the paper's) or 'vgg16'.
        normalisation: 'none' feeds RGB in [0, 1]; 'imagenet' subtracts torchvision's mean and divides by its
            deviation; 'caffe' feeds BGR in 0..255 minus its mean. None takes what suits the weights.

    Shape:
        B3HW RGB in [0, 1] to five tensors B, C, H/2^i, W/2^i with C = 64, 128, 256, 512, 512.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, name: str = "vgg19", normalisation: str | None = None):
        super().__init__()
        if name not in TRUNKS:
            raise unknown("feature extractor", name, TRUNKS)
        self.name = name
        self.normalisation = normalisation or TRUNKS[name].normalisation
        if self.normalisation not in NORMALISATIONS:
            raise unknown("normalisation", self.normalisation, NORMALISATIONS)
        self.features, self.taps = _trunk(TRUNKS[name].convolutions)
        mean, scale = {
            "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
            "imagenet": ((0.485, 0.456, 0.406), (1 / 0.229, 1 / 0.224, 1 / 0.225)),
            "caffe": ((123.68 / 255, 116.779 / 255, 103.939 / 255), (255.0, 255.0, 255.0)),
        }[self.normalisation]
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(scale).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> VGGFeatures:
        """Stays in evaluation: the extractor is a fixed measure."""
        return super().train(False)

    def forward(self, x_B3HW: Tensor) -> list[Tensor]:
        x = (x_B3HW - self.mean) * self.scale
        if self.normalisation == "caffe":
            x = x.flip(1)
        found = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                found.append(x)
        return found


def load_features(name: str, weights: Path | None = None) -> VGGFeatures:
    """The extractor with its ImageNet weights: from `weights`, from weights/NAME.*, or (vgg19) by torchvision.

    Raises:
        UserError: unknown name, or no weights to be had.
    """
    extractor = VGGFeatures(name)
    paths = [weights] if weights else [WEIGHTS / f"{name}{suffix}" for suffix in (".safetensors", ".pth")]
    path = next((p for p in paths if p.is_file()), None)
    if path is not None:
        state = _read(path)
    elif weights is not None or name == "vgg16":
        raise UserError(f"no weights for {name}", where=paths[0], fix=f"run `reprolib data prepare {name}`")
    else:
        state = _from_torchvision(name)
    wanted = extractor.state_dict()
    missing = sorted(set(wanted) - set(state))
    if missing:
        raise UserError(f"not the weights of {name}: {', '.join(missing[:3])} missing", where=path, fix="get the file again")
    extractor.load_state_dict({k: state[k] for k in wanted})
    return extractor


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _from_torchvision(name: str) -> dict[str, Tensor]:
    from torchvision.models import get_model

    try:
        return get_model(name, weights="IMAGENET1K_V1").state_dict()
    except Exception as error:
        raise UserError(f"could not download {name}", fix=f"put its state dict at {WEIGHTS / name}.pth, or use vgg16") from error


def _trunk(convolutions: tuple[int, ...]) -> tuple[nn.Sequential, frozenset[int]]:
    """Layers up to relu5_1, indexed as torchvision's `features`, and the indices of the taps."""
    layers: list[nn.Module] = []
    taps, channels = [], 3
    for block, (count, width) in enumerate(zip(convolutions, WIDTHS, strict=True)):
        if block:
            layers.append(nn.MaxPool2d(2))
        for number in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
            if number == 0:
                taps.append(len(layers) - 1)
                if block == len(WIDTHS) - 1:
                    return nn.Sequential(*layers), frozenset(taps)
    raise AssertionError("unreachable")
