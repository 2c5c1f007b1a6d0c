"""Clear pictures and depths that RESIDE's indoor sets are made from: NYU Depth V2's own file, or folders of pictures.

Either way a scene has RESIDE's number, which is that of the picture in NYU's labelled set, from 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reprolib.data.images import read_rgb
from reprolib.data.paired import number
from reprolib.data.scenes import FLOORED, find_scenes, read_depth
from reprolib.errors import UserError
from reprolib.impostors import impostor

if TYPE_CHECKING:
    import h5py

ADVICE = "the official nyu_depth_v2_labeled.mat (HDF5, 2.8 GB) is expected, or a folder with images/ and depths/"


@dataclass(frozen=True)
class Source:
    """Where scenes come from."""

    ids: list[int]
    """Scenes that it holds, ascending."""
    read: Callable[[int], tuple[np.ndarray, np.ndarray]]
    """The clear picture of a scene, uint8 RGB HW3, and its depth HW in any unit: float, or as it lies on disk."""
    metric: bool
    """Depths are floats in metres; else 8 bits, floored."""

    def depth(self, depth_HW: np.ndarray) -> np.ndarray:
        """A depth that `read` gave, as float, with the mean of what flooring took from it."""
        return depth_HW.astype(np.float64) + (0 if self.metric else FLOORED)


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """NYU's labelled set as one HDF5 file, or pictures and 8-bit depths in folders.

    Raises:
        UserError: neither, two pictures of one number, or (while scenes are read) a damaged file.
    """
    if path.is_dir():
        yield _folder(path)
        return
    if not path.is_file():
        raise UserError("no such file or folder", where=path, fix=ADVICE)
    import h5py  # for this file alone

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        known = impostor(path)
        what = f"not an HDF5 file but {known.what}" if known else "not an HDF5 file, or cut short"
        raise UserError(what, where=path, fix=known.fix if known else ADVICE) from error
    with file:
        yield _labelled(file, path)


def _folder(folder: Path) -> Source:
    files: dict[int, tuple[Path, Path]] = {}
    for name, clear, depth in find_scenes(folder):
        if files.setdefault(number(name), (clear, depth)) != (clear, depth):
            raise UserError(f"two pictures of number {number(name)}", where=clear, fix="remove one of them")

    def read(scene: int) -> tuple[np.ndarray, np.ndarray]:
        clear, depth = read_rgb(files[scene][0]), read_depth(files[scene][1])
        if clear.shape[:2] != depth.shape:
            raise UserError("a picture and its depth differ in size", where=files[scene][0],
                            fix="get the original files again")
        return clear, depth

    return Source(sorted(files), read, metric=False)


def _labelled(file: h5py.File, path: Path) -> Source:
    """The HDF5 file. MATLAB's axes come in reverse: images are N x 3 x width x height, depths N x width x height."""
    images, depths = file.get("images"), file.get("depths")
    for found, name, axes in ((images, "images", 4), (depths, "depths", 3)):
        if len(getattr(found, "shape", ())) != axes:
            raise UserError(f"no '{name}' of {axes} dimensions in this file", where=path, fix=ADVICE)
    if images.dtype != np.uint8 or images.shape[1] != 3 or (images.shape[0], *images.shape[2:]) != depths.shape:
        raise UserError(f"images {images.shape} of {images.dtype} and depths {depths.shape} do not belong together",
                        where=path, fix=ADVICE)

    def read(scene: int) -> tuple[np.ndarray, np.ndarray]:
        try:
            image_3WH, depth_WH = images[scene - 1], depths[scene - 1]
        except (OSError, RuntimeError) as error:
            raise UserError(f"picture {scene} cannot be read", where=path, fix="download the file again") from error
        return image_3WH.transpose(2, 1, 0), depth_WH.T

    return Source(list(range(1, images.shape[0] + 1)), read, metric=True)
