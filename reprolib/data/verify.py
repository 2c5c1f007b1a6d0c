"""Checking that a folder holds the dataset it is said to hold, and remembering where it is."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from reprolib.data.content import NO_MAP, check_label_maps, is_hazier, second_names, spread
from reprolib.data.copies import Copy, copies, twins
from reprolib.data.images import list_images, read_rgb, read_size
from reprolib.data.labels import share_of_no_colour
from reprolib.data.paired import PairedFolder, cut_border, find_pairs, find_pictures, number, open_split
from reprolib.data.registry import ALL, REGISTERED, Dataset, get_dataset, locate, registered
from reprolib.data.scenes import SceneFolder, find_scenes
from reprolib.data.unpaired import SIDES, Domains, ImageFolder, domain_folder, open_domains, unusable
from reprolib.errors import UserError
from reprolib.files import rewriting, write_text
from reprolib.progress import track

SHOWN = 20
"""Faults that are printed one by one."""

SAMPLE = 20
"""Pairs whose pictures are opened unless all are asked for."""

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
    """Pairs (or pictures) that were decoded."""
    unit: str = "pair"
    """What is counted: 'pair', 'picture' where there are none, or 'scene' where haze is still to be drawn."""
    samples: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Splits or folders of which only a part is here: how many, and of how many."""

    @property
    def complete(self) -> bool:
        """Nothing is wrong and nothing is missing."""
        return not self.problems and not self.samples and self.found == self.expected

    @property
    def found(self) -> int:
        """Pairs (or pictures) that are here."""
        return self.counts.get(f"{self.unit}s", 0)

    def __str__(self) -> str:
        if self.problems:
            rest = len(self.problems) - SHOWN
            shown = self.problems[:SHOWN] + [f"and {count(rest, 'fault')} more"] * (rest > 0)
            return "\n  - ".join([f"{self.name} in {self.root}: something is wrong", *shown])
        found = f"complete: {count(self.expected, self.unit)}" if self.complete else self.sample
        return f"{self.name} in {self.root}: {found}, {self.opened:,} of them decoded without fault"

    @property
    def sample(self) -> str:
        """How much of the dataset is here: 'a sample: 53 of 55 pairs (test: 3 of 5)'."""
        parts = ", ".join(f"{place}: {here:,} of {whole:,}" for place, (here, whole) in self.samples.items())
        return f"a sample: {self.found:,} of {count(self.expected, self.unit)}" + (f" ({parts})" if parts else "")


def verify(name: str, root: Path | None = None, full: bool = False) -> Report:
    """Compare a folder with the manifest of a dataset: layout, counts, names, pairing, sizes, whether files decode, and
    whether pictures show what they are said to be (hazy under haze, label maps painted in Cityscapes' colours).

    Args:
        root: folder to check instead of where the dataset is registered.
        full: decode every picture and not only a few, and look for copies within and across splits.

    Raises:
        UserError: unknown dataset, or no such folder. What is wrong inside the folder is reported, not raised.
    """
    dataset = get_dataset(name)
    if dataset.parts:
        raise UserError(f"'{name}' is a mixture of {', '.join(dataset.parts)}", fix="check each of them")
    if dataset.own:
        return _verify_own(dataset, full)
    report = Report(name, locate(name, root))
    if dataset.task == "translation":
        _check_domains(dataset, report, full)
        if full and not report.problems:
            _check_copies(dataset, report)
        return report
    if dataset.kind == "scenes":
        _check_scenes(dataset, report, full)
        return report
    report.expected = dataset.pairs or sum(s["pairs"] for s in dataset.splits.values())
    divided = [report.root / split for split in dataset.splits]
    if not dataset.embedded:
        divided = [folder for folder in divided if folder.is_dir()] or [report.root]
    files: list[tuple[str, Path, Path]] = []
    for folder in divided:
        try:
            hazy, clear = find_pictures(folder)
            report.counts["hazy"] = report.counts.get("hazy", 0) + len(hazy)
            report.counts["clear"] = report.counts.get("clear", 0) + len(clear)
            files += (pairs := find_pairs(folder))
            if folder != report.root and not dataset.embedded:
                _check_count(folder.name, len(pairs), dataset, report)
        except UserError as error:
            report.problems.append(f"{error}{_nearby(folder, name)}")
    report.counts["pairs"] = len(files)
    _check_names([hazy for _, hazy, _ in files], report)
    if dataset.embedded:
        _check_splits(dataset, report)
    else:
        _check_release(dataset, files, report)
    if not report.problems:  # of a wrong release, single files tell nothing more
        _check_files(dataset, files if full else spread(files, SAMPLE), report)
    if full and not report.problems:
        _check_copies(dataset, report)
    return report


def _verify_own(dataset: Dataset, full: bool) -> Report:
    """Somebody's own pictures: no manifest says how many there must be, but pairs must be pairs and files pictures."""
    report = Report(dataset.title, next(iter(dataset.own.values())))
    try:
        opened = open_split(dataset.name, ALL) if dataset.task == "dehazing" else open_domains(dataset.name, ALL)
    except UserError as error:
        report.problems.append(str(error))
        return report
    if isinstance(opened, PairedFolder):
        report.expected = report.counts["pairs"] = len(opened)
        _check_names([hazy for _, hazy, _ in opened.files], report)
        _check_files(dataset, opened.files if full else spread(opened.files, SAMPLE), report)
    else:
        report.unit = "picture"
        report.expected = report.counts["pictures"] = len(opened.a) + len(opened.b)
        for domain, images in (("a", opened.a), ("b", opened.b)):
            _check_names(images.files, report)
            _check_domain(dataset, dataset.own[domain], images.files if full else spread(images.files, SAMPLE), report)
    if full and not report.problems:
        _tell_copies(twins(opened), "there twice", report)
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
        shown = "; ".join(report.problems[:3] + ["..."] * (len(report.problems) > 3))
        raise UserError(f"this is not {dataset.title}: {shown}", where=path,
                        fix=f"expected is {dataset.hint}")
    if not report.complete:
        raise UserError(report.sample, where=path,
                        fix=f"register the whole dataset, or use the sample with --root {shlex.quote(str(path))}")
    with rewriting(REGISTERED):
        places = {**registered(), name: str(Path(path).resolve())}
        write_text(REGISTERED, json.dumps(places, indent=1, sort_keys=True) + "\n")
    return report


def count(n: int, unit: str) -> str:
    """'1 pair', '2 pairs', 'no pairs'."""
    return f"{f'{n:,}' if n else 'no'} {unit}{'' if n == 1 else 's'}"


def _nearby(folder: Path, name: str) -> str:
    """Advice if the right folder is one level down: SOTS holds indoor/ and outdoor/."""
    inside = sorted((p.parent for p in folder.glob("*/hazy") if p.is_dir()), key=lambda p: (p.name not in name, p.name))
    return f" (did you mean {inside[0]}?)" if inside else ""


def _check_splits(dataset: Dataset, report: Report) -> None:
    for split, content in dataset.splits.items():
        folder = report.root / split / "hazy"
        found = len(list(folder.glob("*.png")))
        if found != content["pairs"]:
            report.problems.append(f"split '{split}' has {count(found, 'hazy picture')} instead of {content['pairs']}; "
                                   f"run `reprolib data prepare {dataset.name}`")


def _check_release(dataset: Dataset, files: list[tuple[str, Path, Path]], report: Report) -> None:
    """Counts and names; only a folder's listing is read."""
    hazy, clear = report.counts.get("hazy", 0), report.counts.get("clear", 0)
    if hazy > report.expected:
        report.problems.append(f"{count(hazy, 'hazy picture')} where {report.expected:,} are expected"
                               f"{_release(dataset)}")
    if dataset.scenes and (clear > dataset.scenes or (hazy == report.expected and clear != dataset.scenes)):
        report.problems.append(f"{count(clear, 'clear picture')} where {dataset.scenes:,} are expected")
    ids = [i for s in dataset.splits.values() for i in s.get("ids", ())]
    strange = [p.name for name, p, _ in files if ids and not min(ids) <= number(name) <= max(ids)]
    if strange:
        be = "is" if len(strange) == 1 else "are"
        report.problems.append(f"{count(len(strange), 'hazy picture')} {be} not of scenes {min(ids)} to {max(ids)}: "
                               f"{', '.join(strange[:3])}")
    if dataset.scenes and report.expected == len(files) and not report.problems:
        uneven = [p.name for p, n in Counter(c for _, _, c in files).items() if n != report.expected // dataset.scenes]
        if uneven:
            report.problems.append(f"{count(len(uneven), 'scene')} without "
                                   f"{count(report.expected // dataset.scenes, 'hazy picture')} each: "
                                   f"{', '.join(uneven[:3])}")
    numbers = [number(name) for name, _, _ in files]
    for split, content in dataset.splits.items():
        if {"ids", "pairs"} <= set(content) and len(files) < report.expected:
            here = sum(content["ids"][0] <= n <= content["ids"][1] for n in numbers)
            if here < content["pairs"]:
                report.samples[split] = here, content["pairs"]


def _check_count(split: str, here: int, dataset: Dataset, report: Report) -> None:
    """Pairs in the folder of a split; validation pictures may have been taken out of those to train on."""
    whole = dataset.splits[split].get("pairs", here)
    if here > whole:
        report.problems.append(f"{split} has {count(here, 'pair')} where {whole:,} are expected{_release(dataset)}")
    elif here < whole:
        report.samples[split] = here, whole


def _check_names(files: Sequence[Path], report: Report) -> None:
    """Second copies by their names: they would count twice."""
    report.problems += [f"{second.name} is named like a second copy of {first.name}: take one of them away"
                        for second, first in second_names(files)]


def _check_copies(dataset: Dataset, report: Report) -> None:
    """Pictures that are there twice: within a split by their bytes, across splits by their looks too."""
    opened: dict[str, PairedFolder | Domains] = {}
    opener = open_domains if dataset.task == "translation" else open_split
    for split, content in dataset.splits.items():
        if content in [dataset.splits[earlier] for earlier in opened if content.get("ids")]:
            continue  # another name of that split
        with suppress(UserError):  # not here, as far as this is a sample
            opened[split] = opener(dataset.name, split, report.root)
    for split, pictures in opened.items():
        _tell_copies(twins(pictures), f"twice in '{split}'", report)
    for one, other in combinations(opened, 2):
        _tell_copies(copies(opened[one], opened[other]), f"of '{one}' in '{other}' too", report)


def _tell_copies(found: list[Copy], where: str, report: Report) -> None:
    if found:
        shown = ", ".join([str(copy) for copy in found[:3]] + ["..."] * (len(found) > 3))
        report.problems.append(f"{count(len(found), 'picture')} {where}: {shown}")


def _check_files(dataset: Dataset, files: list[tuple[str, Path, Path]], report: Report) -> None:
    """Sizes, whether pictures decode, and whether they are a hazy and a clear one; one sentence for each bad pair."""
    faults: list[str] = []
    same: list[str] = []
    bad = swapped = 0
    for _, hazy, clear in track(files, f"checking {report.name}"):
        before = len(faults)
        try:
            size = read_size(hazy)
            if dataset.size and size != dataset.size:
                faults.append(f"{hazy.name} is {_words(size)} instead of {_words(dataset.size)}")
            other = read_size(clear)
            if other not in (size, (size[0] + 2 * dataset.border, size[1] + 2 * dataset.border)):
                faults.append(f"{clear.name} is {_words(other)}, which does not match {hazy.name}, {_words(size)}")
            under_haze, truth = read_rgb(hazy), read_rgb(clear)
        except UserError as error:
            faults.append(str(error))
            bad += 1
            continue
        report.opened += 1
        bad += len(faults) > before
        if np.array_equal(under_haze, cut_border(truth, under_haze.shape[:2], dataset.border)):
            same.append(f"{hazy.name} and {clear.name}")
        swapped += is_hazier(truth, under_haze)
    if bad == len(files) > 1:
        faults = [f"none of {count(len(files), 'pair')} can be used, such as {faults[0]}"]
    report.problems += faults
    if same:
        pairs = f"{count(len(same), 'pair')} of two equal pictures, no haze between them"
        report.problems.append(f"{pairs}: {', '.join(same[:3])}")
    if swapped > report.opened / 2:
        report.problems.append(f"hazy and clear look swapped: in {swapped:,} of {count(report.opened, 'pair')} the "
                               "clear picture is the brighter and flatter one")


def _check_scenes(dataset: Dataset, report: Report, full: bool) -> None:
    """Clear pictures with depth: names, sizes, and whether both decode. Scenes of no split are left aside."""
    report.unit, report.expected = "scene", dataset.scenes or sum(split["pairs"] for split in dataset.splits.values())
    try:
        if dataset.embedded:
            files = [f for split in dataset.splits for f in find_scenes(report.root / split)]
        else:
            wanted = {i for split in dataset.splits.values() for i in range(split["ids"][0], split["ids"][1] + 1)}
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
    report.unit = "pair" if dataset.source else "picture"
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
            report.problems.append(f"{place} has {count(found, report.unit)} where {whole:,} are expected{why}")
        elif found < whole:
            report.samples[str(place)] = found, whole
        _check_names(files[folder], report)
    report.counts[f"{report.unit}s"] = sum(map(len, files.values()))
    for folder, pictures in files.items() if not report.problems else ():
        _check_domain(dataset, folder, pictures if full else spread(pictures, SAMPLE), report)


def _check_domain(dataset: Dataset, folder: Path, pictures: list[Path], report: Report) -> None:
    """Open pictures of one folder; one sentence for each bad one, or one for all if none is good."""
    images, problems = ImageFolder(pictures, dataset.source), []
    for index, path in enumerate(track(pictures, f"checking {report.name}")):
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
        problems = [f"none of {len(pictures):,} {report.unit}s of {folder.name} can be used, such as {problems[0]}"]
    if dataset.source and not problems:
        problems = _strange_maps(dataset, pictures)
    report.problems += problems


def _strange_maps(dataset: Dataset, files: list[Path]) -> list[str]:
    """Label maps that are none: all of them in one sentence, or each by its name."""
    assert dataset.source is not None
    maps, photos = (ImageFolder(files, half) for half in (dataset.source, SIDES[1 - SIDES.index(dataset.source)]))
    try:
        check_label_maps(dataset.name, Domains(maps, photos, aligned=True))
    except UserError as error:
        return [str(error)]
    shares = [(path.name, share_of_no_colour(maps.read(i))) for i, path in enumerate(files)]
    return [f"{share:.0%} of the pixels of {name} have no colour of Cityscapes' palette"
            for name, share in shares if share > 2 * NO_MAP]


def _release(dataset: Dataset) -> str:
    return f": {dataset.wrong_release}" if dataset.wrong_release else ""


def _words(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
