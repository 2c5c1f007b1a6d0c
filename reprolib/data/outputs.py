"""Where the result of each picture goes: decided for all before work starts, so that none replaces another."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from reprolib.errors import UserError

LONGEST = 255
"""Bytes of a file's name on the file systems in use."""


def plan_outputs(inputs: Sequence[Path], folder: Path, suffix: str | None = ".png", base: Path | None = None,
                 marks: Sequence[str] = ("",)) -> list[list[Path]]:
    """The outputs of each input, in their order: 1.jpg becomes FOLDER/1.png.

    Where two inputs would meet, as 1.jpg and 1.png do, those that have another ending keep it within the name:
    1.jpg.png and 1.png. Names that differ in case or in how an accent is encoded meet too, since they are one file on
    macOS and Windows. A name that grows longer than a file system takes is cut, and a digest of it added. Nothing is
    read or written.

    Args:
        suffix: the ending of the outputs, with its dot; None keeps every input's own name.
        base: a folder that holds the inputs and whose subfolders come again in `folder`; None puts all side by side.
        marks: what each output of an input has at the end of its name, before the ending.

    Raises:
        UserError: an output would replace an input, or two inputs cannot be told apart.
    """
    wanted = [(path, mark) for path in inputs for mark in marks]
    targets = [_below(folder, path, base) / _fitting(path.stem + mark + (path.suffix if suffix is None else suffix))
               for path, mark in wanted]
    for meeting in _meetings(targets):
        for index in meeting:
            path, mark = wanted[index]
            if suffix is not None and path.suffix != suffix:
                targets[index] = targets[index].with_name(_fitting(path.name + mark + suffix))
    for first, second, *_ in _meetings(targets):
        raise UserError(f"two inputs would become {targets[first].name}",
                        where=f"{wanted[first][0]}, {wanted[second][0]}",
                        fix="rename one of them, or put them into folders of their own")
    taken = {_key(path): path for path in inputs}
    for replaced in (taken[_key(target)] for target in targets if _key(target) in taken):
        raise UserError("the output would replace the input", where=replaced, fix="choose another folder")
    return [targets[i : i + len(marks)] for i in range(0, len(targets), len(marks))]


def named_outputs(named: Sequence[tuple[str, Path]], folder: Path) -> list[Path]:
    """The PNG of each picture of a dataset, FOLDER/NAME.png, as `plan_outputs` plans it.

    Args:
        named: name and file of each.

    Raises:
        UserError: as `plan_outputs`.
    """
    inputs = [path.with_name(name + path.suffix) for name, path in named]
    return [path for paths in plan_outputs(inputs, folder) for path in paths]


def _below(folder: Path, path: Path, base: Path | None) -> Path:
    return folder if base is None else folder / path.relative_to(base).parent


def _meetings(targets: Sequence[Path]) -> list[list[int]]:
    """Indices of targets that are one file."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, target in enumerate(targets):
        groups[_key(target)].append(index)
    return [group for group in groups.values() if len(group) > 1]


def _key(path: Path) -> str:
    """Equal for paths that may be one file. `realpath` of the folder alone: a link is a name of its own."""
    whole = os.path.join(os.path.realpath(path.parent), path.name)
    return unicodedata.normalize("NFC", whole).casefold()


def _fitting(name: str) -> str:
    """A name of at most `LONGEST` bytes; names that are no UTF-8 stay what they are."""
    encoded = os.fsencode(name)
    if len(encoded) <= LONGEST:
        return name
    suffix = os.fsencode(Path(name).suffix)
    mark = b"~" + hashlib.sha256(encoded).hexdigest()[:8].encode()
    kept = encoded[: LONGEST - len(mark) - len(suffix)]
    try:
        encoded.decode()
        start = kept.decode(errors="ignore")  # no half of a character
    except UnicodeDecodeError:
        start = os.fsdecode(kept)
    return start + os.fsdecode(mark + suffix)
