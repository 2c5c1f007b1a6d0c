"""Copies of test pictures among training pictures: equal bytes, equal pixels, re-encoded or resized.

Bytes are compared by the digests that the identity of data needs anyway. Looks are compared by the perceptual hash
`phash` of the library imagehash (64 bits of the low frequencies of a 32x32 picture), and what is near is held against
each other. Both limits were set on real pictures: copies at JPEG quality 30 to 75 or half the size differ by 4 bits and
correlate above 0.995; of the most alike among 871 cats, none that is no copy correlates above 0.99. A cut, turned or
mirrored copy is not found.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
from PIL import Image

from reprolib.data.identity import KEPT, WORTH_A_BAR, contents
from reprolib.data.images import read_rgb
from reprolib.data.paired import PairedFolder
from reprolib.data.scenes import SceneFolder
from reprolib.data.unpaired import Domains, ImageFolder
from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.progress import track

BYTES, PIXELS, LOOKS = "the same bytes", "the same pixels", "re-encoded or resized"

NEAR = 6
"""Bits of 64 by which the hashes of a copy may differ."""

ALIKE = 0.99
"""Correlation of two 32x32 grey pictures from which they are called copies."""

PLAIN = 1.0
"""Pictures whose grey values have a smaller standard deviation show nothing that could be recognised."""

THREADS = 2
"""Pictures decoded at once."""

SIDE = 32
"""Of the grey pictures that are held against each other."""


Pictures = PairedFolder | Domains | SceneFolder
"""Whatever is trained on; of scenes, the clear pictures count."""

Opened = TypeVar("Opened", PairedFolder, Domains, SceneFolder)


@dataclass(frozen=True)
class Copy:
    """A picture that is there twice."""

    train: Path
    test: Path
    how: str
    """BYTES, PIXELS or LOOKS."""

    def __str__(self) -> str:
        return f"{_short(self.train)} is {_short(self.test)} ({self.how})"


def copies(train: Pictures, test: Pictures, looks: bool = True) -> list[Copy]:
    """Training pictures that are test pictures too, in the order of the training pictures.

    Of pairs, hazy and clear files are compared by their bytes, and the clear ones, of which there are fewer, by their
    looks. Hashes are remembered, so that only the first time takes long (about 20 ms a clear picture of RESIDE).

    Args:
        looks: compare more than bytes.

    Raises:
        UserError: a picture that cannot be read.
    """
    digests = contents([*files_of(train), *files_of(test)])
    of_digest = {digests[path]: path for path in reversed(files_of(test))}
    found = {path: Copy(path, of_digest[digests[path]], BYTES) for path in files_of(train)
             if digests[path] in of_digest}
    if looks:
        theirs = _characteristic(test)
        ours = [path for path in _characteristic(train) if path not in found]
        hashes = _hashes({path: digests[path] for path in [*ours, *theirs]})
        for one, other in _near([hashes[p] for p in ours], [hashes[p] for p in theirs]):
            if ours[one] not in found and (how := _sameness(ours[one], theirs[other])):
                found[ours[one]] = Copy(ours[one], theirs[other], how)
    return [found[path] for path in files_of(train) if path in found]


def twins(pictures: Pictures) -> list[Copy]:
    """Pictures of one set that are there under two names with the same bytes; of pairs, of one side only.

    The same clear picture may belong to many hazy ones; that is no fault, since it is one file.
    """
    found = []
    for side in sides_of(pictures):
        digests, first = contents(side), dict[str, Path]()
        for path in side:
            if (other := first.setdefault(digests[path], path)) != path:
                found.append(Copy(path, other, BYTES))
    return found


def without(train: Opened, found: Iterable[Copy]) -> Opened:
    """Training pictures less the copies; of pairs, less those of which either side is a copy. The very same object if
    none of them is one.

    Raises:
        UserError: none are left.
    """
    found = list(found)
    gone = {copy.train for copy in found}
    if gone.isdisjoint(files_of(train)):
        return train
    rest: Pictures
    if isinstance(train, Domains):
        a, b = (ImageFolder([path for path in side.files if _absolute(path) not in gone], side.half, side.side,
                            side.channels)
                for side in (train.a, train.b))
        rest, least = Domains(a, b, train.aligned), min(len(a), len(b))
    else:
        files = [row for row in train.files if gone.isdisjoint(map(_absolute, row[1:]))]
        rest = PairedFolder(files, train.border) if isinstance(train, PairedFolder) else \
            SceneFolder(files, train.border, train.haze)
        least = len(files)
    if not least:
        raise UserError("nothing is left to train on but copies of test pictures", where=found[0],
                        fix="train on other pictures")
    return cast(Opened, rest)


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def _short(path: Path) -> str:
    return "".join(c if c.isprintable() else "?" for c in f"{path.parent.name}/{path.name}")


def sides_of(pictures: Pictures) -> list[list[Path]]:
    """Files of each side, absolute and once each."""
    if isinstance(pictures, SceneFolder):
        sides = [[clear for _, clear, _ in pictures.files]]
    elif isinstance(pictures, PairedFolder):
        sides = [[hazy for _, hazy, _ in pictures.files], [clear for _, _, clear in pictures.files]]
    elif pictures.aligned and pictures.a.files == pictures.b.files:
        sides = [pictures.a.files]
    else:
        sides = [pictures.a.files, pictures.b.files]
    return [list(dict.fromkeys(map(_absolute, side))) for side in sides]


def files_of(pictures: Pictures) -> list[Path]:
    """Files of all sides, absolute and once each, in order."""
    return list(dict.fromkeys(path for side in sides_of(pictures) for path in side))


def _characteristic(pictures: Pictures) -> list[Path]:
    """What is compared by looks."""
    return sides_of(pictures)[1] if isinstance(pictures, PairedFolder) else files_of(pictures)


def _near(ours: list[int], theirs: list[int]) -> Iterator[tuple[int, int]]:
    """Indices of hashes that differ by at most `NEAR` bits, row by row: 10,000 by 500 take no memory to speak of."""
    others = np.array(theirs, np.uint64)
    for index, one in enumerate(ours):
        for near in np.flatnonzero(np.bitwise_count(others ^ np.uint64(one)) <= NEAR):
            yield index, int(near)


def _sameness(one: Path, other: Path) -> str | None:
    """In what way two pictures of near hashes are the same; None if they are not."""
    a, b = read_rgb(one), read_rgb(other)
    if np.array_equal(a, b):
        return PIXELS
    grey_a, grey_b = (np.asarray(_small(image), np.float64) for image in (a, b))
    if min(grey_a.std(), grey_b.std()) < PLAIN:
        return None
    return LOOKS if np.corrcoef(grey_a.ravel(), grey_b.ravel())[0, 1] >= ALIKE else None


def _small(image_HW3: np.ndarray) -> Image.Image:
    return Image.fromarray(image_HW3).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)


# ---- perceptual hashes, remembered by the digest of a file's contents

def _hashes(digests: Mapping[Path, str]) -> dict[Path, int]:
    """phash of each picture as a number of 64 bits."""
    kept = _recall()
    waiting = list({digest: path for path, digest in digests.items() if digest not in kept}.values())
    if waiting:
        shown = track(waiting, "looking for copies") if len(waiting) >= WORTH_A_BAR else iter(waiting)
        with ThreadPoolExecutor(THREADS) as pool:
            try:
                for path, found in zip(shown, pool.map(_phash, waiting), strict=True):
                    kept[digests[path]] = found
            finally:
                pool.shutdown(cancel_futures=True)
                _remember(kept)
    return {path: kept[digest] for path, digest in digests.items()}


def _phash(path: Path) -> int:
    import imagehash  # loads PyWavelets too, for hashes that are not used here

    return int(str(imagehash.phash(_grey(path))), 16)


def _grey(path: Path) -> Image.Image:
    """A picture in grey, JPEG decoded at a fraction of its size where that suffices."""
    try:
        with Image.open(path) as image:
            if image.format == "JPEG":
                image.draft("L", (4 * SIDE, 4 * SIDE))
                return image.convert("L")
    except (OSError, SyntaxError, ValueError):
        pass  # told by the reader of all pictures
    return Image.fromarray(read_rgb(path)).convert("L")


def _recall() -> dict[str, int]:
    try:
        content = json.loads((KEPT / "looks.json").read_text())
        return {str(digest): int(found, 16) for digest, found in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _remember(hashes: Mapping[str, int]) -> None:
    """Keep these and what another process has kept since; a read-only or full disk costs time only."""
    try:
        merged = {digest: f"{found:016x}" for digest, found in {**_recall(), **hashes}.items()}
        write_text(KEPT / "looks.json", json.dumps(merged, sort_keys=True) + "\n")
    except (OSError, UserError):
        return
