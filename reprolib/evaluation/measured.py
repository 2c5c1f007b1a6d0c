"""Measurements that would come out the same are not made again.

A stage of the pipeline measures all runs of a system, and 500 pictures take ten minutes of one thread: whoever adds a
run, or goes on after a kill, waits for what is new alone. With the state of a run (`Places.work`) lies a digest of all
that its numbers depend on and of all that was written; while both hold, its records stand.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from reprolib.data.identity import identify
from reprolib.errors import UserError
from reprolib.evaluation.networks import device
from reprolib.evaluation.record import Record, read_file
from reprolib.files import write_text
from reprolib.runs.environment import environment
from reprolib.runs.inputs import measured_from
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun

STAMP = "measured.json"


def standing(run: TaskRun, root: Path = Path()) -> list[Record] | None:
    """The records of a run from A to B, if measuring it would write the same again; None if that is not known."""
    places = Places(run, root)
    with suppress(OSError, ValueError, UserError):  # never measured, or a file that is gone or damaged
        if json.loads((places.work / STAMP).read_text(encoding="utf-8")) == [made_from(run, root), _made(run, root)]:
            return read_file(places.records)
    return None


def remember(run: TaskRun, source: str, root: Path = Path()) -> None:
    """Note what the records of a run were made from, once all is written; where that cannot be, it costs time only.

    Args:
        source: `made_from` before measuring, so that what changed meanwhile is noticed next time.
    """
    with suppress(OSError, UserError):
        write_text(Places(run, root).work / STAMP, json.dumps([source, _made(run, root)]) + "\n")


def made_from(run: TaskRun, root: Path = Path()) -> str:
    """Digest of all that the numbers of a run depend on, as it is now."""
    places = Places(run, root)
    segmenters = (root / "checkpoints" / run.profile / "segmenter").rglob("*.safetensors")
    weights = [path for path in (*places.checkpoint.glob("*.safetensors"), *segmenters) if path.is_file()]
    told = {"run": run.model_dump(mode="json"), "reads": measured_from(run, root),
            "weights": identify((str(path), path) for path in weights).digest, "on": environment(str(device()))}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _made(run: TaskRun, root: Path) -> str:
    """Digest of what a measurement wrote."""
    places = Places(run, root)
    made = [places.records, *(path for path in (places.images, *places.pictures.iterdir()) if path.is_file())]
    return identify((path.name, path) for path in made).digest
