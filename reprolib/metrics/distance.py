"""Distances between two sets of pictures: Frechet and kernel distance of deep features, computed by torch-fidelity.

Frechet distance: Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium",
NeurIPS 2017, equation 6. It is called FID with the features that define it, Inception's, and with no others. Kernel
distance (KID): Binkowski et al., "Demystifying MMD GANs", ICLR 2018; unbiased, where few pictures bias the other up.

Both depend on the number of pictures: compare results of equal counts only. Test sets of translation hold 16 to 500
pictures, fewer than the features of Inception (2048), so that its covariances lack rank.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from torch_fidelity import calculate_metrics, register_feature_extractor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

from reprolib.contrast.features import WEIGHTS, load_features
from reprolib.data.channels import as_rgb
from reprolib.data.images import list_images, read_rgb
from reprolib.errors import UserError, unknown
from reprolib.files import sha256
from reprolib.metrics.metric import Score
from reprolib.models.weights import read_state

Picture = NDArray[np.uint8]

TAP = (5, 1)
"""relu5_1, averaged over positions: 512 numbers a picture. Of relu2_1 to relu5_1 it tells horses from zebras best."""
SIDE = 128
"""Pictures are resized to this square for VGG16: one resolution for all sets, and affordable on a CPU."""
BATCH = 8
"""Pictures of one size that go through a network together; a processor reads its weights from memory once for all."""
INCEPTION_SIDE = 299
INCEPTION = "inception-v3-compat"
VGG16 = "reprolib-vgg16"
KID_SUBSETS = 100
KID_SUBSET_SIZE = 1000
"""At most (Binkowski et al.); half of the smaller set where that is less, so that subsets differ."""
KEPT = Path("runs") / "features"
"""Where features of sets that come again are kept, by the library, under the content of pictures and weights."""

EXTRACTORS = {"inception": (INCEPTION, INCEPTION_SIDE), "vgg16": (VGG16, SIDE)}
"""Name in torch-fidelity, side that pictures are resized to."""

REMEMBERED = 4
"""Distances that are remembered, since one computation gives several metrics."""


class PictureSet(Dataset[Tensor]):
    """Pictures as the library takes them, uint8 3HW; those of a folder are read when asked for.

    Args:
        pictures: uint8, RGB HW3 or grey HW1, of any sizes, or a folder of them.
        role: what to call the set in an error.
        kept: the set will be measured again: its features are kept in `KEPT`.

    Raises:
        UserError: fewer than two pictures, or pictures of other channels.
    """

    def __init__(self, pictures: Sequence[Picture] | Path, role: str, kept: bool = False):
        self.pictures: Sequence[Picture | Path] = (
            list_images(pictures) if isinstance(pictures, Path) else [as_rgb(picture) for picture in pictures])
        self.kept = kept
        if len(self.pictures) < 2:
            raise UserError(f"too few {role} pictures for a covariance ({len(self.pictures)})", fix="give 2 or more")

    @cached_property
    def content(self) -> str:
        """Digest of the pictures."""
        digest = hashlib.sha256()
        for picture_3HW in (self[index] for index in range(len(self))):
            digest.update(str(tuple(picture_3HW.shape)).encode() + picture_3HW.numpy().tobytes())
        return digest.hexdigest()

    def one_size(self) -> bool:
        """Whether all pictures can stand in one batch."""
        return len({self[index].shape for index in range(len(self))}) == 1

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Tensor:
        picture = self.pictures[index]
        picture_HW3 = read_rgb(picture) if isinstance(picture, Path) else picture
        assert picture_HW3.dtype == np.uint8 and picture_HW3.shape[2:] == (3,), (picture_HW3.dtype, picture_HW3.shape)
        return torch.from_numpy(np.array(picture_HW3.transpose(2, 0, 1), order="C"))


@dataclass(frozen=True)
class Distances:
    """Of two sets of pictures; lower is nearer."""

    frechet: Score
    """Symmetric in the sets; details: 'resize', the side in pixels that pictures were resized to."""
    kernel: Score
    """Mean over random subsets; details: also 'kid_subset_size', and 'sd' over the subsets."""


def distances(real: PictureSet, fake: PictureSet, extractor: str = "inception",
              weights: Path | None = None) -> Distances:
    """Frechet and kernel distance between two sets. Runs on the CPU; equal sets give equal numbers.

    Args:
        real: the reference set.
        fake: the set that is scored.
        extractor: 'inception' (2048 features of TensorFlow's Inception; the library resizes to 299x299 as TensorFlow
            1 did) or 'vgg16' (512 features, resized to 128x128 bilinearly with antialiasing; works without a network).
        weights: of the extractor. By default weights/vgg16.safetensors; and for Inception the library's file in
            weights/, or else its download.

    Raises:
        UserError: unknown extractor, no weights to be had, or unreadable ones.
    """
    if extractor not in EXTRACTORS:
        raise unknown("feature extractor", extractor, EXTRACTORS)
    registered, side = EXTRACTORS[extractor]
    sets = (real, fake)
    subset = min(KID_SUBSET_SIZE, max(2, min(map(len, sets)) // 2))
    with _weights_file(extractor, weights) as path:
        # Sizes may differ. Neighbours in a batch move a picture's features by rounding only.
        batch = BATCH if all(s.one_size() for s in sets) else 1
        depends = f"{sha256(Path(path))} {side} {TAP} {batch}"
        names = [hashlib.sha256(f"{depends} {s.content}".encode()).hexdigest()[:32] for s in sets]
        key = (registered, *names)
        if key not in _remembered:
            while len(_remembered) >= REMEMBERED:
                del _remembered[next(iter(_remembered))]
            kept = {f"input{i}_cache_name": name for i, (s, name) in enumerate(zip(sets, names, strict=True), 1)
                    if s.kept}
            _remembered[key] = calculate_metrics(
                input1=real, input2=fake, feature_extractor=registered, feature_extractor_weights_path=path,
                fid=True, kid=True, kid_subsets=KID_SUBSETS, kid_subset_size=subset,
                batch_size=batch, cuda=False, save_cpu_ram=True, cache=True, verbose=False,
                cache_root=str(KEPT), **kept,
            )
    found = _remembered[key]
    return Distances(
        # rounding can take a zero below
        Score(max(0.0, found["frechet_inception_distance"]), {"resize": side}),
        Score(found["kernel_inception_distance_mean"],
              {"resize": side, "kid_subset_size": subset, "sd": found["kernel_inception_distance_std"]}),
    )


_remembered: dict[tuple[str, ...], dict[str, float]] = {}


class _Pooled:
    """One number a channel of VGG16's relu5_1: its mean over the picture."""

    def __init__(self, weights: Path):
        self.network = load_features("vgg16", weights, taps=(TAP,)).to(memory_format=torch.channels_last)

    def __call__(self, pictures_B3HW: Tensor) -> Tensor:
        x_B3HW = F.interpolate(pictures_B3HW.float() / 255, (SIDE, SIDE), mode="bilinear", antialias=True)
        x_B3HW = x_B3HW.contiguous(memory_format=torch.channels_last)  # 1.4 times faster on a CPU
        features_BC: Tensor = self.network(x_B3HW)[0].mean(dim=(2, 3))
        return features_BC


@lru_cache(maxsize=1)
def _pooled(weights: Path, _changed: int) -> _Pooled:
    return _Pooled(weights)


class PooledVGG16(FeatureExtractorBase):  # type: ignore[misc]  # the library has no types
    """`_Pooled` in the form that torch-fidelity calls."""

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str, **_: Any):
        super().__init__(name, features_list)
        weights = Path(feature_extractor_weights_path).resolve()
        self.pooled = _pooled(weights, weights.stat().st_mtime_ns)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return ("512",)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "512"

    @staticmethod
    def can_be_compiled() -> bool:
        return False

    @staticmethod
    def get_dummy_input_for_compile() -> Tensor:
        return torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8)

    def forward(self, x_B3HW: Tensor) -> tuple[Tensor]:
        return (self.pooled(x_B3HW),)


register_feature_extractor(VGG16, PooledVGG16)


@contextmanager
def _weights_file(extractor: str, weights: Path | None) -> Iterator[str]:
    """A weights file that the library can open."""
    if weights is not None and not weights.is_file():
        raise UserError(f"no weights for {extractor}", where=weights, fix="check the path")
    if extractor == "vgg16":
        path = weights or WEIGHTS / "vgg16.safetensors"
        if not path.is_file():
            raise UserError("no weights for vgg16", where=path, fix="run `reprolib weights fetch vgg16`")
        yield str(path)
        return
    # The library unpickles whatever a file holds. It gets a copy of the tensors alone.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "inception.pth"
        torch.save(_inception(weights), copy)
        yield str(copy)


def _inception(weights: Path | None) -> dict[str, Tensor]:
    """The state dict of TensorFlow's Inception as torch-fidelity converted it."""
    kept = WEIGHTS / URL_INCEPTION_V3.rpartition("/")[2]
    path = weights or (kept if kept.is_file() else None)
    if path is not None:
        return read_state(path)
    try:
        with redirect_stdout(sys.stderr):
            state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
                URL_INCEPTION_V3, map_location="cpu", progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # no network, a full disk, a damaged download: it can fail in any way
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"could not download Inception, which FID needs: {reason}", where=URL_INCEPTION_V3,
                        fix=f"put that file at {kept}, or use the extractor vgg16 (which is not FID)") from error
    return state
