"""One function a kind of fault: what is done to a command, and whether the same command then gives the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch
from PIL import Image
from process import Operations, Process, start
from project import COMMANDS, Command, half_written, left_over, make, results, tiny

from reprolib import runtime
from reprolib.data import photos, registry
from reprolib.runs.digests import measuring_digest, measuring_entries, training_entries
from reprolib.runs.profile import read_profile

FOUR_PHOTOS = {"train": ["1", "7"], "val": ["9"], "test": ["0"]}
DAY = 24 * 60 * 60


@dataclass
class Figures:
    """Of one fault and one command: how many moments were tried, and what was lost at some of them."""

    fault: str
    command: str
    tried: int = 0
    lost: list[str] = field(default_factory=list)

    @property
    def survived(self) -> int:
        return self.tried - len(self.lost)


class Range:
    """Where the faults happen: a folder, and what each command gives if nothing happens.

    Args:
        url: where the archive of the dataset 'tiny' lies.
    """

    def __init__(self, folder: Path, seed: int, url: str):
        self.folder, self.random, self.number = folder, Random(seed), 0
        photos.split = FOUR_PHOTOS.__getitem__  # instead of a hundred
        known = {**registry.datasets(), "tiny": tiny(url)}
        registry.datasets = lambda: known
        self.begun: dict[str, Path] = {}
        self.truth: dict[str, dict[str, str]] = {}
        self.seconds: dict[str, float] = {}
        self.operations: dict[str, int] = {}
        make(folder / "new")
        _load(folder / "new")
        for command in COMMANDS.values():
            self._learn(command)

    def _learn(self, command: Command) -> None:
        before = self.folder / ("new" if command.before is None else f"after {command.before}")
        place, counted = self.copy(before), Operations()
        began = time.monotonic()
        process = start(command.words, place, self.folder / "said", counted.watch)
        if (code := process.wait()) != 0:
            raise SystemExit(f"`reprolib {command.words}` fails by itself: exit {code}, {process.said}")
        self.seconds[command.name], self.operations[command.name] = time.monotonic() - began, counted.done
        self.begun[command.name], self.truth[command.name] = before, results(place)
        place.rename(self.folder / f"after {command.name}")

    def copy(self, of: Path, to: Path | None = None) -> Path:
        """A project to do something to."""
        self.number += 1
        place = self.folder / str(self.number) if to is None else to
        return Path(shutil.copytree(of, place, symlinks=True, dirs_exist_ok=True))

    def begin(self, command: Command, place: Path, first: Callable[[], None] | None = None) -> Process:
        return start(command.words, place, self.folder / "said", first)

    def again(self, command: Command, place: Path, first: Callable[[], None] | None = None) -> str:
        """Run the command once more; what is not as it would be without any fault, in words, or ''."""
        halves = half_written(place)
        process = self.begin(command, place, first)
        code, found = process.wait(), results(place)
        if code != 0:
            return f"the same command again: exit {code}, {process.said[-300:]!r}"
        truth = self.truth[command.name]
        differ = sorted(name for name in truth.keys() | found.keys() if truth.get(name) != found.get(name))
        if differ:
            return f"differs: {', '.join(differ[:4])}"
        if halves:
            return f"half-written before: {', '.join(halves)}"
        stayed = left_over(place)
        return f"stays: {', '.join(stayed[:4])}" if stayed else ""


def killed(range_: Range, command: Command, moments: int) -> Figures:
    """SIGKILL, half of the times at a moment of the clock, half just before an operation on a file."""
    figures = Figures("SIGKILL", command.name)
    while figures.tried < moments:
        place, with_children = range_.copy(range_.begun[command.name]), range_.random.random() < 0.5
        whom = "with its children" if with_children else "alone"
        if figures.tried % 2:
            at = range_.random.randint(1, range_.operations[command.name])
            told = f"before operation {at}, {whom}"
            process = range_.begin(command, place, Operations(at, with_children).watch)
            code = process.wait()
        else:
            share = range_.random.random()
            told = f"after {share:.2f} of its time, {whom}"
            process = range_.begin(command, place)
            time.sleep(share * range_.seconds[command.name])
            process.kill(with_children)
            code = process.wait()
        if code == -9:  # otherwise it had ended before
            figures.tried += 1
            _note(figures, told, range_.again(command, place))
        shutil.rmtree(place, ignore_errors=True)
    return figures


def full(range_: Range, command: Command, moments: int) -> Figures:
    """A file system that has no room left from some moment on, and then has."""
    figures = Figures("disk full", command.name)
    before, after = (_used(range_.folder / place) for place in
                     (range_.begun[command.name].name, f"after {command.name}"))
    while figures.tried < moments:
        room = range_.random.randint(before, after)
        with tmpfs(range_.folder / "disk", 2 * after) as place:
            range_.copy(range_.begun[command.name], place)
            _remount(place, f"size={room}k")
            process = range_.begin(command, place)
            code = process.wait()
            figures.tried += 1
            told = f"with {room - before} KiB free"
            if code not in (0, 2) or code == 2 and not _one_line(process.said):
                _note(figures, told, f"exit {code}, {process.said[-300:]!r}")
                continue
            _remount(place, f"size={4 * after}k")
            _note(figures, told, range_.again(command, place))
    return figures


def twice(range_: Range, command: Command, moments: int) -> Figures:
    """The same command a second time while the first one runs."""
    figures = Figures("two at once", command.name)
    for _ in range(moments):
        place = range_.copy(range_.begun[command.name])
        first = range_.begin(command, place)
        share = range_.random.random() * 0.8
        time.sleep(share * range_.seconds[command.name])
        second = start(command.words, place, range_.folder / "said too")
        codes = first.wait(), second.wait()
        figures.tried += 1
        told = f"after {share:.2f} of its time"
        refused = [process for process, code in zip((first, second), codes, strict=True) if code != 0]
        if 0 not in codes or max(codes) not in (0, 2) or not all(_one_line(process.said) for process in refused):
            _note(figures, told, f"exits {codes}, {first.said[-200:]!r}, {second.said[-200:]!r}")
        else:
            _note(figures, told, range_.again(command, place))
        shutil.rmtree(place, ignore_errors=True)
    return figures


def read_only(range_: Range, command: Command, moments: int) -> Figures:
    """A file system that cannot be written: from the beginning, or from after a kill on."""
    figures = Figures("read-only", command.name)
    for number in range(moments):
        with tmpfs(range_.folder / "disk", 64 * 1024) as place:
            range_.copy(range_.begun[command.name], place)
            if number:
                at = range_.random.randint(1, range_.operations[command.name])
                range_.begin(command, place, Operations(at, with_children=True).watch).wait()
            before = results(place)
            _remount(place, "ro")
            process = range_.begin(command, place)
            code = process.wait()
            figures.tried += 1
            unchanged, said = results(place) == before, process.said
            _remount(place, "rw")
            finished = before == range_.truth[command.name]
            if not unchanged or code not in ((0, 2) if finished else (2,)) or code == 2 and not _one_line(said):
                _note(figures, f"trial {number}", f"exit {code}, {said[-300:]!r}")
            else:
                _note(figures, f"trial {number}", range_.again(command, place))
    return figures


def set_back(range_: Range, command: Command, moments: int) -> Figures:
    """Killed; then the clock is set back by a day, so that every file is dated in the future."""
    figures = Figures("clock set back", command.name)
    while figures.tried < moments:
        place = range_.copy(range_.begun[command.name])
        at = range_.random.randint(1, range_.operations[command.name])
        if range_.begin(command, place, Operations(at, with_children=True).watch).wait() == -9:
            figures.tried += 1
            for path in (place, *place.rglob("*")):
                entry = path.stat(follow_symlinks=False)
                os.utime(path, (entry.st_atime + DAY, entry.st_mtime + DAY), follow_symlinks=False)
            _note(figures, f"before operation {at}", range_.again(command, place, _yesterday))
        shutil.rmtree(place, ignore_errors=True)
    return figures


def _yesterday() -> None:
    now = time.time
    time.time = lambda: now() - DAY


def _load(project: Path) -> None:
    """Import what commands need, so that each starts within milliseconds."""
    Image.init()
    torch.set_num_threads(1)
    for run in read_profile("mini", project).runs.values():
        runtime.preload(("reprolib.training.run", "reprolib.evaluation.run", *training_entries(run),
                         *measuring_entries(run)))
        measuring_digest(run)  # the import graph is kept


def _note(figures: Figures, moment: str, fault: str) -> None:
    if fault:
        figures.lost.append(f"{moment}: {fault}")


def _one_line(said: str) -> bool:
    return "Traceback" not in said and sum(line.startswith("reprolib: ") for line in said.splitlines()) == 1


def _used(folder: Path) -> int:
    """KiB that a project takes in a tmpfs: whole pages for files, and one for whatever is open."""
    return sum(4 * -(-path.lstat().st_size // 4096) for path in folder.rglob("*") if path.is_file()) + 4


@contextmanager
def tmpfs(folder: Path, size: int) -> Iterator[Path]:
    """A file system in memory of so many KiB, gone at the end."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def can_mount(folder: Path) -> bool:
    """Whether this process may mount file systems: as root, or in a namespace of its own."""
    try:
        with tmpfs(folder, 64):
            return True
    except (subprocess.CalledProcessError, OSError):
        return False


def _remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)
