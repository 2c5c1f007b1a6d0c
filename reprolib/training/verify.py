"""Showing that the present code trains a run as the code that made its checkpoint did.

A long training need not be repeated because a module was rearranged: its first steps are trained again, and if their
log is the recorded one in every digit, the checkpoint may count as made by the present code; its header then keeps both
digests. What only later steps would do (a decayed rate, a term that joins late) is not covered; the second is said.
"""

from __future__ import annotations

import csv
import io
import math
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import cast

import torch

from reprolib.errors import UserError
from reprolib.models.weights import Header, read_header, read_state, save_weights
from reprolib.runs.concurrent import side_by_side
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun
from reprolib.runs.run import DehazingRun
from reprolib.training import checkpoint
from reprolib.training.checkpoint import Origin, run_of
from reprolib.training.fabric import open_fabric
from reprolib.training.loop import LOG_ROWS, advance, log_csv
from reprolib.training.run import open_task, originate
from reprolib.training.start import starting_weights

STEPS = 100
"""Steps that are trained again if nothing else is asked for; at least so many that two rows of the log are compared."""

Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Verified:
    """What training the first steps again has shown."""

    run: TaskRun
    steps: int
    before: str
    """Digest of the code that the checkpoint counted as made by."""
    now: str
    """Digest of the present code."""
    difference: str
    """The first number that differs, in words; empty if none does, and then the checkpoint counts as `now`'s."""
    pictures: int | None = None
    """How many test pictures were measured again; None where all were, and the means compared."""

    @property
    def same(self) -> bool:
        return not self.difference

    @property
    def unreached(self) -> str:
        """What joins the training after these steps, in words; empty if nothing does."""
        contrast = self.run.contrast if isinstance(self.run, DehazingRun) else None
        joins = math.ceil(contrast.start * self.run.steps) if contrast else 0
        return f"the contrastive term, which joins after step {joins:,}" if joins >= self.steps else ""

    def __str__(self) -> str:
        if self.difference:
            return f"{self.run.id}: not the same: {self.difference}"
        counts = "made by the present code already" if self.before == self.now else \
            f"made by code {self.before}, counts as made by {self.now} now"
        measured = "the records" if self.pictures is None else f"the numbers of {self.pictures} test pictures"
        if self.unreached:
            counts += f"; not repeated: {self.unreached}"
        return f"{self.run.id}: the log of {self.steps} steps and {measured} are the same in every digit; {counts}"


def train_again(run: TaskRun, steps: int | None = None, *, root: Path = Path(), data_root: Path | None = None,
               accelerator: str = "auto", init: Path | None = None) -> Verified:
    """Train the first steps of a run again, elsewhere, and compare their log with the recorded one.

    A run of the pipeline is trained in a process of one thread, as the pipeline does: numbers depend on it.

    Args:
        steps: how many; None takes `STEPS` or more.
        data_root, init: as the run was trained.

    Raises:
        UserError: no checkpoint of this run, or one that was made of other pictures; or steps that are none.
    """
    origin = originate(run, root, data_root, init)
    places = Places(origin.run, root)
    header = _header(places, origin)
    every = max(1, run.steps // LOG_ROWS)
    count = min(run.steps, max(STEPS, every + 1) if steps is None else steps)
    if count < 1:
        raise UserError(f"{count} steps compare nothing", where="--steps", fix="give 1 or more")
    if origin.run.extends:
        raise UserError("the first steps of this run belong to another", where=places.work, fix="verify that one")
    work = partial(first_steps, steps=count, data_root=data_root, accelerator=accelerator,
                   init=init or starting_weights(run, root))
    (found,) = side_by_side(work, [origin], None, accelerator, always=origin.run.own)
    difference = compare(_rows((places.checkpoint / "log.csv").read_text(encoding="utf-8")), _rows(found), count)
    return Verified(cast(TaskRun, origin.run), count, header.code, origin.code, difference)


def first_steps(origin: Origin, steps: int, data_root: Path | None = None, accelerator: str = "auto",
                init: Path | None = None) -> str:
    """The log of the first steps of a run, trained in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        fabric = open_fabric(origin.run, accelerator)
        torch.manual_seed(origin.run.seed)
        task, batches = open_task(origin, fabric, data_root, init)
        progress = advance(task, batches, origin, fabric, Places(origin.run, Path(folder)), stop=steps)
    return log_csv(progress.log)


def compare(recorded: Rows, found: Rows, steps: int) -> str:
    """The first number of the first steps that differs from the recorded one, in words; empty if none does.

    A validation after the last step compared may stand in a row before it; only those that were made are compared.
    """
    wanted = [row for row in recorded if int(row["step"]) <= steps]
    if [row["step"] for row in wanted] != [row["step"] for row in found]:
        return f"{len(found)} rows up to step {steps}, recorded are {len(wanted)}"
    for old, new in zip(wanted, found, strict=True):
        for name in dict.fromkeys((*old, *new)):
            was, now = old.get(name, ""), new.get(name, "")
            if was != now and not (name == "validation" and not now):
                return f"step {old['step']}, {name}: {now or 'nothing'}, recorded is {was or 'nothing'}"
    return ""


def _header(places: Places, origin: Origin) -> Header:
    header = read_header(places.weights)
    made_by = run_of(header, type(origin.run))
    if made_by is None or made_by.fingerprint != origin.run.fingerprint or \
            not (places.checkpoint / "log.csv").is_file():
        raise UserError(f"no checkpoint of '{origin.run.id}' with its log", where=places.checkpoint,
                        fix="train it, or name the run that it is of")
    digests = {name: identity.digest for name, identity in origin.data.items()}
    changed = [name for name in sorted({*digests, *header.data}) if digests.get(name) != header.data.get(name)]
    if changed:
        raise UserError(f"made of other {', '.join(changed)} than are here", where=places.weights,
                        fix="bring those back, or train again")
    return header


def _rows(text: str) -> Rows:
    return list(csv.DictReader(io.StringIO(text)))


def stamp(verified: Verified, root: Path = Path()) -> None:
    """Write into weights and state that the present code makes them; what it was before stays beside it."""
    places, before, now = Places(verified.run, root), verified.before, verified.now
    if before == now:
        return
    entry = {"from": before, "to": now, "date": datetime.now(UTC).date().isoformat(), "steps": verified.steps}
    if verified.pictures is not None:
        entry["pictures"] = verified.pictures
    if verified.unreached:
        entry["unreached"] = verified.unreached
    for path in (places.checkpoint / "best.safetensors", places.weights):
        header = read_header(path)
        if header.code == before:
            save_weights(read_state(path), path, half=verified.run.half,
                         header=replace(header, code=now, verified=[*header.verified, entry]))
    if places.state.is_file():
        state = checkpoint.read_state(places.state)
        if state["code"] == before:
            checkpoint.write_state(places.state, {**state, "code": now})
