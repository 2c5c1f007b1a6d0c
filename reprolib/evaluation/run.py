"""Measuring a run, whatever its task."""

from __future__ import annotations

from pathlib import Path

from reprolib.evaluation.dehazing import measure_dehazer
from reprolib.evaluation.record import Record
from reprolib.evaluation.translation import measure_translator
from reprolib.files import sweep
from reprolib.models.system import Direction
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun
from reprolib.runs.run import DehazingRun
from reprolib.training.lock import alone


def measure_run(run: TaskRun, root: Path = Path(), into: Path | None = None,
                direction: Direction = "ab") -> list[Record]:
    """Measure a run's checkpoint on the test split of its dataset, with the metrics of its rows' tables.

    Writes records, numbers picture by picture and the pictures, where `reprolib.runs.places` says.

    Args:
        into: project to write into, where it is not `root`.

    Raises:
        UserError: no checkpoint, one of another run (train again), data that are not here, a translator that has no
            such direction, or a run that another process trains or measures.
    """
    places = Places(run, root if into is None else into)
    with alone(places.work, run.id):
        for folder in (places.pictures, places.reverse / "pictures"):
            sweep(folder)
        for path in (places.records, places.images, places.reverse / "records.json"):
            sweep(path.parent, path.name)
        if isinstance(run, DehazingRun):
            assert direction == "ab", "a dehazer has one direction"
            return measure_dehazer(run, root, into)
        return measure_translator(run, root, into, direction)
