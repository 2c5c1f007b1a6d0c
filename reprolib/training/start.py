"""Starting a training from given weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor, nn

from reprolib.errors import UserError
from reprolib.models.system import System
from reprolib.models.weights import load_weights, read_header, read_state
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun


def starting_weights(run: TaskRun, root: Path) -> Path | None:
    """The last checkpoint of the run whose weights a profile lets this one start from; None if these are drawn.

    Raises:
        UserError: it is not trained.
    """
    if not run.init:
        return None
    path = Places(run.model_copy(update={"name": run.init, "own": True, "seed": 0}), root).weights
    if not path.is_file():
        raise UserError(f"'{run.name}' starts from the weights of '{run.init}', which are not here", where=path,
                        fix=f"run `reprolib train {run.init} --profile {run.profile} --resume` before")
    return path


def in_turn(runs: Iterable[TaskRun]) -> list[list[TaskRun]]:
    """Runs in groups, each of which starts from weights of those before it, if from any of these runs'."""
    left, groups = list(runs), []
    while left:
        waiting = {run.id for run in left}
        groups.append([run for run in left if run.init not in waiting])
        left = [run for run in left if run.init in waiting]
    return groups


def start_from(network: nn.Module, system: System, weights: Path) -> None:
    """Load what a file has of a network: all of a dehazer; of a translator the networks that translate, and whatever
    else a checkpoint holds, if it is there. The rest, discriminators for example, stays as it was drawn.

    Args:
        weights: ours, or in the published names.

    Raises:
        UserError: not a weights file, or of another network.
    """
    own = read_header(weights, system.name).system == system.name
    held = {name.partition(".")[0] for name in read_state(weights)} if own else set()
    parts = (*system.inference, *(part for part in system.saved if part in held - set(system.inference)))

    def take(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        mine = {name: tensor for name, tensor in state.items() if not parts or name.partition(".")[0] in parts}
        return mine if own or system.importer is None else system.importer(state)

    load_weights(system.part(network, *parts), weights, take)
