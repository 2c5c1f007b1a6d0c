"""Making RESIDE's indoor sets again from clear pictures and depths: `reprolib data make NAME`.

Files are written one by one, each whole or not at all, so that the same command goes on after a kill and two of them
do no harm to each other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from reprolib.data import reside
from reprolib.data.haze import generator
from reprolib.data.images import write_png
from reprolib.data.nyu import Source, open_source
from reprolib.data.registry import SYNTHESISED, get_dataset
from reprolib.errors import UserError, unknown
from reprolib.files import write_text
from reprolib.progress import track

SIZE = (480, 640)
"""Height and width of NYU's pictures."""

DIGITS = 5
"""Of A in the names of ITS (`1_1_0.90179.png`); it is rounded to them before it is used."""

PER_METRE = 25.5
"""Grey levels of 8-bit depths: 10 m, the farthest that NYU's camera saw, is 255."""

Render = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Takes a clear picture uint8 HW3 and its depth HW as float; returns a picture uint8 HW3."""


def make(name: str, source: Path, output: Path, beta: float | None = None, light: float | None = None) -> Path:
    """Write a set from NYU's labelled file, or from a folder of clear pictures and 8-bit depths.

    reside-its: hazy/N_k_A.png, k = 1..10, and clear/N.png of the training scenes at hand, 620x460; beta and A drawn for
    each (N, k) alone, or as given. sots-indoor: hazy/N_k.png, exactly as published, and clear/N.png, out of lossless
    folders. reside-its-like: images/N.png and depths/N.png, out of NYU's file.

    Args:
        output: folder to write to; a folder that this command has begun is finished.

    Raises:
        UserError: another set, a source that does not serve for it, an output that holds something else, values out of
            range, a full disk. What is written by then is whole.
    """
    if name not in MAKERS:
        raise unknown("set to make", name, MAKERS)
    _check_haze(name, beta, light)
    files_of, wanted = MAKERS[name]
    with open_source(Path(source)) as opened:
        if name in NEEDS and opened.metric != NEEDS[name][0]:
            raise UserError(NEEDS[name][1], where=source, fix=NEEDS[name][2])
        scenes = [i for i in opened.ids if i in wanted]
        if not scenes:
            raise UserError(f"no scenes of {wanted[0]} to {wanted[-1]} here", where=source,
                            fix="files are called by RESIDE's numbers, such as 1400.webp")
        note = f"{get_dataset('reside-its-like').note}; {len(scenes):,} of {len(wanted):,} scenes"
        begin(Path(output), {"name": name, "beta": beta, "light": light, "metric": opened.metric,
                              "note": "" if name == "sots-indoor" else note})
        for scene in track(scenes, f"making {name}"):
            _write(Path(output), opened, scene, files_of(scene, opened, beta, light))
    return Path(output)


def _check_haze(name: str, beta: float | None, light: float | None) -> None:
    if (beta, light) != (None, None) and name != "reside-its":
        raise UserError(f"beta and A of '{name}' cannot be chosen", fix="leave --beta and --light out")
    if beta is not None and not (beta > 0 and math.isfinite(beta)):
        raise UserError(f"a beta of {beta:g} makes no haze", fix="give a number above 0; ITS has 0.6 to 1.8")
    if light is not None and not 0 <= light <= 1:
        raise UserError(f"an airlight of {light:g} lies outside [0, 1]", fix="ITS has 0.7 to 1.0")


def begin(output: Path, settings: Mapping[str, object]) -> None:
    """Leave the settings in the output, or compare them with those that it was begun with.

    Raises:
        UserError: it was begun with others, or holds something else.
    """
    mark = output / SYNTHESISED
    if mark.is_file():
        try:
            begun = json.loads(mark.read_text())
        except ValueError:
            begun = None
        if not isinstance(begun, dict) or {**begun, "note": ""} != {**settings, "note": ""}:
            raise UserError("this was begun with other settings", where=output, fix="choose another folder")
    elif output.is_dir() and any(output.iterdir()):
        raise UserError("this holds something else", where=output, fix="choose an empty folder")
    write_text(mark, json.dumps(settings, indent=1, sort_keys=True) + "\n")


def _write(output: Path, source: Source, scene: int, files: Mapping[str, Render]) -> None:
    """The pictures of a scene that are not there yet."""
    missing = {name: render for name, render in files.items() if not (output / name).is_file()}
    if missing:
        clear_HW3, depth_HW = source.read(scene)
        for name, render in missing.items():
            try:
                picture = render(clear_HW3, depth_HW)
            except UserError as error:
                raise UserError(error.what, where=f"scene {scene}", fix=error.fix) from error
            write_png(output / name, picture)


def its_haze(scene: int, version: int) -> tuple[float, float]:
    """beta and A of one hazy picture of `data make reside-its`; of its numbers alone."""
    drawn = reside.ITS.draw(generator("reside-its", scene, version))
    return round(drawn.beta, DIGITS), round(drawn.light, DIGITS)


def _its(scene: int, source: Source, beta: float | None, light: float | None) -> dict[str, Render]:
    files: dict[str, Render] = {f"clear/{scene}.png": lambda clear, _: _cut(clear)}
    for version in reside.VERSIONS:
        drawn = its_haze(scene, version)
        b, a = (d if given is None else given for d, given in zip(drawn, (beta, light), strict=True))
        a = round(a, DIGITS)

        def render(clear: np.ndarray, depth: np.ndarray, b: float = b, a: float = a) -> np.ndarray:
            return reside.hazy(_cut(clear), reside.relative(source.depth(_cut(depth))), b, a)

        files[f"hazy/{scene}_{version}_{a:.{DIGITS}f}.png"] = render
    return files


def _cut(picture: np.ndarray) -> np.ndarray:
    """As RESIDE cut NYU's pictures, to 620x460."""
    height, width = picture.shape[:2]
    if (height, width) != SIZE:
        raise UserError(f"a picture of {width}x{height} instead of {SIZE[1]}x{SIZE[0]}",
                        fix="give NYU's pictures as they are; RESIDE's border is cut here")
    inside = slice(reside.BORDER, -reside.BORDER)
    return np.ascontiguousarray(picture[inside, inside])


def _its_like(scene: int, source: Source, *_: float | None) -> dict[str, Render]:
    def depth_picture(_: np.ndarray, depth: np.ndarray) -> np.ndarray:
        if not (np.isfinite(depth).all() and depth.min() >= 0):
            raise UserError("depths that are negative or not finite", fix="download the file again")
        return np.repeat(np.floor(depth * PER_METRE).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)

    return {f"images/{scene}.png": lambda clear, _: np.ascontiguousarray(clear), f"depths/{scene}.png": depth_picture}


def _sots(scene: int, source: Source, *_: float | None) -> dict[str, Render]:
    files: dict[str, Render] = {f"clear/{scene}.png": lambda clear, _: clear}
    for version in reside.VERSIONS:
        files[f"hazy/{scene}_{version}.png"] = partial(_sots_hazy, version=version)
    return files


def _sots_hazy(clear: np.ndarray, depth: np.ndarray, version: int) -> np.ndarray:
    return reside.sots_hazy(clear, depth, version)


MAKERS: dict[str, tuple[Callable[..., dict[str, Render]], range]] = {
    "reside-its": (_its, reside.TRAINING), "reside-its-like": (_its_like, reside.TRAINING),
    "sots-indoor": (_sots, reside.TEST),
}
"""By set: the files of a scene, and the scenes."""

NEEDS = {
    "reside-its-like": (True, "a folder of pictures and depths is such a set already",
                        "train with --dataset reside-its-like and --root FOLDER"),
    "sots-indoor": (False, "RESIDE's 8-bit depths are not in NYU's file, and no picture would be exact without them",
                    "give a folder with clear/ and depth/, both lossless"),
}
"""Sets that need NYU's file (True) or folders (False); what is wrong with the other, and what to do."""
