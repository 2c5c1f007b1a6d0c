"""The tiny project that everything happens to, and what its commands leave when nothing happens to them."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from reprolib.data.images import write_png
from reprolib.data.registry import Dataset
from reprolib.files import read_yaml, write_yaml
from reprolib.models.weights import read_header
from reprolib.training.checkpoint import read_state

RESULTS = ("checkpoints", "outputs", "results", "data", "profiles")
"""What a command is for. `runs` holds states, durations and memories, which need only be whole."""


RELEASE = {"trainA": 3, "trainB": 3, "testA": 2, "testB": 2}


@dataclass(frozen=True)
class Command:
    """A command that a fault may meet.

    Attributes:
        words: after `reprolib`.
        before: a command that must have run.
    """

    name: str
    words: str
    before: str | None = None


COMMANDS = {command.name: command for command in (
    Command("train a dehazer", "train aodnet-dense --resume --accelerator cpu"),
    Command("train a dehazer, 1 worker", "train aodnet-dense --resume --accelerator cpu --workers 1"),
    Command("train a translator", "train cyclegan-zebra --resume --accelerator cpu"),
    Command("train a translator, 1 worker", "train cyclegan-zebra --resume --accelerator cpu --workers 1"),
    Command("train a system", "train aodnet --resume --accelerator cpu"),
    Command("measure", "measure aodnet", "train a dehazer"),
    Command("data prepare", "data prepare haze-homogeneous"),
    Command("data download", "data download tiny --yes"),
)}


def make(folder: Path) -> None:
    """Pictures of noise and a profile 'mini' of two runs."""
    random = np.random.default_rng(0)

    def picture(height: int = 24) -> np.ndarray:
        return random.integers(0, 255, (height, 32, 3), dtype=np.uint8)

    for split, count in (("train", 4), ("val", 2), ("test", 4)):
        for i in range(count):
            clear = picture()
            write_png(folder / "data/haze-dense" / split / "clear" / f"{i}.png", clear)
            write_png(folder / "data/haze-dense" / split / "hazy" / f"{i}_1.png", clear // 2 + 100)
    for domain, count in (("trainA", 18), ("trainB", 18), ("testA", 2), ("testB", 2)):
        for i in range(count):
            write_png(folder / "data/horse2zebra" / domain / f"{i}.png", picture(32))
    often = {"validate_every": 6, "save_every": 2, "batch": 2}
    write_yaml(folder / "profiles/mini/params.yaml", {
        "defaults": {"dehazing": {**often, "steps": 24, "crop": 16}, "translation": {**often, "steps": 12, "crop": 32}},
        "systems": {"aodnet": {"runs": {"aodnet-dense": {"dataset": "haze-dense"}}},
                    "cyclegan": {"network": {"width": 4, "blocks": 1},
                                 "runs": {"cyclegan-zebra": {"dataset": "horse2zebra"}}}}})


def archive() -> bytes:
    """What the server of the dataset 'tiny' answers: ten pictures of noise in a zip."""
    random, stream = np.random.default_rng(1), io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for place, count in RELEASE.items():
            for i in range(count):
                picture = io.BytesIO()
                Image.fromarray(random.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(picture, "png")
                made.writestr(zipfile.ZipInfo(f"tiny/{place}/{i}.png"), picture.getvalue())
    return stream.getvalue()


def tiny(url: str) -> Dataset:
    """The dataset 'tiny', to be downloaded from `url`."""
    return Dataset("tiny", "Tiny", "translation", "for research", "Nobody, 2026", hint="a tiny release",
                   splits={"train": {"a": 3, "b": 3}, "val": {}, "test": {"a": 2, "b": 2}}, download={"urls": [url]})


def results(folder: Path) -> dict[str, str]:
    """Digests of everything that commands are for, by path."""
    files = (path for place in RESULTS for path in (folder / place).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def left_over(folder: Path) -> list[str]:
    """Temporary files and folders, of which none may stay; .reprolib is where datasets are registered."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*") if path.name != ".reprolib")


def half_written(folder: Path) -> list[str]:
    """Files that stand under their own name and cannot be read to their end."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")
                  if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
                  and not _whole(path))


def _whole(path: Path) -> bool:
    try:
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".yaml":
            read_yaml(path)
        elif path.suffix == ".csv":
            return path.read_text().endswith("\n")
        elif path.suffix == ".safetensors":
            read_header(path)
        elif path.suffix == ".pt":
            read_state(path)
        elif path.suffix == ".png":
            with Image.open(path) as picture:
                picture.load()
    except Exception:
        return False
    return True
