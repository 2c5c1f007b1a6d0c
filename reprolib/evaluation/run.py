"""Measuring a run, whatever its task."""

from __future__ import annotations

from pathlib import Path

from reprolib.evaluation.dehazing import measure_dehazer
from reprolib.evaluation.record import Record
from reprolib.evaluation.translation import measure_translator
from reprolib.files import sweep
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun
from reprolib.runs.run import DehazingRun
from reprolib.training.lock import alone


def measure_run(run: TaskRun, root: Path = Path(), into: Path | None = None) -> list[Record]:
    """Measure a run's checkpoint on the test split of its dataset, with the metrics of its rows' tables.

    Writes records, numbers picture by picture and the pictures, where `reprolib.runs.places` says.

    Args:
        into: project to write into, where it is not `root`.

    Raises:
        UserError: no checkpoint, one of another run (train again), data that are not here, or a run that another
            process trains or measures.
    """
    places = Places(run, root if into is None else into)
    with alone(places.work, run.id):
        sweep(places.pictures)
        for path in (places.records, places.images):
            sweep(path.parent, path.name)
        return measure_dehazer(run, root, into) if isinstance(run, DehazingRun) else measure_translator(run, root, into)
