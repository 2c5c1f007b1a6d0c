"""Making the embedded datasets: `reprolib data prepare NAME`."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from reprolib.data import haze, photos
from reprolib.data.images import write_png
from reprolib.data.registry import get_dataset
from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.progress import track

VARIANTS = {"train": 4, "val": 1, "test": 1}
"""Hazy versions of each photo, as ITS has ten."""

MOTORCYCLE_BETA = (0.2, 0.35, 0.5, 0.7)
"""Scattering per metre: at the scene's 2 to 5 m, from light to dense."""


def prepare(name: str, out: Path | None = None) -> Path:
    """Write an embedded dataset to data/NAME/{train,val,test}/{hazy,clear}; whole, or not at all.

    Raises:
        UserError: not an embedded dataset, or the package with the photos is missing.
    """
    if not get_dataset(name).embedded:
        raise UserError(f"'{name}' cannot be made here", fix=f"download it, then `reprolib data register {name} PATH`")
    out = out or Path("data") / name
    pictures = _motorcycle() if name == "motorcycle" else _photos(name)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{name}-") as temporary:
        unfinished, drawn = Path(temporary) / name, {}
        for path, image, parameters in track(pictures, f"preparing {name}"):
            write_png(unfinished / path, image)
            if parameters:
                drawn[path] = parameters
        write_text(unfinished / "haze.json", json.dumps(drawn, indent=1, sort_keys=True) + "\n")
        shutil.rmtree(out, ignore_errors=True)
        unfinished.rename(out)
    return out


Picture = tuple[str, np.ndarray, dict[str, float]]


def _photos(name: str) -> Iterator[Picture]:
    """File, picture and drawn haze of everything in a street-photo dataset."""
    source = photos.folder()
    for split, variants in VARIANTS.items():
        for photo in photos.split(split):
            clear = photos.read(photo, source)
            yield f"{split}/clear/{photo}.png", clear, {}
            for variant in range(1, variants + 1):
                hazy, parameters = haze.synthesise(clear, name, photo, variant)
                yield f"{split}/hazy/{photo}_{variant}.png", hazy, parameters


def _motorcycle() -> Iterator[Picture]:
    clear, depth = haze.motorcycle()
    yield "test/clear/motorcycle.png", clear, {}
    for variant, beta in enumerate(MOTORCYCLE_BETA, start=1):
        hazy = haze.scatter(clear, haze.transmission(depth, beta), 0.9)
        yield f"test/hazy/motorcycle_{variant}.png", hazy, {"beta": beta, "light": 0.9}
