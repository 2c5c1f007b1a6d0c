"""What a method of unpaired translation is, and how the one of a system is found."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from reprolib.data.unpaired_batches import UnpairedBatches
from reprolib.models.objective import TranslationObjective
from reprolib.training.checkpoint import Stateful


class Method(Protocol):
    """Losses of a translator and the order of its steps: one file, named by its objective's `method`.

    Built as `Class(networks, fabric, learning_rate, objective)`.
    """

    optimisers: Mapping[str, Optimizer]
    extras: Mapping[str, Stateful]
    """What else changes over a run and belongs into its state: pools of fakes, memory banks, moving averages."""

    def step(self, real_a: Tensor, real_b: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """One optimisation step of all networks on B3HW batches in [-1, 1]; detached terms, 'loss' among them."""


class Prepared(Protocol):
    """A method that has to look at the batches before the first step."""

    def prepare(self, batches: UnpairedBatches) -> None: ...


def build_method(networks: nn.Module, fabric: Fabric, learning_rate: float, objective: TranslationObjective) -> Method:
    """The method of an objective: the one class of its file whose name ends in 'Method'."""
    module = import_module(f"{__package__}.{type(objective).method}")
    (kind,) = (value for name, value in vars(module).items()
               if inspect.isclass(value) and name.endswith("Method") and value.__module__ == module.__name__)
    make: Any = kind
    method: Method = make(networks, fabric, learning_rate, objective)
    return method
