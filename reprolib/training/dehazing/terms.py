"""Terms of a dehazer's loss: each maps a restoration (a batch and the network's output for it) to a scalar.

`DehazingRun.loss` weighs them by name (`TERMS`); the contrastive term joins by `DehazingRun.contrast` instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib import distributed, models
from reprolib.contrast.features import load_features
from reprolib.errors import UserError, unknown
from reprolib.models.inference import pad_to_multiple
from reprolib.runs.run import DehazingRun
from reprolib.runtime import to_device

PATCH = 16
"""Side in pixels of the pictures that DehazeNet is trained on (Cai et al., section IV)."""

VGG16_TAPS = ((1, 2), (2, 2), (3, 3))
"""relu1_2, relu2_2, relu3_3: block and convolution (Liu et al., section 3.4)."""

VGG19_TAPS = ((1, 2), (2, 2), (3, 2), (4, 2), (5, 2))
"""relu1_2 to relu5_2. KDDN's re-implementation names the convolutions, but the ReLUs after them work in place."""


class Restoration:
    """One batch, and the network's output for it, computed once and only if a term asks for it.

    Args:
        network: maps B3HW in [0, 1] to B3HW.
        hazy_B3HW: input, and `clear_B3HW` its truth, in [0, 1].
        generator: on the CPU; the only source of a term's random draws.
        multiple: the network's `System.multiple`; its input is padded to it and its output cropped back.
        with_features: ask the network for its inner features as well (KDDN).
    """

    def __init__(self, network: nn.Module, hazy_B3HW: Tensor, clear_B3HW: Tensor, generator: torch.Generator,
                 multiple: int = 1, with_features: bool = False):
        self.network, self.hazy_B3HW, self.clear_B3HW = network, hazy_B3HW, clear_B3HW
        self.generator, self.multiple, self.with_features = generator, multiple, with_features

    @property
    def restored_B3HW(self) -> Tensor:
        """What the network restores, in float32."""
        height, width = self.hazy_B3HW.shape[2:]
        return self._output[0][..., :height, :width].float()

    @property
    def features(self) -> list[Tensor]:
        """Inner features of the hazy pictures; empty without `with_features`."""
        return self._output[1]

    @cached_property
    def _output(self) -> tuple[Tensor, list[Tensor]]:
        padded = pad_to_multiple(self.hazy_B3HW, self.multiple)
        if self.with_features:
            restored, features = self.network(padded, with_features=True)
            return restored, features
        return self.network(padded), []


class Pixel(nn.Module):
    """A distance between restored and clear pictures, averaged over all their values."""

    def __init__(self, distance: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.distance = distance

    def forward(self, restoration: Restoration) -> Tensor:
        return self.distance(restoration.restored_B3HW, restoration.clear_B3HW)


class Perceptual(nn.Module):
    """Mean over relu1_2, relu2_2 and relu3_3 of VGG16 of the squared distance (GridDehazeNet, equation 6).

    The VGG16 has the original Caffe weights and gets the input that these need; its features are in units of the
    picture's range, which keeps the term at a like size.

    Args:
        plain: feed torchvision's VGG16 with plain [0, 1] instead, as the authors do.
    """

    def __init__(self, plain: bool = False) -> None:
        super().__init__()
        self.extractor = load_features("vgg16-torchvision" if plain else "vgg16", taps=VGG16_TAPS)

    def forward(self, restoration: Restoration) -> Tensor:
        return torch.stack(_at_each_layer(self.extractor, restoration, F.mse_loss)).mean()


class Features(nn.Module):
    """Sum over relu1_2 to relu5_2 of VGG19 of the L1 distance (KDDN, as its public re-implementation has it)."""

    def __init__(self) -> None:
        super().__init__()
        self.extractor = load_features("vgg19", taps=VGG19_TAPS)

    def forward(self, restoration: Restoration) -> Tensor:
        return torch.stack(_at_each_layer(self.extractor, restoration, F.l1_loss)).sum()


def _at_each_layer(extractor: nn.Module, restoration: Restoration,
                   distance: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
    with torch.no_grad():
        wanted = extractor(restoration.clear_B3HW)
    found = extractor(restoration.restored_B3HW)
    return [distance(f.float(), w.float()) for f, w in zip(found, wanted, strict=True)]


class Transmission(nn.Module):
    """Squared error of the transmission of synthetic haze: how DehazeNet is trained (Cai et al., section IV).

    The clear crops of the batch are cut into patches of 16x16, each with a t of its own, uniform in (0, 1), and white
    light: I = J t + 1 - t. Depth is taken to be constant in a patch. The hazy pictures of the batch are not looked at.
    """

    def forward(self, restoration: Restoration) -> Tensor:
        patches_N3PP = cut_patches(restoration.clear_B3HW, PATCH)
        t_N111 = distributed.draw(torch.rand, (len(patches_N3PP), 1, 1, 1), restoration.generator)
        t_N111 = to_device(t_N111, patches_N3PP.device)
        estimate: Callable[[Tensor], Tensor] = restoration.network.patch_transmission  # type: ignore[assignment]
        return F.mse_loss(estimate(patches_N3PP * t_N111 + 1 - t_N111).float(), t_N111)


def cut_patches(pictures_B3HW: Tensor, side: int) -> Tensor:
    """All whole squares of `side` pixels, N3PP, side by side from the upper left corner."""
    parts_B3hwPP = pictures_B3HW.unfold(2, side, side).unfold(3, side, side)
    return parts_B3hwPP.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)


class Distillation(nn.Module):
    """The student's features of hazy pictures imitate a teacher's of the clear ones (KDDN).

    The teacher is a network of its own, an autoencoder of clear pictures, which has to be trained first.
    """

    def __init__(self, options: Mapping[str, Any]):
        super().__init__()
        size = {name: options[name] for name in ("width", "blocks") if name in options}
        self.teacher: Any = models.get("kddn").build("teacher", **size)

    def reconstruction(self, clear_B3HW: Tensor) -> Tensor:
        """The teacher's own loss: L1 of its reconstruction."""
        padded = pad_to_multiple(clear_B3HW, models.get("kddn").multiple)
        return F.l1_loss(self.teacher(padded).float(), padded)

    def forward(self, restoration: Restoration) -> Tensor:
        with torch.no_grad():
            wanted = self.teacher.features(pad_to_multiple(restoration.clear_B3HW, restoration.multiple))
        return imitation([f.float() for f in restoration.features], [w.float() for w in wanted])


def imitation(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Representation mimicking: the sum over depths of the L1 distance between features; scalar.

    Args:
        student: features of the hazy picture.
        teacher: features of the clear one; no gradient flows into them.
    """
    distances = [F.l1_loss(s, t.detach()) for s, t in zip(student, teacher, strict=True)]
    return sum(distances[1:], distances[0])


TERMS: dict[str, Callable[[DehazingRun], nn.Module]] = {
    "l1": lambda _: Pixel(F.l1_loss),
    "mse": lambda _: Pixel(F.mse_loss),
    "smooth_l1": lambda _: Pixel(F.smooth_l1_loss),
    "perceptual": lambda _: Perceptual(),
    "perceptual_plain": lambda _: Perceptual(plain=True),
    "features": lambda _: Features(),
    "transmission": lambda _: Transmission(),
    "distillation": lambda run: Distillation(run.network),
}

OWN = {"transmission": "dehazenet", "distillation": "kddn"}
"""Terms that one system only can be trained with."""


def build_terms(run: DehazingRun) -> dict[str, nn.Module]:
    """The terms of a run's loss by name.

    Raises:
        UserError: no term at all, an unknown one, one of another system, or a crop without a whole patch.
    """
    if not run.loss:
        raise UserError(f"'{run.name}' has no loss", fix="give loss, e.g. {l1: 1}")
    for name in run.loss:
        if name not in TERMS:
            raise unknown("term of the loss", name, TERMS)
        if OWN.get(name, run.system) != run.system:
            raise UserError(f"'{run.system}' has no {name} to train", fix=f"only {OWN[name]} has; change loss")
    if "transmission" in run.loss and run.crop < PATCH:
        what = f"a crop of {run.crop} holds no patch of {PATCH} pixels"
        raise UserError(what, fix=f"set crop to {PATCH} or more")
    return {name: TERMS[name](run) for name in run.loss}
