"""Pictures that must not be trained on: copies of those that the run is measured or validated on.

Within the dataset that is trained on, and in the test pictures of the one that is measured on (RESIDE's OTS holds
scenes of SOTS outdoor). What was found is remembered by the pictures' identity, so that starting again compares
nothing. Embedded datasets are divided by their own lists and need no such look.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from reprolib.data.content import second_names
from reprolib.data.copies import ALIKE, BYTES, NEAR, Copy, Pictures, copies, files_of, sides_of
from reprolib.data.identity import KEPT, contents
from reprolib.data.paired import open_split
from reprolib.data.registry import get_dataset
from reprolib.data.scenes import open_scenes
from reprolib.data.unpaired import open_domains
from reprolib.errors import UserError
from reprolib.files import write_text

SHOWN = 3
"""Copies that a message names."""


def leaks(dataset: str, measured_on: str, root: Path | None = None) -> list[Copy]:
    """Pictures to train or validate on that are test pictures too, pictures to train on that are validated on, and
    those that are there under a second name.

    Args:
        measured_on: dataset whose test pictures count, beside those of the same dataset. If it is not on this machine,
            nothing can be said of it.
        root: folder of `dataset`, as for `open_split`.

    Raises:
        UserError: the training split cannot be opened, or a picture cannot be read.
    """
    if parts := get_dataset(dataset).parts:
        return list(dict.fromkeys(copy for part in parts for copy in leaks(part, measured_on)))
    if root is None and get_dataset(dataset).embedded and get_dataset(measured_on).embedded:
        return []
    train, opened = open_pictures(dataset, "train", root), dict(_held_out(dataset, measured_on, root))
    digests = contents(path for pictures in (train, *opened.values()) for path in files_of(pictures))
    found = {copy.train: copy for copy in _second_copies(train, digests)}
    validation = opened.get((dataset, "val"))
    for (_, split), pictures in opened.items():
        for copied in (train, *([validation] if validation and split != "val" else [])):
            for copy in known_copies(copied, pictures, digests):
                found.setdefault(copy.train, copy)
    return list(found.values())


def told(found: list[Copy]) -> str:
    """What is left out of training, in one line."""
    are = "1 picture is" if len(found) == 1 else f"{len(found):,} pictures are"
    return f"{are} left out of training as copies of others: {shown(found)}"


def shown(found: list[Copy]) -> str:
    """The first few, in words."""
    return "; ".join([str(copy) for copy in found[:SHOWN]] + ["..."] * (len(found) > SHOWN))


def open_pictures(dataset: str, split: str, root: Path | None = None) -> Pictures:
    """A split of a dataset of any kind but a mixture.

    Raises:
        UserError: not here, or no such split.
    """
    if get_dataset(dataset).kind == "scenes":
        return open_scenes(dataset, split, root)
    if get_dataset(dataset).task == "translation":
        return open_domains(dataset, split, root)
    return open_split(dataset, split, root)


def _held_out(dataset: str, measured_on: str, root: Path | None) -> Iterator[tuple[tuple[str, str], Pictures]]:
    """Validation and test pictures that are here, by dataset and split."""
    for name, folder in {measured_on: None, dataset: root}.items():
        for split in get_dataset(name).splits:
            if split.startswith("test") or (name == dataset and split == "val"):
                with suppress(UserError):  # not here
                    yield (name, split), open_pictures(name, split, folder)


def _second_copies(train: Pictures, digests: Mapping[Path, str]) -> list[Copy]:
    """Files with the name and the contents of a second copy: '1400_1 (1).png' beside '1400_1.png'."""
    return [Copy(second, first, BYTES) for side in sides_of(train) for second, first in second_names(side)
            if digests[second] == digests[first]]


def known_copies(train: Pictures, test: Pictures, digests: Mapping[Path, str]) -> list[Copy]:
    """As `copies`, remembered by the contents of both sets and their order."""
    ours, theirs = files_of(train), files_of(test)
    listed = [f"{NEAR} {ALIKE} {type(train).__name__}", *(digests[path] for path in ours), "",
              *(digests[path] for path in theirs)]
    key = sha256("\n".join(listed).encode()).hexdigest()[:16]
    place = KEPT / f"copies-{key}.json"
    try:
        return [Copy(ours[one], theirs[other], str(how)) for one, other, how in json.loads(place.read_text())]
    except (OSError, ValueError, TypeError, IndexError):
        pass
    found = copies(train, test)
    at = [{path: index for index, path in enumerate(side)} for side in (ours, theirs)]
    with suppress(OSError, UserError):  # a read-only or full disk costs time, not the result
        write_text(place, json.dumps([[at[0][c.train], at[1][c.test], c.how] for c in found]) + "\n")
    return found
