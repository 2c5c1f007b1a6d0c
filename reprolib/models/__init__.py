"""The systems that the papers' tables compare: one file each, found by its file name.

`reprolib/models/dehazing/NAME.py` and `reprolib/models/translation/NAME.py` each define one `SYSTEM`.
There is no list to keep: adding a file adds a system.
"""

from __future__ import annotations

import inspect
import pkgutil
from dataclasses import asdict
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from pydantic import BaseModel, Field, create_model

from reprolib.errors import unknown
from reprolib.models.objective import STRICT
from reprolib.models.system import System

if TYPE_CHECKING:
    from torch import nn

TASKS = ("dehazing", "translation")


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


@cache
def options_type(name: str) -> type[BaseModel]:
    """The options of a system's network with their types, as a pydantic model that knows no others; whole numbers are
    counts and sizes, from 1."""
    function = get(name).build
    target = function.__init__ if inspect.isclass(function) else function
    hints = get_type_hints(target)
    fields: Any = {
        key: (_counting(hints.get(key, Any)), ... if parameter.default is parameter.empty else parameter.default)
        for key, parameter in inspect.signature(function).parameters.items()
    }
    return create_model(f"Options of {name}", __config__=STRICT, **fields)


def _counting(hint: Any) -> Any:
    return Annotated[int, Field(ge=1)] if hint is int else hint


def defaults(name: str) -> dict[str, Any]:
    """The options of a system's network at its published size."""
    return {key: field.default for key, field in options_type(name).model_fields.items() if not field.is_required()}


def objective_defaults(name: str) -> dict[str, Any]:
    """The settings of a system's objective; empty if it has none of its own."""
    objective = get(name).objective
    return {} if objective is None else asdict(objective)


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
