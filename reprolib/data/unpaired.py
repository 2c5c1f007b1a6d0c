"""Two domains of pictures without pairs between them: folders on disk.

Their batches for training are in `reprolib.data.unpaired_batches`.

Throughout, A is the source and B the target of the paper's direction, wherever they lie on disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from reprolib.data.channels import GREY, RGB, read_channels
from reprolib.data.held_out import held_out_of
from reprolib.data.images import list_images, pixel_hash, read_size
from reprolib.data.labels import decode
from reprolib.data.registry import ALL, get_dataset, locate
from reprolib.data.registry import Dataset as Manifest
from reprolib.errors import UserError, unknown
from reprolib.models.system import Direction

CACHE_BYTES = 2**30
"""Decoded pictures of a domain are kept in memory up to this much."""

CHECKED_AHEAD = 1000
"""Headers of up to this many pictures of a domain are read before training starts."""

SMALLEST = 16
"""Pictures with a shorter side are taken for damage or icons, not for data."""

SIDES = ("left", "right")
"""Halves of an aligned file."""


class ImageFolder:
    """Pictures of one domain, uint8 HWC, decoded when asked for and kept in memory while they are few.

    Args:
        files: the pictures, in order.
        half: for aligned files, which half is this domain: 'left' or 'right'; None takes the whole picture.
        side: resize to side x side, bicubic and ignoring proportions; None leaves pictures as they are.
        channels: C; 3 is RGB (`read_channels`).
    """

    def __init__(self, files: list[Path], half: str | None = None, side: int | None = None, channels: int = RGB):
        assert half in (None, *SIDES), half
        self.files, self.half, self.side, self.channels = files, half, side, channels
        self._cache: dict[int, np.ndarray] = {}
        self._cached_bytes = 0

    @property
    def names(self) -> list[str]:
        """File names without ending."""
        return [p.stem for p in self.files]

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> np.ndarray:
        if index not in self._cache:
            image = self.read(index)
            if self._cached_bytes + image.nbytes > CACHE_BYTES:
                return image
            self._cached_bytes += image.nbytes
            self._cache[index] = image
        return self._cache[index]

    def read(self, index: int) -> np.ndarray:
        """Decode one picture, past the memory.

        Raises:
            UserError: it cannot be decoded, or an aligned file has no two halves of one width.
        """
        image = read_channels(self.files[index], self.channels)
        if self.half:
            width = image.shape[1] // 2
            if image.shape[1] % 2 or not width:
                raise UserError(f"an aligned file of odd width {image.shape[1]} has no two halves",
                                where=self.files[index], fix="save both pictures side by side in one size")
            image = image[:, :width] if self.half == "left" else image[:, width:]
        return image if self.side is None else resize(image, self.side)

    def size(self, index: int) -> tuple[int, int]:
        """Width and height of a picture before any resizing, from its header alone."""
        width, height = read_size(self.files[index])
        return (width // 2 if self.half else width), height

    def in_channels(self, channels: int) -> ImageFolder:
        """The same pictures, as a network of that many channels takes them."""
        return self if channels == self.channels else ImageFolder(self.files, self.half, self.side, channels)

    def pixel_hash(self) -> str:
        """Hash over names and decoded pixels."""
        return pixel_hash(zip(self.names, self, strict=True))


@dataclass(frozen=True)
class Domains:
    """Source pictures A and target pictures B; one another's truth only if `aligned`."""

    a: ImageFolder
    b: ImageFolder
    aligned: bool = False
    """a[i] and b[i] show the same; training must not use it, evaluation may."""

    def label(self, index: int) -> np.ndarray:
        """Exact trainIds of an aligned pair, decoded from its label map A; uint8 HW, 255 is void.

        Raises:
            UserError: the dataset has no label maps.
        """
        if not self.aligned:
            raise UserError("these pictures have no label maps", where=self.a.files[index].parent,
                            fix="segmentation scores need an aligned dataset such as cityscapes")
        return decode(self.a[index])[0]

    def in_channels(self, channels: int) -> Domains:
        """The same pictures, as a network of that many channels takes them."""
        return replace(self, a=self.a.in_channels(channels), b=self.b.in_channels(channels))

    def pixel_hash(self) -> str:
        """Hash over names and decoded pixels of both domains."""
        both = ((f"{side}/{name}", image) for side, folder in (("a", self.a), ("b", self.b))
                for name, image in zip(folder.names, folder, strict=True))
        return pixel_hash(both)


def resize(image_HWC: np.ndarray, side: int, resample: str = "bicubic") -> np.ndarray:
    """To side x side by Pillow's filter of that name, ignoring proportions, as the published code does."""
    if image_HWC.shape[:2] == (side, side):
        return image_HWC
    if image_HWC.shape[2] != RGB:
        return np.stack([_resized(plane_HW, side, resample) for plane_HW in np.moveaxis(image_HWC, 2, 0)], axis=2)
    return _resized(image_HWC, side, resample)


def _resized(image: np.ndarray, side: int, resample: str) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling[resample.upper()]))


def open_domains(name: str, split: str, root: Path | None = None, limit: int | None = None,
                 direction: Direction = "ab") -> Domains:
    """Both domains of one split of a dataset.

    Unpaired datasets lie in trainA, trainB, testA and testB, or where their release puts them; aligned ones in train/
    and test/ (or, if there is no test/, val/, as in pix2pix's Cityscapes). Where no validation split is on disk, it is
    every 20th training picture, 32 at most and never none, and training leaves these out. Validation and test pictures
    of the source have the size at which the dataset is translated, if its manifest says one.

    Args:
        root: folder to use instead of where the dataset is registered; may hold a part of it only.
        limit: at most this many pictures of each domain, from the first.
        direction: with 'ba' the dataset's B is the source; its label maps are then no truth of anything.

    Raises:
        UserError: unknown dataset or split, no translation dataset, missing or empty folders, too few pictures to
            divide, or a limit below 1.
    """
    dataset = get_dataset(name)
    if dataset.task != "translation":
        raise UserError(f"'{name}' is not a dataset of two domains but for {dataset.task}",
                        fix="choose one of horse2zebra, cityscapes, ... (`reprolib data list`)")
    if split not in dataset.splits:
        raise unknown(f"split of {name}", split, dataset.splits)
    if limit is not None and limit < 1:
        raise UserError(f"a limit of {limit} leaves no pictures", fix="give 1 or more")
    folder = locate(name, root)
    try:
        files_a, files_b = (_files(dataset, folder, split, domain)[:limit] for domain in "ab")
    except UserError as error:
        fix = f"run `reprolib data prepare {name}`" if dataset.embedded else f"expected is {dataset.hint}"
        raise UserError(f"split '{split}' of '{name}': {error.what}", where=error.where, fix=fix) from error
    side = dataset.translated_at if split != "train" else None
    half_a = dataset.source
    half_b = half_a and SIDES[1 - SIDES.index(half_a)]
    if direction == "ba":
        return Domains(ImageFolder(files_b, half_b, side), ImageFolder(files_a, half_a))
    return Domains(ImageFolder(files_a, half_a, side), ImageFolder(files_b, half_b), aligned=half_a is not None)


def _files(dataset: Manifest, root: Path, split: str, domain: str) -> list[Path]:
    """Pictures of one domain of a split, in natural order."""
    if split in ("test", ALL) or (not dataset.own and domain_folder(dataset, root, "val", domain).is_dir()):
        return list_images(domain_folder(dataset, root, split, domain))
    train = list_images(domain_folder(dataset, root, "train", domain))
    if len(train) < 2:
        raise UserError("a single picture cannot be divided in training and validation",
                        where=domain_folder(dataset, root, "train", domain))
    held_out = held_out_of(len(train))
    return [p for i, p in enumerate(train) if (i in held_out) == (split == "val")]


def domain_folder(dataset: Manifest, root: Path, split: str, domain: str) -> Path:
    """Folder of a domain ('a' or 'b') in a split, whether it is there or not."""
    if dataset.own:
        return dataset.own[domain]
    if dataset.source is None:
        usual = root / f"{split}{domain.upper()}"
        released = dataset.splits.get(split, {}).get("at", {}).get(domain)
        return root / released if released and not usual.is_dir() and (root / released).is_dir() else usual
    if split == "test" and not (root / "test").is_dir():
        return root / "val"
    if split == "val" and not (root / "test").is_dir():
        return root / "test"  # val/ is the test set then, and there is no other
    return root / split


def check_usable(folder: ImageFolder, domain: str) -> None:
    """Read the headers of a domain's pictures.

    Raises:
        UserError: some or all are no pictures, or smaller than `SMALLEST`; one line, with an example.
    """
    checked = min(len(folder), CHECKED_AHEAD)
    faults = [fault for index in range(checked) if (fault := unusable(folder, index))]
    if faults:
        where, why = faults[0]
        many = f"none of the {checked:,}" if len(faults) == checked else f"{len(faults):,} of {checked:,}"
        can = "can" if len(faults) == checked else "cannot"
        raise UserError(f"{many} pictures of domain {domain} {can} be used: {why}", where=where,
                        fix="get the originals again, or take the files away")


def unusable(folder: ImageFolder, index: int) -> tuple[Path, str] | None:
    """File and fault of a picture, as far as its header tells; of one that is neither grey nor RGB, its pixels."""
    try:
        width, height = folder.size(index)
        if folder.channels not in (GREY, RGB):
            folder.read(index)
    except UserError as error:
        return folder.files[index], error.what
    if min(width, height) < SMALLEST:
        return folder.files[index], f"{width}x{height} is too small, {SMALLEST} pixels a side are needed"
    return None
