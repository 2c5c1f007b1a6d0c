"""Starting a training from given weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from reprolib.models.system import System
from reprolib.models.weights import load_weights, read_header, read_state


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
