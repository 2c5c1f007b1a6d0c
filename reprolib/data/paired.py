"""Pairs of hazy and clear pictures: folders on disk. Their crops for training: `reprolib.data.paired_batches`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reprolib.data.held_out import held_out_of
from reprolib.data.images import list_images, pixel_hash, read_rgb
from reprolib.data.registry import ALL, get_dataset, locate
from reprolib.errors import UserError, unknown

CACHE_BYTES = 2**30
"""Decoded pictures are kept in memory up to this much; small sets are decoded once."""

CLEAR_FOLDERS = ("clear", "GT", "gt")
"""What releases call the folder of clear pictures."""


@dataclass(frozen=True)
class Pair:
    """A hazy picture and its truth, uint8 RGB HW3 of one size."""

    name: str
    hazy: np.ndarray
    clear: np.ndarray


class PairedFolder:
    """Pairs of files, decoded when asked for and kept in memory while they are few.

    Args:
        files: name, hazy file and clear file of each pair.
        border: pixels on each side by which clear pictures may be larger; cut off, never resized.
    """

    def __init__(self, files: list[tuple[str, Path, Path]], border: int = 0):
        self.files, self.border = files, border
        self._cache: dict[Path, np.ndarray] = {}
        self._cached_bytes = 0

    @property
    def names(self) -> list[str]:
        """Names of the hazy pictures, in natural order."""
        return [name for name, _, _ in self.files]

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Pair]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Pair:
        name, hazy_path, clear_path = self.files[index]
        hazy, clear = self._read(hazy_path), self._read(clear_path)
        clear = cut_border(clear, hazy.shape[:2], self.border)
        if hazy.shape != clear.shape:
            sizes = f"{hazy.shape[1]}x{hazy.shape[0]} against {clear.shape[1]}x{clear.shape[0]}"
            raise UserError(f"a pair does not match in size: {sizes}", where=f"{hazy_path}, {clear_path}",
                            fix="get the original files again; resizing either would falsify the scores")
        return Pair(name, hazy, clear)

    def pixel_hash(self) -> str:
        """Hash over the decoded pixels of every pair."""
        return pixel_hash((f"{p.name}/{side}", a) for p in self for side, a in (("hazy", p.hazy), ("clear", p.clear)))

    def _read(self, path: Path) -> np.ndarray:
        if path not in self._cache:
            picture = read_rgb(path)
            if self._cached_bytes + picture.nbytes > CACHE_BYTES:
                return picture
            self._cache[path] = picture
            self._cached_bytes += picture.nbytes
        return self._cache[path]


def cut_border(clear_HW3: np.ndarray, size: tuple[int, ...], border: int) -> np.ndarray:
    """Cut `border` pixels off each side if that, and nothing else, gives the size; otherwise return it unchanged."""
    height, width = clear_HW3.shape[:2]
    if border and (height - 2 * border, width - 2 * border) == tuple(size):
        return clear_HW3[border:-border, border:-border]
    return clear_HW3


def scene(name: str) -> str:
    """Scene of a picture's name: what stands before the first '_'."""
    return name.split("_")[0]


def find_pairs(folder: Path) -> list[tuple[str, Path, Path]]:
    """Pairs below a folder that has hazy/ and clear/ (or GT/), or NN_hazy and NN_GT files side by side.

    `hazy/1400_3.png` belongs to `clear/1400.png`, `51_hazy.png` to `51_GT.png`; a clear picture of the very same name
    goes first. Nothing is decoded.

    Raises:
        UserError: neither layout; hazy pictures without a clear one, which are named; or two clear ones of a name.
    """
    return match(*find_pictures(folder), folder)


def match(hazy: list[Path], clear_files: list[Path], folder: Path) -> list[tuple[str, Path, Path]]:
    """Hazy pictures with their clear ones, by their names as `find_pairs` says.

    Raises:
        UserError: as there; `folder` is named.
    """
    clear: dict[str, Path] = {}
    for path in clear_files:
        if (other := clear.setdefault(_bare(path.stem), path)) != path:
            raise UserError("two clear pictures of one name", where=f"{other}, {path}", fix="remove one of them")
    partner = {p: clear.get(_bare(p.stem)) or clear.get(scene(p.stem)) for p in hazy}
    alone = [p.name for p in hazy if partner[p] is None]
    if alone:
        many = "1 hazy picture has" if len(alone) == 1 else f"{len(alone):,} hazy pictures have"
        raise UserError(f"{many} no clear one: {', '.join(alone[:3])}", where=folder,
                        fix="copy the missing clear pictures; names must agree up to the first '_'")
    return [(_bare(p.stem), p, found) for p, found in partner.items() if found is not None]


def find_pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """Hazy and clear files of either layout, in natural order.

    Raises:
        UserError: neither layout.
    """
    if (folder / "hazy").is_dir():
        clear_folder = next((folder / n for n in CLEAR_FOLDERS if (folder / n).is_dir()), None)
        if clear_folder is None:
            raise UserError("hazy pictures, but no folder of clear ones", where=folder,
                            fix="put the clear pictures into a folder named clear/ beside hazy/")
        return list_images(folder / "hazy"), list_images(clear_folder)
    pictures = list_images(folder) if any(folder.glob("*_*")) else []
    hazy = [p for p in pictures if p.stem.endswith("_hazy")]
    if not hazy:
        raise UserError("no pairs here", where=folder, fix="expected hazy/ and clear/, or NN_hazy and NN_GT files")
    return hazy, [p for p in pictures if p.stem.endswith("_GT")]


def _bare(stem: str) -> str:
    """A name without the marks of the NTIRE challenges."""
    return stem.removesuffix("_hazy").removesuffix("_GT")


def open_split(name: str, split: str, root: Path | None = None, limit: int | None = None) -> PairedFolder:
    """The pairs of one split of a dataset.

    Args:
        root: folder to use instead of where the dataset is registered; may hold a part of it only.
        limit: at most this many pairs, from the first.

    Raises:
        UserError: unknown dataset or split, one without hazy pictures, a missing folder, an empty split, or a limit
            below 1.
    """
    dataset = get_dataset(name)
    if dataset.kind != "pairs":
        raise UserError(f"'{name}' has no hazy pictures to measure on: haze is drawn over it in training",
                        fix="choose another dataset, such as sots-indoor (`reprolib data list`)")
    if split not in dataset.splits:
        raise unknown(f"split of {name}", split, dataset.splits)
    if limit is not None and limit < 1:
        raise UserError(f"a limit of {limit} leaves no pictures", fix="give 1 or more")
    if dataset.own:
        return PairedFolder(_own(dataset.own, split)[:limit])
    folder = locate(name, root)
    divided = (folder / split).is_dir()
    if dataset.embedded and not divided:
        raise UserError(f"'{name}' is not whole here: no folder '{split}'", where=folder,
                        fix=f"run `reprolib data prepare {name}`")
    files = find_pairs(folder / split if divided else folder)
    ids = dataset.splits[split].get("ids")
    if ids and not divided:
        files = [f for f in files if ids[0] <= number(f[0]) <= ids[1]]
        if not files:
            raise UserError(f"no pairs of split '{split}'", where=folder,
                            fix=f"scenes {ids[0]} to {ids[1]} are expected")
    return PairedFolder(files[:limit], dataset.border)


def _own(folders: Mapping[str, Path], split: str) -> list[tuple[str, Path, Path]]:
    """Own pairs, or those of a split: pairs of one clear picture stay together."""
    files = match(list_images(folders["hazy"]), list_images(folders["clear"]), folders["hazy"])
    if split == ALL:
        return files
    scenes = list(dict.fromkeys(clear for _, _, clear in files))
    if len(scenes) < 2:
        raise UserError("a single scene cannot be divided in training and validation", where=folders["hazy"],
                        fix="add pictures")
    held_out = {scenes[i] for i in held_out_of(len(scenes))}
    return [f for f in files if (f[2] in held_out) == (split == "val")]


def number(name: str) -> int:
    """Number of the scene in a picture's name; -1 if its scene is not a number."""
    digits = re.fullmatch(r"\D*(\d+)", scene(name))
    return int(digits[1]) if digits else -1
