"""Networks as they are measured: built and loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reprolib import models
from reprolib.errors import UserError
from reprolib.models.direction import one_way
from reprolib.models.fitting import Importer, fit
from reprolib.models.system import Direction, System
from reprolib.models.weights import load_state, read_header, read_state, shapes


def device() -> torch.device:
    """Where networks are measured: a GPU if there is one (CUDA_VISIBLE_DEVICES= hides it)."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_network(system: System, weights: Path | None, parts: tuple[str, ...] = (), direction: Direction = "ab",
                 **options: Any) -> nn.Module:
    """Build a system and load its weights: ours or the published ones; a prior needs none.

    A file of ours knows the options that its network was built with, a reduced width for example. Of a file of others
    they are found by its shapes, where those that are given do not fit.

    Args:
        parts: the children of a translator that are loaded; by default those that its direction needs.
        direction: of a translator. A published file of one generator goes into that of this direction: what it
            translates is not written in it.

    Raises:
        UserError: not a weights file, of another network, or without this direction.
    """
    wanted = parts or system.translating(direction)
    if weights is None:
        return system.build(**options).eval()
    header = read_header(weights, system.name)
    options = {**header.options, **options}
    state, importer = read_state(weights), _importer(system, wanted)
    held = {name.partition(".")[0] for name in state}
    if held & set(system.inference) and any(name in system.reverse and name not in held for name in wanted):
        raise UserError(f"the other direction is not in these weights of {system.name}, they translate from A to B "
                        "alone", where=weights, fix="train it again, or leave the direction out")
    if not header.system:
        options = {**_sizes(system, wanted, state, importer, options), **options}
    try:
        network = system.build(**options).eval()
    except TypeError as error:  # what a file says of itself is of another version, or nonsense
        raise UserError(f"{system.name} cannot be built with {options}", where=weights,
                        fix="load it with the version of reprolib that wrote it") from error
    load_state(system.part(network, *wanted), state, weights, importer)
    return network


def _sizes(system: System, wanted: tuple[str, ...], state: Mapping[str, Tensor], importer: Importer | None,
           given: Mapping[str, Any]) -> dict[str, Any]:
    """Options by the shapes in a file of others; none where it fits as it is, or cannot be made to fit."""
    with torch.device("meta"):  # allocates nothing
        found = fit(state, shapes(system.part(system.build(**given), *wanted)), importer)
    if not found.cost or system.sizes is None:
        return {}
    try:
        return system.sizes(_moved(found.state, wanted[:1], system.inference[:1]))
    except KeyError:  # of another network; loading says so
        return {}


def load(system: str, weights: Path | str | None = None, direction: Direction = "ab") -> nn.Module:
    """A trained network, ready to use.

    Args:
        system: e.g. 'aecrnet'; a prior needs no weights.
        weights: a file, ours or the published one; or a profile, of which the system's first checkpoint is taken; or
            None, for the best of all profiles.
        direction: of a translator that has both.

    Returns:
        In evaluation. Dehazers map B3HW in [0, 1] to B3HW; translators B3HW in [-1, 1] to B3HW in [-1, 1].

    Raises:
        UserError: no such system, profile or file, or weights of another network.
    """
    from reprolib.evaluation.trained import trained

    spec = models.get(system)
    if not spec.trained:
        return load_network(spec, None)
    if weights is not None and (Path(weights).is_file() or Path(weights).suffix):
        path = Path(weights)
    else:
        path = trained(system, None if weights is None else str(weights))
    return one_way(load_network(spec, path, direction=direction), direction)


@cache
def _counted(system: str, options: str) -> int:
    spec = models.get(system)
    with torch.device("meta"):  # allocates nothing
        network = spec.build(**json.loads(options))
    return learned(spec, network)


def learned(system: System, network: nn.Module) -> int:
    """Learned scalars of a network; of a translator, of its counted part."""
    return models.count_parameters(network.get_submodule(system.inference[0]) if system.inference else network)


def count(system: str, options: Mapping[str, Any]) -> int:
    """Learned scalars of a system's network with these options; of a translator, of its counted part."""
    return _counted(system, json.dumps(options, sort_keys=True))


def _importer(system: System, wanted: tuple[str, ...]) -> Importer | None:
    """Takes what is wanted out of a file of ours that holds more; anything else is for the system's own importer."""
    if not wanted:
        return system.importer

    def take(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        own = {name: tensor for name, tensor in state.items() if name.partition(".")[0] in wanted}
        if own or system.importer is None:
            return own
        imported = system.importer(state)
        held = tuple({name.partition(".")[0] for name in imported})
        return _moved(imported, held, wanted[:1]) if held == system.inference else imported

    return take


def _moved(state: Mapping[str, Tensor], of: tuple[str, ...], to: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors of one child under another's name: the generators of both directions are built alike."""
    if len(of) != 1 or len(to) != 1:
        return dict(state)
    return {f"{to[0]}.{name.partition('.')[2]}" if name.startswith(f"{of[0]}.") else name: tensor
            for name, tensor in state.items()}
