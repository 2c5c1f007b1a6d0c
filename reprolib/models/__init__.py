"""The systems that the papers' tables compare: one file each, found by its file name.

`reprolib/models/dehazing/NAME.py` and `reprolib/models/translation/NAME.py` each define one `SYSTEM`.
There is no list to keep: adding a file adds a system.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprolib.errors import unknown

if TYPE_CHECKING:
    from torch import Tensor, nn

TASKS = ("dehazing", "translation")


@dataclass(frozen=True)
class System:
    """A row of a table: how to build it, what the paper says of it, where it comes from."""

    name: str
    label: str
    """The row's name as the paper prints it."""
    task: str
    build: Callable[..., nn.Module]
    """`build(**options)`: full size without options. Dehazers map B3HW in [0, 1] to B3HW, nominally in [0, 1].

    Translators are built with everything that is trained (generators, discriminators, heads) as named children, and
    map B3HW of the source domain in [-1, 1] to B3HW of the target domain in [-1, 1].
    """
    source: str
    """Paper, venue, year, and which public layout is followed where they differ."""
    paper_params: str | None = None
    """The parameter figure as Table 1 prints it, e.g. '2.61M'."""
    trained: bool = True
    """False for a prior that has nothing to train (DCP)."""
    multiple: int = 1
    """Height and width must be multiples of this; inference pads by reflection and crops back."""
    importer: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] | None = None
    """Maps the state dict of the published checkpoint to ours; None where the key names are ours."""
    count_note: str | None = None
    """Why the parameter count differs from the paper's figure, where it does."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """How its authors train it, as settings of `reprolib.experiment.Experiment`."""
    method: str | None = None
    """Translation: the module of `reprolib.training.translation` that trains it."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Translation: options of that method that make it this system."""
    inference: tuple[str, ...] = ()
    """Translation: the children of the network that `forward` needs; the first is the one that is counted."""
    kept: tuple[str, ...] = ()
    """Translation: further children that are saved with those of `inference`, for figures."""
    exporter: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] | None = None
    """Translation: our state dict to the names of the published checkpoint, the way back of `importer`."""

    def part(self, network: nn.Module, *names: str) -> nn.Module:
        """Some children of a network under their own names; all of a network whose system names none."""
        if not self.inference:
            return network
        from torch import nn

        return nn.ModuleDict({name: network.get_submodule(name) for name in names})


def names(task: str | None = None) -> list[str]:
    """System names of one task, or of all, in alphabetical order; imports nothing."""
    root = Path(__file__).parent
    tasks = TASKS if task is None else (task,)
    return sorted(m.name for t in tasks for m in pkgutil.iter_modules([str(root / t)]) if not m.name.startswith("_"))


def module_of(name: str) -> str:
    """Dotted module that defines a system.

    Raises:
        UserError: no such system, with the nearest name.
    """
    for task in TASKS:
        if name in names(task):
            return f"reprolib.models.{task}.{name}"
    raise unknown("system", name, names())


def get(name: str) -> System:
    """The system of that name."""
    system: Any = import_module(module_of(name)).SYSTEM
    assert isinstance(system, System) and system.name == name, f"{name}.py must define SYSTEM named '{name}'"
    return system


def count_parameters(model: nn.Module) -> int:
    """Learned scalars of a network, bare parameters included, shared ones once, buffers not."""
    return sum(p.numel() for p in model.parameters())


@cache
def count_parts(name: str) -> dict[str, int]:
    """Learned scalars of each network that a system trains at its published size, the counted one first.

    Built on the meta device, which allocates nothing.
    """
    import torch

    system = get(name)
    with torch.device("meta"):
        network = system.build()
    if not system.inference:
        return {name: count_parameters(network)}
    parts = dict(network.named_children())
    order = [*system.inference, *(part for part in parts if part not in system.inference)]
    return {part: count_parameters(parts[part]) for part in order}


def full_size_count(name: str) -> int:
    """Learned scalars of a system at its published size; of a translator, of its counted part."""
    return next(iter(count_parts(name).values()))
