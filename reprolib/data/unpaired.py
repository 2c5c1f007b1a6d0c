"""Two domains of pictures without pairs between them: folders on disk, and random batches of both for training.

Throughout, A is the source and B the target of the paper's direction, wherever they lie on disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from reprolib.data.images import list_images, pixel_hash, read_rgb, read_size
from reprolib.data.labels import decode
from reprolib.data.registry import Dataset as Manifest
from reprolib.data.registry import get_dataset, locate
from reprolib.errors import UserError, unknown

CACHE_BYTES = 2**30
"""Decoded pictures of a domain are kept in memory up to this much."""

CHECKED_AHEAD = 1000
"""Headers of up to this many pictures of a domain are read before training starts."""

SMALLEST = 16
"""Pictures with a shorter side are taken for damage or icons, not for data."""

VAL_EVERY, VAL_MOST = 20, 32
"""Where a release has no validation split: one in so many training pictures, and at most so many."""

SIDES = ("left", "right")
"""Halves of an aligned file."""


class ImageFolder:
    """Pictures of one domain, uint8 RGB HW3, decoded when asked for and kept in memory while they are few.

    Args:
        files: the pictures, in order.
        half: for aligned files, which half is this domain: 'left' or 'right'; None takes the whole picture.
        side: resize to side x side, bicubic and ignoring proportions; None leaves pictures as they are.
    """

    def __init__(self, files: list[Path], half: str | None = None, side: int | None = None):
        assert half in (None, *SIDES), half
        self.files, self.half, self.side = files, half, side
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
        image = read_rgb(self.files[index])
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

    def pixel_hash(self) -> str:
        """Hash over names and decoded pixels of both domains."""
        both = ((f"{side}/{name}", image) for side, folder in (("a", self.a), ("b", self.b))
                for name, image in zip(folder.names, folder, strict=True))
        return pixel_hash(both)


def resize(image_HW3: np.ndarray, side: int) -> np.ndarray:
    """To side x side by Pillow's bicubic filter, ignoring proportions, as the published code does."""
    if image_HW3.shape[:2] == (side, side):
        return image_HW3
    return np.asarray(Image.fromarray(image_HW3).resize((side, side), Image.Resampling.BICUBIC))


def open_domains(name: str, split: str, root: Path | None = None, limit: int | None = None) -> Domains:
    """Both domains of one split of a dataset.

    Unpaired datasets lie in trainA, trainB, testA and testB, or where their release puts them; aligned ones in train/
    and test/ (or, if there is no test/, val/, as in pix2pix's Cityscapes). Where no validation split is on disk, it is
    every 20th training picture, 32 at most and never none, and training leaves these out. Validation and test pictures
    of A have the size at which the dataset is translated, if its manifest says one.

    Args:
        root: folder to use instead of where the dataset is registered; may hold a part of it only.
        limit: at most this many pictures of each domain, from the first.

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
    if dataset.source is None:
        return Domains(ImageFolder(files_a, side=side), ImageFolder(files_b))
    other = SIDES[1 - SIDES.index(dataset.source)]
    return Domains(ImageFolder(files_a, dataset.source, side), ImageFolder(files_b, other), aligned=True)


def _files(dataset: Manifest, root: Path, split: str, domain: str) -> list[Path]:
    """Pictures of one domain of a split, in natural order."""
    if split == "test" or domain_folder(dataset, root, "val", domain).is_dir():
        return list_images(domain_folder(dataset, root, split, domain))
    train = list_images(domain_folder(dataset, root, "train", domain))
    if len(train) < 2:
        raise UserError("a single picture cannot be divided in training and validation",
                        where=domain_folder(dataset, root, "train", domain))
    held_out = held_out_of(len(train))
    return [p for i, p in enumerate(train) if (i in held_out) == (split == "val")]


def held_out_of(n: int) -> set[int]:
    """Which of n >= 2 training pictures are for validation: evenly spaced, `VAL_EVERY` apart, at most `VAL_MOST`."""
    count = min(max(1, n // VAL_EVERY), VAL_MOST)
    return {(2 * i + 1) * n // (2 * count) for i in range(count)}


def domain_folder(dataset: Manifest, root: Path, split: str, domain: str) -> Path:
    """Folder of a domain ('a' or 'b') in a split, whether it is there or not."""
    if dataset.source is None:
        usual = root / f"{split}{domain.upper()}"
        released = dataset.splits.get(split, {}).get("at", {}).get(domain)
        return root / released if released and not usual.is_dir() and (root / released).is_dir() else usual
    if split == "test" and not (root / "test").is_dir():
        return root / "val"
    if split == "val" and not (root / "test").is_dir():
        return root / "test"  # val/ is the test set then, and there is no other
    return root / split


class UnpairedBatches(Dataset[tuple[Tensor, Tensor]]):
    """Training batches as a pure function of (seed, step): `batches[step]` is (A, B), float32 B3HW in [-1, 1].

    As in the released code of CUT and CycleGAN: an epoch is as long as the larger domain; A goes through a permutation
    of it, modulo its own length; B is drawn uniformly; an incomplete batch at the end of an epoch is dropped. Every
    picture is resized to load x load (bicubic, ignoring proportions), cropped at random and, with `augment`, flipped
    with p 0.5, independently in A and B. With `rows` set, only these rows of both are decoded and returned.

    Args:
        load: side that pictures are resized to before the crop.
        crop: side of what is returned.
        calm_from: step from which pictures are resized to the crop's side and not cropped any more; flips stay. CUT's
            code does so while the learning rate decays. None: never.

    Raises:
        UserError: a crop larger than `load`, a batch larger than an epoch, or a domain with pictures that cannot be
            used; sizes and file types are read ahead, so that this is told before training starts.
    """

    def __init__(self, domains: Domains, load: int, crop: int, batch: int, steps: int, seed: int, augment: bool = True,
                 calm_from: int | None = None):
        if batch < 1 or crop < 1:
            raise UserError(f"a batch of {batch} crops of {crop} pixels is none", fix="give 1 or more of each")
        if crop > load:
            raise UserError(f"a crop of {crop} does not fit into pictures loaded at {load}",
                            fix="lower crop, or raise load")
        self.epoch_length = max(len(domains.a), len(domains.b))
        if batch > self.epoch_length:
            raise UserError(f"a batch of {batch} from {self.epoch_length} pictures",
                            fix="lower batch, or add pictures")
        self.domains, self.load, self.crop, self.batch, self.steps = domains, load, crop, batch, steps
        self.seed, self.augment, self.calm_from, self.rows = seed, augment, calm_from, slice(None)
        self._cache: dict[tuple[str, int], np.ndarray] = {}
        self._cached_bytes, self._cached_side = 0, load
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))
        for domain, folder in (("A", domains.a), ("B", domains.b)):
            check_usable(folder, domain)

    def __len__(self) -> int:
        return self.steps

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the larger domain."""
        return self.epoch_length // self.batch

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of {self.steps}")
        random = np.random.default_rng([self.seed, step])
        epoch, position = divmod(step, self.steps_per_epoch)
        chosen = self._permutation(epoch)[position * self.batch : (position + 1) * self.batch]
        side = self.crop if self.calm_from is not None and step >= self.calm_from else self.load
        # All rows are drawn and then some are decoded: the draws of later rows come after those of earlier ones.
        a = [(int(index) % len(self.domains.a), *self._draw(side, random)) for index in chosen]
        b = [(int(random.integers(len(self.domains.b))), *self._draw(side, random)) for _ in chosen]
        return (_to_tensor([self._cut("a", side, *drawn) for drawn in a[self.rows]]),
                _to_tensor([self._cut("b", side, *drawn) for drawn in b[self.rows]]))

    def _permutation(self, epoch: int) -> np.ndarray:
        if self._order[0] != epoch:
            # the last number keeps it apart from the steps' streams; it must not be 0, which numpy would not tell
            random = np.random.default_rng([self.seed, epoch, 1])
            self._order = epoch, random.permutation(self.epoch_length)
        return self._order[1]

    def _draw(self, side: int, random: np.random.Generator) -> tuple[int, int, bool]:
        """Where a crop begins, and whether it is flipped; the crop is the same with and without `augment`."""
        top, left = random.integers(side - self.crop + 1, size=2)
        return int(top), int(left), random.random() < 0.5 and self.augment

    def _cut(self, domain: str, side: int, index: int, top: int, left: int, flip: bool) -> np.ndarray:
        part = self._resized(domain, index, side)[top : top + self.crop, left : left + self.crop]
        return part[:, ::-1] if flip else part

    def _resized(self, domain: str, index: int, side: int) -> np.ndarray:
        """A picture at side x side, remembered while there is room."""
        if side != self._cached_side:  # the decay phase has begun: the former size is not wanted again
            self._cache, self._cached_bytes, self._cached_side = {}, 0, side
        key = domain, index
        if key not in self._cache:
            image = resize((self.domains.a if domain == "a" else self.domains.b).read(index), side)
            if self._cached_bytes + image.nbytes > 2 * CACHE_BYTES:
                return image
            self._cached_bytes += image.nbytes
            self._cache[key] = image
        return self._cache[key]


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
    """File and fault of a picture, as far as its header tells."""
    try:
        width, height = folder.size(index)
    except UserError as error:
        return folder.files[index], error.what
    if min(width, height) < SMALLEST:
        return folder.files[index], f"{width}x{height} is too small, {SMALLEST} pixels a side are needed"
    return None


def _to_tensor(images: list[np.ndarray]) -> Tensor:
    batch_B3HW = np.stack(images).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(batch_B3HW)).float() / 127.5 - 1
