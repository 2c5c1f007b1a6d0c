"""Whether profiles/NAME/inputs.json stands as it is, since nothing that it is made from has changed.

Making it loads every system, and torch with them: half of a `dvc repro` that has nothing else to do. Looking loads
neither. What it is made from: the package itself, the profile's settings, the data that its runs read, weights and
records that are named in it, and, where data are not here, which runs' pictures are.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from reprolib.data.identity import DIGITS, dataset_identity, identify, is_here, lacking
from reprolib.data.registry import get_dataset
from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.runs.places import profile_folder

PACKAGE = Path(__file__).parents[1]
READ = {".py", ".yaml", ".csv"}
"""What a module or a digest reads of the package."""

WEIGHTS = {"vgg16": Path("weights/vgg16.safetensors")}
"""Extractors whose file the pipeline makes; VGG19 and Inception come from their libraries, by name."""

PUBLISHED = ("results/published/**/*.json", "results/published/**/*.csv")
COSTS = "results/bench/translators_*.json"
"""Records that are committed, and that no profile makes."""


def stands(profile: str, root: Path = Path()) -> bool:
    """Whether `remember` saw the file as it is now, and everything that it is made from."""
    path = inputs_file(profile, root)
    try:
        datasets = json.loads(path.read_text(encoding="utf-8"))["data"]
        return _seen(profile, root).read_text(encoding="utf-8") == _both(made_from(profile, datasets, root), path)
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return False  # nothing is remembered; or something is wrong, which is said as the file is made


def remember(profile: str, made: str, root: Path = Path()) -> None:
    """Keep what the file was made from, as `made_from` said before; of use to `stands` alone, and may be deleted."""
    with suppress(OSError, UserError):  # a read-only or full disk costs time, not the result
        write_text(_seen(profile, root), _both(made, inputs_file(profile, root)))


def made_from(profile: str, datasets: Iterable[str], root: Path = Path()) -> str:
    """Digest of everything that the file is made from.

    Args:
        datasets: names of all that the profile's runs read.
    """
    folder = profile_folder(profile, root)
    own = (path for path in PACKAGE.rglob("*") if path.suffix in READ)
    kept = (path for pattern in (*PUBLISHED, COSTS) for path in root.glob(pattern))
    named = (folder / "params.yaml", folder / "expected.json", *(root / path for path in WEIGHTS.values()))
    files = identify((str(path), path) for path in dict.fromkeys([*own, *kept, *named]) if path.is_file())
    data = {name: [repr(get_dataset(name)), dataset_identity(name).digest if is_here(name) else None]
            for name in sorted(datasets)}
    pictures = sorted(path.as_posix() for path in root.glob(f"outputs/{profile}/*/*") if any(path.iterdir())) \
        if lacking(data) else []  # asked for only where what they were made from is not here
    return hashlib.sha256(json.dumps([sys.version, files.digest, pictures, data]).encode()).hexdigest()[:DIGITS]


def inputs_file(profile: str, root: Path = Path()) -> Path:
    """What the stages of a profile read, as digests."""
    return profile_folder(profile, root) / "inputs.json"


def _seen(profile: str, root: Path) -> Path:
    return root / "runs" / "inputs" / profile


def _both(made: str, path: Path) -> str:
    """What the file was made from, with what it says."""
    return f"{made} {hashlib.sha256(path.read_bytes()).hexdigest()[:DIGITS]}\n"
