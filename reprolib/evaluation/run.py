"""Measuring a run, whatever its task."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from reprolib import models
from reprolib.data.content import check_label_maps
from reprolib.data.identity import lacking, why_absent
from reprolib.data.paired import open_split
from reprolib.data.registry import get_dataset
from reprolib.data.unpaired import open_domains
from reprolib.errors import UserError
from reprolib.evaluation.dehazing import measure_dehazer
from reprolib.evaluation.measured import made_from, remember, standing
from reprolib.evaluation.record import Record, read_file
from reprolib.evaluation.seen import seen_in_training, told
from reprolib.files import sweep
from reprolib.models.system import Direction
from reprolib.progress import say
from reprolib.runs.places import Places, records_folder, results_folder
from reprolib.runs.profile import Profile, TaskRun
from reprolib.runs.run import DehazingRun
from reprolib.training.lock import alone


def measure_run(run: TaskRun, root: Path = Path(), into: Path | None = None,
                direction: Direction = "ab", again: bool = True) -> list[Record]:
    """Measure a run's checkpoint on the test split of its dataset, with the metrics of its rows' tables.

    Writes records, numbers picture by picture and the pictures, where `reprolib.runs.places` says. Records of real
    pictures that are not on this machine stand, which is said.

    Args:
        into: project to write into, where it is not `root`.
        again: measure what was measured already; otherwise records stand that would come out the same.

    Raises:
        UserError: no checkpoint, one of another run (train again), data that are not here, a translator that has no
            such direction, or a run that another process trains or measures; test pictures that were trained on, or
            label maps that are none.
    """
    places = Places(run, root if into is None else into)
    with alone(places.work, run.id):
        if direction == "ab" and lacking([run.measured_on]) and places.records.is_file():
            say(f"{run.id}: {why_absent(run.measured_on)}; its records stand")
            places.pictures.parent.mkdir(parents=True, exist_ok=True)  # the stage's output, even with nothing in it
            return read_file(places.records)
        tabled = direction == "ab" and into is None
        if tabled and not again and (records := standing(run, root)) is not None:
            say(f"{run.id}: measured already; its records stand")
            return records
        for folder in (places.pictures, places.reverse / "pictures"):
            sweep(folder)
        for path in (places.records, places.images, places.reverse / "records.json"):
            sweep(path.parent, path.name)
        _refuse_what_says_nothing(run, root, direction)
        source = ""
        if tabled:
            with suppress(OSError, UserError):  # of training data, say, that are damaged by now: it costs time only
                source = made_from(run, root)
            for path in places.pictures.glob("*.png"):  # of pictures that may no longer be in the test set
                path.unlink()
        records = _measure(run, root, into, direction)
        if source:
            remember(run, source, root)
        return records


def _measure(run: TaskRun, root: Path, into: Path | None, direction: Direction) -> list[Record]:
    if isinstance(run, DehazingRun):
        assert direction == "ab", "a dehazer has one direction"
        return measure_dehazer(run, root, into)
    from reprolib.evaluation.translation import measure_translator  # a dehazer need not wait for it to load

    return measure_translator(run, root, into, direction)


def _refuse_what_says_nothing(run: TaskRun, root: Path, direction: Direction) -> None:
    """Stop before pictures are measured that were trained on, or scored by label maps that are none.

    Raises:
        UserError: as it says.
    """
    if direction == "ab" and get_dataset(run.measured_on).label_maps:
        check_label_maps(run.measured_on, open_domains(run.measured_on, "test"))
    if not models.get(run.system).trained:
        return
    opener = open_split if isinstance(run, DehazingRun) else open_domains
    if found := seen_in_training(Places(run, root).weights, run.measured_on, opener(run.measured_on, "test")):
        fix = "measure it on other pictures" if run.weights_of else "train it again, which leaves them out"
        raise UserError(f"'{run.trained_as}' was {told(found)}", where=run.measured_on, fix=fix)


def forget(profile: Profile, system: str, root: Path = Path()) -> None:
    """Remove records, numbers picture by picture and pictures of runs of a system that the profile no longer has."""
    known = {run.id for run in profile.of_system(system)}
    pictures = root / "outputs" / profile.name / system
    for path in pictures.iterdir() if pictures.is_dir() else ():
        if path.is_dir() and path.name not in known:
            shutil.rmtree(path)
    for folder in (records_folder(profile.name, root) / system, results_folder(profile.name, root) / "images" / system):
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_file() and path.stem not in known:
                path.unlink()
