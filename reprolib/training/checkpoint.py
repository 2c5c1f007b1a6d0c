"""What is kept of a run: the resumable state, and the weights that are measured.

Both carry what the run is bound to: its settings, the code that trains it, and the identity of everything that it read.
A state is continued only by the run that it belongs to; any other finds it put aside, never lost, and found again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.optim import Optimizer

from reprolib.data.copies import Copy
from reprolib.data.identity import LEFT_OUT, Identity, explain, identify
from reprolib.data.leakage import leaks, told
from reprolib.errors import UserError
from reprolib.files import write_atomically
from reprolib.models.weights import Header, save_weights
from reprolib.progress import say
from reprolib.runs.places import Places
from reprolib.runs.run import APART, Run
from reprolib.training.optimisation import keep_form

State = dict[str, Any]
"""What a state's file holds: see `save_state`."""

SHOWN = 3
"""How many settings a message names."""


class Stateful(Protocol):
    """Anything that can be saved and brought back, as a module can."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


class Trainable(Protocol):
    """The parts of a task that a state holds."""

    networks: Mapping[str, nn.Module]
    """Everything with weights that are trained."""
    optimisers: Mapping[str, Optimizer]
    extras: Mapping[str, Stateful]
    """What else changes over a run: pools of fakes, memory banks, moving averages."""

    def weights(self) -> dict[str, Tensor]:
        """What is measured of the run."""


@dataclass(frozen=True)
class Origin:
    """What a run is bound to."""

    run: Run
    code: str
    """Digest of the code that trains it."""
    data: Mapping[str, Identity]
    """Identity of what it reads: training and validation pictures, extractors, weights that it starts from."""
    leaks: tuple[Copy, ...] = ()
    """Pictures of these that are left out, since they are measured or validated on."""

    @classmethod
    def apart(cls, run: Run, code: str, data: Mapping[str, Identity], root: Path | None) -> Self:
        """An origin without the pictures that are measured: which ones these are is part of what it is bound to.

        Args:
            root: folder of the run's dataset, if not the registered one.
        """
        found = leaks(run.dataset, run.measured_on, root)
        if found:
            say(f"'{run.id}': {told(found)}")
            data = {**data, LEFT_OUT: identify((f"{c.train.parent.name}/{c.train.name}", c.train) for c in found)}
        return cls(run, code, data, tuple(found))

    def header(self, step: int) -> Header:
        """What the weights say of themselves."""
        return Header(self.run.system, dict(self.run.network), self.run.settings, step, self.code,
                      {name: identity.digest for name, identity in self.data.items()})

    def matches(self, header: Header) -> bool:
        """Whether weights with this header were made by this run, this code and these data."""
        made_by = run_of(header, type(self.run))
        data = {name: identity.digest for name, identity in self.data.items()}
        return made_by is not None and made_by.fingerprint == self.run.fingerprint and \
            (header.code, dict(header.data)) == (self.code, data)


def run_of(header: Header, kind: type[Run]) -> Run | None:
    """The run that made weights; None if they do not say, or it is none that this version knows."""
    try:
        return kind.of(header.run) if header.run else None
    except ValidationError:
        return None


@dataclass
class Progress:
    """How far a run is."""

    step: int = 0
    validated: int = 0
    """Step of the last validation: a state is saved before each one, so that it may be still to come."""
    best: float = -math.inf
    """Best validation score so far, higher is better."""
    best_step: int = 0
    seconds: float = 0.0
    log: list[dict[str, float]] = field(default_factory=list)
    best_weights: dict[str, Tensor] = field(default_factory=dict)


def keep_weights(path: Path, weights: Mapping[str, Tensor], origin: Origin, step: int) -> None:
    """Write weights with the run that made them."""
    save_weights(weights, path, half=origin.run.half, header=origin.header(step))


def save_state(path: Path, task: Trainable, progress: Progress, origin: Origin) -> None:
    """Write everything that an unfinished run needs to go on, in one step."""
    write_state(path, {
        "fingerprint": origin.run.fingerprint,
        "run": origin.run.settings,
        "code": origin.code,
        "data": {name: dict(identity.files) for name, identity in origin.data.items()},
        "networks": {k: m.state_dict() for k, m in task.networks.items()},
        "optimisers": {k: o.state_dict() for k, o in task.optimisers.items()},
        "extras": {k: e.state_dict() for k, e in task.extras.items()},
        "random": {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()},
        "progress": vars(progress),
    })


def write_state(path: Path, state: State) -> None:
    """Write a state's file, in one step."""
    write_atomically(path, lambda stream: torch.save(state, stream))


def read_state(path: Path, *, glance: bool = False) -> State:
    """What a state's file holds.

    Args:
        glance: leave the tensors on the disk until they are looked at.

    Raises:
        UserError: the file is no training state.
    """
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True, mmap=glance)
        state["fingerprint"], state["progress"]["step"], state["run"]["steps"]  # noqa: B018  # it is one of ours
        return state
    except Exception as error:
        raise UserError("not a training state", where=path, fix="move it away to train from the start") from error


def states(folder: Path) -> Iterator[tuple[Path, State]]:
    """All states in a run's folder at a glance, the present one first, then what was put aside; damaged ones are not
    looked at."""
    for path in sorted(folder.glob("state*.pt"), key=lambda path: (path.stem != "state", path.name)):
        try:
            yield path, read_state(path, glance=True)
        except UserError:
            continue


def find_state(places: Places, origin: Origin) -> tuple[Path | None, str]:
    """The state of this very run in its folder, and if there is none, how the present one differs, in words.

    Raises:
        UserError: the present file is no training state.
    """
    if places.state.is_file():
        read_state(places.state, glance=True)
    differences = {path: difference(state, origin) for path, state in states(places.work)}
    own = [path for path, found in differences.items() if found is None]
    return (own[0], "") if own else (None, differences.get(places.state) or "")


def put_aside(path: Path) -> Path:
    """Move a state away, under its own fingerprint and a name that nothing has yet."""
    try:
        stem = f"state-{read_state(path, glance=True)['fingerprint']}"
    except UserError:
        stem = "damaged"
    place, number = path.with_name(f"{stem}.pt"), 1
    while place.exists():
        number += 1
        place = path.with_name(f"{stem}-{number}.pt")
    path.replace(place)
    return place


def restore(task: Trainable, state: Mapping[str, Any]) -> Progress:
    """Bring networks, moments, extras and random numbers back."""
    for name, network in task.networks.items():
        network.load_state_dict(state["networks"][name])
    for name, optimiser in task.optimisers.items():
        keep_form(optimiser, state["optimisers"][name])
    for name, extra in task.extras.items():
        extra.load_state_dict(state["extras"][name])
    torch.set_rng_state(state["random"]["cpu"])
    if state["random"]["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["random"]["cuda"][: torch.cuda.device_count()])
    return Progress(**state["progress"])


def is_finished(state: Mapping[str, Any]) -> bool:
    """Whether nothing is left to do but to write the checkpoint."""
    return bool(state["progress"]["step"] == state["run"]["steps"] == state["progress"]["validated"])


def difference(state: Mapping[str, Any], origin: Origin, apart: tuple[str, ...] = ()) -> str | None:
    """What keeps a state from being continued, in words; None if nothing does.

    Args:
        apart: settings that may differ.
    """
    was, now = state["run"], origin.run.settings
    settings = [f"{key} {was.get(key)}, now {now[key]}" for key in now
                if key not in (*APART, *apart) and was.get(key) != now[key]]
    if settings:
        return f"other settings ({'; '.join(settings[:SHOWN] + ['...'] * (len(settings) > SHOWN))})"
    if state.get("code") != origin.code:
        return f"other code ({state.get('code')}, now {origin.code})"
    before = {name: Identity(files) for name, files in state.get("data", {}).items()}
    for name in sorted({*before, *origin.data}):
        found = explain(before.get(name, Identity()), origin.data.get(name, Identity()))
        if found:
            return f"other files of {name} ({found})"
    return None
