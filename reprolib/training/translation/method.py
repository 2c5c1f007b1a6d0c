"""What a method of unpaired translation is, and how the one of a system is found."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import ClassVar, Protocol, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from reprolib.data.unpaired_batches import UnpairedBatches
from reprolib.models.objective import TranslationObjective
from reprolib.training.checkpoint import Stateful


class Method(Protocol):
    """Losses of a translator and the order of its steps: one file, named by its objective's `method`.

    Derived classes are built as `Class(networks, fabric, learning_rate, objective)`.
    """

    optimisers: Mapping[str, Optimizer]
    extras: Mapping[str, Stateful]
    """What else changes over a run and belongs into its state: pools of fakes, memory banks, moving averages."""
    steps_each: ClassVar[int] = 1
    """Optimisation steps of one iteration as the authors count."""

    def prepare(self, batches: UnpairedBatches) -> None:
        """Look at the batches before the first step of a run; most methods need not."""
        return None

    def step(self, real_a: Tensor, real_b: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """One optimisation step of all networks on B3HW batches in [-1, 1]; detached terms, 'loss' among them."""
        raise NotImplementedError


Builder = Callable[[nn.Module, Fabric, float, TranslationObjective], Method]


def find_method(name: str) -> Builder:
    """The method of that name: the class in its file whose name ends in 'Method'. No list is kept of them, so that
    one system's code is no part of another's."""
    module = import_module(f"{__package__}.{name}")
    found = [value for key, value in vars(module).items()
             if inspect.isclass(value) and key.endswith("Method") and value.__module__ == module.__name__]
    assert len(found) == 1, f"{name}.py must define one class whose name ends in 'Method'"
    return cast(Builder, found[0])


def build_method(networks: nn.Module, fabric: Fabric, learning_rate: float, objective: TranslationObjective) -> Method:
    """The method of an objective."""
    return find_method(type(objective).method)(networks, fabric, learning_rate, objective)
