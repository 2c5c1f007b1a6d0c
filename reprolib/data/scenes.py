"""Clear pictures with their depth, over which haze is drawn: folders on disk.

Their crops for training: `reprolib.data.haze_batches`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reprolib.data import reside
from reprolib.data.haze import Haze, Veil, generator
from reprolib.data.images import list_images, read_rgb, read_size
from reprolib.data.paired import Pair, number
from reprolib.data.registry import get_dataset, locate
from reprolib.errors import UserError, unknown

CACHE_BYTES = 2**31
"""Decoded scenes are kept in memory up to this much: all 1,399 of ITS take 1.6 GB."""

CLEAR, DEPTH = ("images", "clear"), ("depths", "depth")
"""Folders of the clear pictures and of their depths."""

FLOORED = 0.5
"""Added to depths that were floored to 8 bits."""


@dataclass(frozen=True)
class Scene:
    """A clear picture, uint8 RGB HW3, and its 8-bit depth, uint8 HW, both cut as RESIDE did."""

    name: str
    clear: np.ndarray
    depth: np.ndarray

    @property
    def farthest(self) -> float:
        """The largest depth of the picture, in the unit of `depth`."""
        return float(self.depth.max()) + FLOORED

    def relative(self, part: tuple[slice, slice] = (slice(None), slice(None))) -> np.ndarray:
        """d / max d of a part, where max d is that of the whole picture; in (0, 1]."""
        return (self.depth[part] + FLOORED) / self.farthest

    def hazy(self, veil: Veil, part: tuple[slice, slice] = (slice(None), slice(None))) -> np.ndarray:
        """A part of the picture under haze, rounded to 8 bits as pictures on disk are; uint8 HW3."""
        beta = veil.scattering(*self.depth.shape)
        local = beta[part] if isinstance(beta, np.ndarray) else beta
        return reside.hazy(self.clear[part], self.relative(part), local, veil.light)


class SceneFolder:
    """Scenes, decoded when asked for and kept in memory while they are few.

    Args:
        files: name, clear picture and depth of each scene.
        border: pixels to cut off each side.
        haze: what is drawn over them.
    """

    def __init__(self, files: list[tuple[str, Path, Path]], border: int = 0, haze: Haze = reside.ITS):
        self.files, self.border, self.haze = files, border, haze
        self._sizes: dict[int, tuple[int, int]] = {}
        self._cache: dict[int, Scene] = {}
        self._cached_bytes = 0

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Scene:
        if index not in self._cache:
            scene = self.read(index)
            size = scene.clear.nbytes + scene.depth.nbytes
            if self._cached_bytes + size > CACHE_BYTES:
                return scene
            self._cache[index] = scene
            self._cached_bytes += size
        return self._cache[index]

    def size(self, index: int) -> tuple[int, int]:
        """Width and height of a scene inside its border, from its header alone."""
        if index not in self._sizes:
            width, height = read_size(self.files[index][1])
            self._sizes[index] = width - 2 * self.border, height - 2 * self.border
        return self._sizes[index]

    def read(self, index: int) -> Scene:
        """Decode one scene, past the memory.

        Raises:
            UserError: a picture that cannot be read, or a depth that does not match it.
        """
        name, clear_path, depth_path = self.files[index]
        clear, depth = read_rgb(clear_path), read_depth(depth_path)
        if clear.shape[:2] != depth.shape:
            sizes = f"{clear.shape[1]}x{clear.shape[0]} against {depth.shape[1]}x{depth.shape[0]}"
            raise UserError(f"a picture and its depth differ in size: {sizes}", where=f"{clear_path}, {depth_path}",
                            fix="get the original files again")
        height, width = depth.shape
        inside = (slice(self.border, height - self.border), slice(self.border, width - self.border))
        if not depth[inside].size:
            raise UserError(f"a picture of {width}x{height} has nothing inside a border of {self.border}",
                            where=clear_path, fix="get the original files again")
        # Copies, so that the memory holds no more than is counted.
        return Scene(name, clear[inside].copy(), depth[inside].copy())


class FixedHaze:
    """Each scene once, under haze that depends on its name alone: pairs for validation."""

    def __init__(self, scenes: SceneFolder):
        self.scenes = scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def __iter__(self) -> Iterator[Pair]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Pair:
        scene = self.scenes[index]
        return Pair(scene.name, scene.hazy(self.scenes.haze.draw(generator("fixed haze", scene.name))), scene.clear)


def read_depth(path: Path) -> np.ndarray:
    """An 8-bit depth picture, uint8 HW.

    Raises:
        UserError: no picture, a coloured one, or one that JPEG has changed.
    """
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise UserError("a depth picture in JPEG, which is not exact", where=path, fix="give lossless PNG or WebP")
    depth_HW3 = read_rgb(path)
    if (depth_HW3 != depth_HW3[..., :1]).any():
        raise UserError("a depth picture with colours", where=path, fix="give 8-bit grey pictures, lossless")
    return depth_HW3[..., 0].copy()


def find_scenes(folder: Path) -> list[tuple[str, Path, Path]]:
    """Name, clear picture and depth of each scene below a folder that has images/ and depths/ (or clear/ and depth/).

    Raises:
        UserError: other folders, pictures without a depth, or two pictures of one name.
    """
    clear, depth = (_by_name(folder, names) for names in (CLEAR, DEPTH))
    alone = [name for name in clear if name not in depth]
    if alone:
        raise UserError(f"pictures without a depth ({len(alone):,}): {', '.join(alone[:3])}", where=folder,
                        fix="copy the missing depths; a picture and its depth have one name")
    return [(name, path, depth[name]) for name, path in clear.items()]


def _by_name(folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    inside = next((folder / n for n in names if (folder / n).is_dir()), None)
    if inside is None:
        raise UserError(f"no folder '{names[0]}' here", where=folder,
                        fix="expected images/ID.jpg and depths/ID.webp, or clear/ID.webp and depth/ID.webp")
    found: dict[str, Path] = {}
    for path in list_images(inside):
        if (other := found.setdefault(path.stem, path)) != path:
            raise UserError("two pictures of one name", where=f"{other}, {path}", fix="remove one of them")
    return found


def open_scenes(name: str, split: str, root: Path | None = None) -> SceneFolder:
    """The scenes of one split of a dataset of kind 'scenes'.

    Args:
        root: folder to use instead of where the dataset is registered; may hold a part of it only.

    Raises:
        UserError: unknown dataset or split, missing folder, or an empty split.
    """
    dataset = get_dataset(name)
    if split not in dataset.splits:
        raise unknown(f"split of {name}", split, dataset.splits)
    folder = locate(name, root)
    haze = Haze(**dataset.haze) if dataset.haze else reside.ITS
    if dataset.embedded:
        return SceneFolder(find_scenes(folder / split), dataset.border, haze)
    first, last = dataset.splits[split]["ids"]
    files = [f for f in find_scenes(folder) if first <= number(f[0]) <= last]
    if not files:
        raise UserError(f"no pictures of split '{split}'", where=folder, fix=f"scenes {first} to {last} are expected")
    return SceneFolder(files, dataset.border, haze)
