"""The identity of data: a digest of everything that a training or a measurement read, and what changed since.

Two identities are equal exactly if names and contents of the files are. Where a folder lies, dates, and the line ends
of text do not count. Contents are read once and remembered beside size and dates in `KEPT`, so that asking again costs
one look at each file's entry.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from reprolib.data.paired import PairedFolder, open_split
from reprolib.data.registry import data_home, get_dataset, locate
from reprolib.data.scenes import SceneFolder, open_scenes
from reprolib.data.unpaired import Domains, open_domains
from reprolib.errors import UserError
from reprolib.files import sha256, sweep, write_text
from reprolib.progress import track

KEPT = Path("runs") / "identity"
"""Remembered digests, a file for each folder of data. May be deleted at any time."""

DIGITS = 16
"""Hexadecimal digits of a digest."""

THREADS = 4
"""Files read at once: SHA-256 and reading both run beside Python."""

WORTH_A_BAR = 200
"""A progress bar is shown from so many files that must be read."""

SETTLED = 2.0
"""Seconds after its last change from which a file's digest is remembered. Before that, file systems with coarse dates
could show a further change under the same date."""

LEFT_OUT = "left out"
"""Name of the identity of pictures that a training left out (`reprolib.data.leakage`), among those of what it read."""

NAMED = 3
"""Files that `explain` names of each sort of change."""

TEXT = {".csv", ".json", ".md", ".prototxt", ".py", ".txt", ".yaml", ".yml"}
"""Files whose line ends do not count."""


@dataclass(frozen=True)
class Identity:
    """Files by name, and a digest of them all; may be stored as `dict(identity.files)` and compared later."""

    files: Mapping[str, str] = field(default_factory=dict)
    """Digest of the contents of each file, by a name that says what it is in the dataset ('hazy/1400_1.png')."""

    @property
    def n(self) -> int:
        """Number of files."""
        return len(self.files)

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits over names and contents, in whatever order the files were given."""
        whole = hashlib.sha256()
        for name in sorted(self.files):
            whole.update(os.fsencode(name) + b"\0" + self.files[name].encode() + b"\n")
        return whole.hexdigest()[:DIGITS]


def identify(files: Iterable[tuple[str, Path]]) -> Identity:
    """Identity of files, each with the name under which it counts.

    Raises:
        UserError: a file that is missing or cannot be read.
        ValueError: one name for two files.
    """
    named: dict[str, Path] = {}
    for name, path in files:
        absolute = Path(os.path.abspath(path))
        if named.setdefault(name, absolute) != absolute:
            raise ValueError(f"one name for two files: {name}")
    found = contents(named.values())
    return Identity({name: found[path] for name, path in named.items()})


def file_identity(path: Path) -> Identity:
    """Identity of one file, such as weights; its own name counts."""
    return identify([(Path(path).name, Path(path))])


def why_absent(name: str) -> str:
    """Why a dataset is not on this machine, in words; empty if it is.

    Raises:
        UserError: REPROLIB_DATA names no place, which says nothing of what is here.
    """
    data_home()
    try:
        locate(name)
    except UserError as error:
        return error.what
    return ""


def is_here(name: str) -> bool:
    """Whether a dataset has a folder on this machine; one that is registered and has gone has none."""
    return not why_absent(name)


def lacking(names: Iterable[str]) -> list[str]:
    """Those of several datasets, or of the parts of a mixture, that are not on this machine and that no stage makes."""
    single = {part for name in names for part in (get_dataset(name).parts or (name,))}
    return sorted(name for name in single if not get_dataset(name).embedded and not is_here(name))


def dataset_identity(name: str, split: str | None = None, root: Path | None = None,
                     limit: int | None = None) -> Identity:
    """Identity of one split of a dataset as `open_split` or `open_domains` would open it; no picture is decoded.

    Args:
        split: None stands for every split that is here.
        root, limit: as there.

    Raises:
        UserError: as there.
    """
    dataset = get_dataset(name)
    opener = open_domains if dataset.task == "translation" else open_split
    if split is not None and dataset.parts:
        locate(name, root)
        return join({**{part: dataset_identity(part, split) for part in dataset.parts}, name: _told(dataset.parts)})
    if split is not None and dataset.kind == "scenes":
        scenes = scenes_identity(open_scenes(name, split, root))
        return Identity({**scenes.files, **_told(dataset.haze).files}) if dataset.haze else scenes
    if split is not None:
        return pictures_identity(opener(name, split, root, limit))
    found, fault = {}, None
    for each in dataset.splits:
        try:
            found[each] = dataset_identity(name, each, root, limit)
        except UserError as error:  # a sample may lack a split
            fault = error
    if not found and fault is not None:
        raise fault
    return join(found)


def _told(drawn: Mapping[str, object]) -> Identity:
    """What a manifest says of how batches are drawn, and no picture does: shares of a mixture, ranges of haze."""
    return Identity({"manifest": hashlib.sha256(json.dumps(dict(drawn)).encode()).hexdigest()[:DIGITS]})


def pictures_identity(pictures: PairedFolder | Domains) -> Identity:
    """Identity of opened pictures: those of this split, and only as many as a limit left."""
    if isinstance(pictures, PairedFolder):
        return identify((f"{side}/{path.name}", path) for _, *both in pictures.files
                        for side, path in zip(("hazy", "clear"), both, strict=True))
    if pictures.aligned and pictures.a.files == pictures.b.files:
        return identify((f"ab/{path.name}", path) for path in pictures.a.files)
    return identify((f"{side}/{path.name}", path) for side, folder in (("a", pictures.a), ("b", pictures.b))
                    for path in folder.files)


def scenes_identity(scenes: SceneFolder) -> Identity:
    """Identity of clear pictures with their depths."""
    return identify((f"{side}/{path.name}", path) for _, *both in scenes.files
                    for side, path in zip(("clear", "depth"), both, strict=True))


def join(parts: Mapping[str, Identity]) -> Identity:
    """One identity of several; names are preceded by the part's ('train/hazy/1_1.png')."""
    return Identity({f"{part}/{name}": digest for part, whole in parts.items() for name, digest in whole.files.items()})


def explain(old: Identity, new: Identity) -> str:
    """What changed, in one line such as '2 files removed (hazy/54.png, hazy/55.png), 1 changed (clear/51.png)'.

    Empty if nothing did.
    """
    both = old.files.keys() & new.files.keys()
    sorts = {"added": new.files.keys() - both, "removed": old.files.keys() - both,
             "changed": {name for name in both if old.files[name] != new.files[name]}}
    told: list[str] = []
    for sort, names in sorts.items():
        if names:
            unit = "" if told else " file" if len(names) == 1 else " files"
            shown = [_printable(name) for name in sorted(names)[:NAMED]] + ["..."] * (len(names) > NAMED)
            told.append(f"{len(names):,}{unit} {sort} ({', '.join(shown)})")
    return ", ".join(told)


def _printable(name: str) -> str:
    """On one line, whatever a file is called."""
    return "".join(c if c.isprintable() else "?" for c in name)


# ---- remembered digests

Stamp = tuple[int, int, int]
"""Size, date of the last change of contents, date of the last change of the file's entry (ns). The last moves too if
an old date is set on new contents (`cp -p`)."""


def contents(paths: Iterable[Path]) -> dict[Path, str]:
    """Digest of each file's contents, read only where it is not remembered.

    Raises:
        UserError: a file that is missing or cannot be read.
    """
    with suppress(OSError):  # what a killed process was writing; should it be a living one's, that is read again
        sweep(KEPT)
    kept: dict[Path, dict[str, tuple[Stamp, str]]] = {}
    found: dict[Path, str] = {}
    waiting: dict[Path, Stamp] = {}
    for path in map(Path, dict.fromkeys(map(os.path.abspath, paths))):
        if path.parent not in kept:
            kept[path.parent] = _recall(path.parent)
        stamp, remembered = _stamp(path), kept[path.parent].get(path.name)
        if remembered is not None and remembered[0] == stamp:
            found[path] = remembered[1]
        else:
            waiting[path] = stamp
    learnt: set[Path] = set()
    try:
        for path, digest in _read(list(waiting)):
            found[path] = digest
            if _stamp(path) == waiting[path] and abs(time.time() - waiting[path][1] / 1e9) > SETTLED:
                kept[path.parent][path.name] = waiting[path], digest
                learnt.add(path.parent)
    finally:  # what was read before an interruption need not be read again
        for folder in learnt:
            _remember(folder, kept[folder])
    return found


def _read(paths: list[Path]) -> Iterator[tuple[Path, str]]:
    shown = track(paths, "reading data") if len(paths) >= WORTH_A_BAR else iter(paths)
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            yield from zip(shown, pool.map(_digest, paths), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)


def _digest(path: Path) -> str:
    try:
        if path.suffix.lower() in TEXT:
            return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()[:DIGITS]
        return sha256(path)[:DIGITS]
    except OSError as error:
        raise _unreadable(path, error) from error


def _stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"cannot be read: {error.strerror}", where=_printable(str(path)),
                     fix="check the path and its permissions")


def _place(folder: Path) -> Path:
    return KEPT / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:DIGITS]}.json"


def _recall(folder: Path) -> dict[str, tuple[Stamp, str]]:
    """Stamps and digests of a folder's files; empty if there are none or they are damaged."""
    try:
        content = json.loads(_place(folder).read_text())
        if content["folder"] != str(folder):
            return {}
        return {str(name): ((int(size), int(changed), int(moved)), str(digest))
                for name, (size, changed, moved, digest) in content["files"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _remember(folder: Path, files: Mapping[str, tuple[Stamp, str]]) -> None:
    """Write a folder's digests; of two processes that do so at once, one is not remembered and nothing is wrong."""
    try:
        here = set(os.listdir(folder))
        content = {name: [*stamp, digest] for name, (stamp, digest) in sorted(files.items()) if name in here}
        write_text(_place(folder), json.dumps({"folder": str(folder), "files": content}) + "\n")
    except (OSError, UserError):  # a read-only or full disk costs time, not the result
        return
