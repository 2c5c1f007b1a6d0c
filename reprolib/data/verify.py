"""Checking that a folder holds the dataset it is said to hold, and remembering where it is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from reprolib.data.images import list_images, read_rgb, read_size
from reprolib.data.paired import find_pairs, find_pictures, number
from reprolib.data.registry import REGISTERED, Dataset, get_dataset, locate, registered
from reprolib.data.scenes import SceneFolder, find_scenes
from reprolib.data.unpaired import ImageFolder, domain_folder, unusable
from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.progress import track

SAMPLE = 20
"""Pairs whose pictures are opened unless all are asked for."""

T = TypeVar("T")


@dataclass
class Report:
    """What was found in a folder; `str()` of it is for people."""

    name: str
    root: Path
    problems: list[str] = field(default_factory=list)
    """What is wrong, in sentences; empty for a good sample too."""
    counts: dict[str, int] = field(default_factory=dict)
    """Pictures and pairs found."""
    expected: int = 0
    """Units of the whole dataset."""
    opened: int = 0
    """Units that were decoded."""
    unit: str = "pairs"
    """What is counted: 'pairs', 'pictures' where there are none, or 'scenes' where haze is still to be drawn."""

    @property
    def complete(self) -> bool:
        """Nothing is wrong and nothing is missing."""
        return not self.problems and self.counts.get(self.unit) == self.expected

    def __str__(self) -> str:
        if self.problems:
            return "\n  - ".join([f"{self.name} in {self.root}: something is wrong", *self.problems])
        whole = f"{self.expected:,} {self.unit}"
        found = f"complete: {whole}" if self.complete else f"a sample: {self.counts[self.unit]:,} of {whole}"
        return f"{self.name} in {self.root}: {found}, {self.opened:,} of them decoded without fault"


def verify(name: str, root: Path | None = None, full: bool = False) -> Report:
    """Compare a folder with the manifest of a dataset: layout, counts, names, pairing, sizes, and whether files decode.

    Args:
        root: folder to check instead of where the dataset is registered.
        full: decode every picture and not only a few.

    Raises:
        UserError: unknown dataset, or no such folder. What is wrong inside the folder is reported, not raised.
    """
    dataset = get_dataset(name)
    report = Report(name, locate(name, root))
    if dataset.task == "translation":
        _check_domains(dataset, report, full)
        return report
    if dataset.kind == "scenes":
        _check_scenes(dataset, report, full)
        return report
    report.expected = dataset.pairs or sum(s["pairs"] for s in dataset.splits.values())
    folders = [report.root / split for split in dataset.splits] if dataset.embedded else [report.root]
    files: list[tuple[str, Path, Path]] = []
    for folder in folders:
        try:
            hazy, clear = find_pictures(folder)
            report.counts["hazy"] = report.counts.get("hazy", 0) + len(hazy)
            report.counts["clear"] = report.counts.get("clear", 0) + len(clear)
            files += find_pairs(folder)
        except UserError as error:
            report.problems.append(f"{error}{_nearby(folder, name)}")
    report.counts["pairs"] = len(files)
    if dataset.embedded:
        _check_splits(dataset, report)
    else:
        _check_release(dataset, files, report)
    if not report.problems:  # of a wrong release, single files tell nothing more
        _check_files(dataset, files if full else spread(files, SAMPLE), report)
    return report


def register(name: str, path: Path) -> Report:
    """Check a downloaded dataset and remember its folder in .reprolib/datasets.json.

    Raises:
        UserError: not the dataset, not the right release, or only a part of it; nothing is remembered then.
    """
    dataset = get_dataset(name)
    if dataset.embedded:
        raise UserError(f"'{name}' is made, not downloaded", fix=f"run `reprolib data prepare {name}`")
    report = verify(name, Path(path))
    if report.problems:
        raise UserError(f"this is not {dataset.title}: {'; '.join(report.problems)}", where=path,
                        fix=f"expected is {dataset.hint}")
    if not report.complete:
        raise UserError(f"a sample: {report.counts[report.unit]:,} of {report.expected:,} {report.unit}", where=path,
                        fix=f"register the whole dataset, or use the sample with --root {path}")
    places = {**registered(), name: str(Path(path).resolve())}
    write_text(REGISTERED, json.dumps(places, indent=1, sort_keys=True) + "\n")
    return report


def spread(items: Sequence[T], n: int) -> list[T]:
    """At most n items, evenly spaced from the first to the last."""
    if len(items) <= n:
        return list(items)
    return [items[round(i * (len(items) - 1) / (n - 1))] for i in range(n)]


def _nearby(folder: Path, name: str) -> str:
    """Advice if the right folder is one level down: SOTS holds indoor/ and outdoor/."""
    inside = sorted((p.parent for p in folder.glob("*/hazy") if p.is_dir()), key=lambda p: (p.name not in name, p.name))
    return f" (did you mean {inside[0]}?)" if inside else ""


def _check_splits(dataset: Dataset, report: Report) -> None:
    for split, content in dataset.splits.items():
        folder = report.root / split / "hazy"
        found = len(list(folder.glob("*.png")))
        if found != content["pairs"]:
            report.problems.append(f"split '{split}' has {found} hazy pictures instead of {content['pairs']}; "
                                   f"run `reprolib data prepare {dataset.name}`")


def _check_release(dataset: Dataset, files: list[tuple[str, Path, Path]], report: Report) -> None:
    """Counts and names; only a folder's listing is read."""
    hazy, clear = report.counts.get("hazy", 0), report.counts.get("clear", 0)
    if hazy > report.expected:
        report.problems.append(f"{hazy:,} hazy pictures where {report.expected:,} are expected{_release(dataset)}")
    if dataset.scenes and (clear > dataset.scenes or (hazy == report.expected and clear != dataset.scenes)):
        report.problems.append(f"{clear:,} clear pictures where {dataset.scenes:,} are expected")
    ids = [i for s in dataset.splits.values() for i in s.get("ids", ())]
    strange = [p.name for name, p, _ in files if ids and not min(ids) <= number(name) <= max(ids)]
    if strange:
        report.problems.append(f"{len(strange):,} hazy pictures are not of scenes {min(ids)} to {max(ids)}: "
                               f"{', '.join(strange[:3])}")
    if dataset.scenes and report.expected == len(files) and not report.problems:
        uneven = [p.name for p, n in Counter(c for _, _, c in files).items() if n != report.expected // dataset.scenes]
        if uneven:
            report.problems.append(f"{len(uneven)} scenes do not have {report.expected // dataset.scenes} hazy pictures"
                                   f" each: {', '.join(uneven[:3])}")


def _check_files(dataset: Dataset, files: list[tuple[str, Path, Path]], report: Report) -> None:
    """Sizes, and whether pictures decode; one sentence for each bad pair."""
    for _, hazy, clear in track(files, f"checking {dataset.name}"):
        try:
            size = read_size(hazy)
            if dataset.size and size != dataset.size:
                report.problems.append(f"{hazy.name} is {_words(size)} instead of {_words(dataset.size)}")
            other = read_size(clear)
            if other not in (size, (size[0] + 2 * dataset.border, size[1] + 2 * dataset.border)):
                report.problems.append(f"{clear.name} is {_words(other)}, which does not match {hazy.name}, "
                                       f"{_words(size)}")
            read_rgb(hazy)
            read_rgb(clear)
        except UserError as error:
            report.problems.append(str(error))
        else:
            report.opened += 1


def _check_scenes(dataset: Dataset, report: Report, full: bool) -> None:
    """Clear pictures with depth: names, sizes, and whether both decode. Scenes of no split are left aside."""
    report.unit, report.expected = "scenes", dataset.scenes or 0
    wanted = {i for split in dataset.splits.values() for i in range(split["ids"][0], split["ids"][1] + 1)}
    try:
        files = [f for f in find_scenes(report.root) if number(f[0]) in wanted]
    except UserError as error:
        report.problems.append(str(error))
        return
    report.counts["scenes"] = len(files)
    if not files:
        report.problems.append(f"no pictures of scenes {min(wanted)} to {max(wanted)}")
    scenes = SceneFolder(files if full else spread(files, SAMPLE), dataset.border)
    for index, (name, clear, _) in enumerate(track(scenes.files, f"checking {dataset.name}")):
        try:
            if dataset.size and (size := read_size(clear)) != dataset.size:
                report.problems.append(f"{clear.name} is {_words(size)} instead of {_words(dataset.size)}")
            scenes.read(index)
        except UserError as error:
            report.problems.append(f"scene {name}: {error}")
        else:
            report.opened += 1


def _check_domains(dataset: Dataset, report: Report, full: bool) -> None:
    """A dataset of two domains: folders, counts, sizes, and whether pictures decode."""
    report.unit = "pairs" if dataset.source else "pictures"
    expected = {(split, domain): content["pairs" if dataset.source else domain]
                for split, content in dataset.splits.items() if content for domain in ("a" if dataset.source else "ab")}
    report.expected = sum(expected.values())
    files: dict[Path, list[Path]] = {}
    for (split, domain), whole in expected.items():
        folder = domain_folder(dataset, report.root, split, domain)
        try:
            files[folder] = list_images(folder)
        except UserError as error:
            report.problems.append(str(error))
            continue
        found, place = len(files[folder]), folder.relative_to(report.root)
        report.counts[str(place)] = found
        if found > whole or (dataset.embedded and found < whole):
            why = f"; run `reprolib data prepare {dataset.name}`" if dataset.embedded else _release(dataset)
            report.problems.append(f"{place} has {found:,} {report.unit} where {whole:,} are expected{why}")
    report.counts[report.unit] = sum(map(len, files.values()))
    for folder, pictures in files.items() if not report.problems else ():
        _check_domain(dataset, folder, pictures if full else spread(pictures, SAMPLE), report)


def _check_domain(dataset: Dataset, folder: Path, pictures: list[Path], report: Report) -> None:
    """Open pictures of one folder; one sentence for each bad one, or one for all if none is good."""
    images, problems = ImageFolder(pictures, dataset.source), []
    for index, path in enumerate(track(pictures, f"checking {folder.name}")):
        if fault := unusable(images, index):
            problems.append(f"{path.name}: {fault[1]}")
            continue
        if dataset.size and (size := read_size(path)) != dataset.size:
            problems.append(f"{path.name} is {_words(size)} instead of {_words(dataset.size)}")
        try:
            images.read(index)
        except UserError as error:
            problems.append(str(error))
        else:
            report.opened += 1
    if len(problems) >= len(pictures) > 1:
        problems = [f"none of {len(pictures):,} {report.unit} of {folder.name} can be used, such as {problems[0]}"]
    report.problems += problems


def _release(dataset: Dataset) -> str:
    return f": {dataset.wrong_release}" if dataset.wrong_release else ""


def _words(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
