"""What is kept of a run: the resumable state, and the weights that are measured.

Both carry what the run is bound to: its settings, the code that trains it, and the identity of everything that it read.
A state is continued only by the run that it belongs to; any other finds it put aside, never lost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from reprolib.data.identity import Identity, explain
from reprolib.errors import UserError
from reprolib.files import write_atomically
from reprolib.models.weights import Header, save_weights
from reprolib.progress import say
from reprolib.runs.run import Run


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

    def header(self, step: int) -> Header:
        """What the weights say of themselves."""
        return Header(self.run.system, dict(self.run.network), self.run.settings, step, self.code,
                      {name: identity.digest for name, identity in self.data.items()})

    def matches(self, header: Header) -> bool:
        """Whether weights with this header are what the finished run would give."""
        own = self.header(self.run.steps)
        return bool(header.run) and type(self.run)(**header.run).fingerprint == self.run.fingerprint and \
            (header.step, header.code, dict(header.data)) == (own.step, own.code, dict(own.data))


@dataclass
class Progress:
    """How far a run is."""

    step: int = 0
    best: float = -math.inf
    """Best validation score so far, higher is better."""
    best_step: int = 0
    seconds: float = 0.0
    log: list[dict[str, float]] = field(default_factory=list)
    best_weights: dict[str, Tensor] = field(default_factory=dict)


def keep_weights(path: Path, weights: Mapping[str, Tensor], origin: Origin, step: int) -> None:
    """Write weights with the run that made them."""
    save_weights(weights, path, header=origin.header(step))


def save_state(path: Path, task: Trainable, progress: Progress, origin: Origin) -> None:
    """Write everything that an unfinished run needs to go on, in one step."""
    state = {
        "fingerprint": origin.run.fingerprint,
        "code": origin.code,
        "data": {name: dict(identity.files) for name, identity in origin.data.items()},
        "networks": {k: m.state_dict() for k, m in task.networks.items()},
        "optimisers": {k: o.state_dict() for k, o in task.optimisers.items()},
        "extras": {k: e.state_dict() for k, e in task.extras.items()},
        "random": {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()},
        "progress": asdict(progress),
    }
    write_atomically(path, lambda stream: torch.save(state, stream))


def read_state(path: Path, origin: Origin) -> dict[str, Any] | None:
    """The state of this very run, if there is one; a state of another is put aside, and one line says why.

    Raises:
        UserError: the file is no training state.
    """
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError("not a training state", where=path, fix="move it away to train from the start") from error
    reason = _difference(state, origin)
    if reason is None:
        return state
    say(f"the unfinished run had {reason}: kept as {put_aside(path)}, starting anew")
    return None


def put_aside(path: Path) -> Path:
    """Move a state away, under a name that nothing has yet."""
    number = 1
    while (place := path.with_suffix(f".old{number}")).exists():
        number += 1
    path.replace(place)
    return place


def restore(task: Trainable, state: Mapping[str, Any]) -> Progress:
    """Bring networks, moments, extras and random numbers back."""
    for name, network in task.networks.items():
        network.load_state_dict(state["networks"][name])
    for name, optimiser in task.optimisers.items():
        optimiser.load_state_dict(state["optimisers"][name])
    for name, extra in task.extras.items():
        extra.load_state_dict(state["extras"][name])
    torch.set_rng_state(state["random"]["cpu"])
    if state["random"]["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["random"]["cuda"][: torch.cuda.device_count()])
    return Progress(**state["progress"])


def _difference(state: Mapping[str, Any], origin: Origin) -> str | None:
    """What keeps a state from being continued, in words."""
    if state.get("fingerprint") != origin.run.fingerprint:
        return "other settings"
    if state.get("code") != origin.code:
        return "other code"
    before = {name: Identity(files) for name, files in state.get("data", {}).items()}
    for name in {*before, *origin.data}:
        found = explain(before.get(name, Identity()), origin.data.get(name, Identity()))
        if found:
            return f"other files of {name} ({found})"
    return None
