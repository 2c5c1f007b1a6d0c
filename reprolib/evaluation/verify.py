"""Whether the present code would make a run's checkpoint and its records again, without the whole training."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from reprolib import models
from reprolib.data.sample import choose_pictures
from reprolib.errors import UserError
from reprolib.evaluation.checkpoint import network_of
from reprolib.evaluation.dehazing import measure_pairs
from reprolib.evaluation.record import Record, read_file, write_records
from reprolib.evaluation.run import measure_run
from reprolib.models.weights import read_header
from reprolib.runs.concurrent import side_by_side
from reprolib.runs.digests import measuring_digest
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun
from reprolib.runs.rows import metrics_of
from reprolib.runs.run import DehazingRun
from reprolib.training.run import originate
from reprolib.training.verify import Verified, stamp, train_again


def verify_run(run: TaskRun, steps: int | None = None, *, root: Path = Path(), data_root: Path | None = None,
               accelerator: str = "auto", init: Path | None = None, pictures: int | None = None) -> Verified:
    """Train the first steps again, measure the checkpoint again, and compare the log and the records digit by digit.

    If all is equal, checkpoint and records count as made by the present code: both digests and the date stand in them.
    If anything differs, nothing is written and they stay stale. Records that were never made are made.

    Args:
        pictures: measure so many of the test pictures again, of all scenes in turn, and compare them one by one with
            what is recorded of each; None measures all.

    Raises:
        UserError: as `reprolib.training.verify.train_again` and `reprolib.evaluation.run.measure_run`; a part of the
            pictures of a translator, or of a run that was never measured.
    """
    if pictures is not None and not (isinstance(run, DehazingRun) and Places(
            originate(run, root, data_root, init).run, root).records.is_file()):
        raise UserError("only a dehazer that was measured can be held against some of its pictures",
                        where="--pictures", fix="leave it out")
    verified = train_again(run, steps, root=root, data_root=data_root, accelerator=accelerator, init=init)
    if not verified.same:
        return verified
    places = Places(verified.run, root)
    if pictures is not None:
        again = partial(difference_of, pictures=pictures, root=root)
        ((count, difference),) = side_by_side(again, [verified.run], None, accelerator, always=True)
        verified, found = replace(verified, pictures=count, difference=difference), read_file(places.records)
    else:
        measured = places.records.is_file()
        with tempfile.TemporaryDirectory() as folder:
            whole = partial(measure_run, root=root, into=Path(folder) if measured else root)
            (found,) = side_by_side(whole, [verified.run], None, accelerator, always=True)
        verified = replace(verified, difference=compare(read_file(places.records), found))
    if verified.same:
        stamp(verified, root)
        made_by = read_header(places.weights)
        write_records(places.records, [replace(
            r, code_hash=measuring_digest(verified.run, made_by.code), training_code=made_by.code,
            verified=tuple(made_by.verified)) for r in found])
    return verified


def compare(recorded: Sequence[Record], found: Sequence[Record]) -> str:
    """The first number that differs from the recorded one, in words; empty if none does."""
    was, now = ({(r.metric, r.protocol, r.checkpoint): r.value for r in records} for records in (recorded, found))
    for key in dict.fromkeys((*was, *now)):
        if was.get(key) != now.get(key):
            metric, protocol, checkpoint = key
            return f"{metric} ({protocol}, checkpoint: {checkpoint}) is {now.get(key)}, recorded is {was.get(key)}"
    return ""


def difference_of(run: DehazingRun, pictures: int, root: Path = Path()) -> tuple[int, str]:
    """How many of the test pictures were measured again, and the first number that is not the recorded one."""
    places, chosen = Places(run, root), metrics_of(run)
    recorded = {row["image"]: row for row in csv.DictReader(places.images.read_text(encoding="utf-8").splitlines())}
    pairs = choose_pictures(run.measured_on, pictures)
    for found in measure_pairs(network_of(run, root), models.get(run.system).multiple, pairs, chosen, name=run.id):
        row = recorded.get(found.image, {})
        for name, now in found.restored.items():
            if row.get(name) != f"{now:.6f}":
                return len(pairs), f"{name} of {found.image} is {now:.6f}, recorded is {row.get(name)}"
    return len(pairs), ""
