"""What several processes of one run must agree on: whose rows of a batch are whose, and sums over all of them.

W processes do together what one does: each takes its W-th of the rows of the same global batch, in order, and what is
not a plain mean over rows is computed over all of them by the collectives here. Gradients are averaged before an
optimiser steps (`training.optimisation.take_step`), in one flat sum, as StyleGAN's training loop does. DDP's wrapper
averages during one backward pass through one forward pass of a whole network, which does not suit GAN steps: they run
parts of networks, several times, and hold discriminators still.

The gradient of a mean over processes is a mean too, and `gather_with_gradient` sums: both are the gradients of the mean
of all processes' losses, once these have been averaged.

In one process each function gives back its argument, and nothing is computed. Legend: W processes, B rows of each.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable
from torch.optim import Optimizer

from reprolib.errors import UserError

T = TypeVar("T")


def launched() -> int:
    """Processes that `torchrun` has started, 1 without it; known before they are connected."""
    return int(os.environ["WORLD_SIZE"]) if distributed.is_torchelastic_launched() else 1


def count() -> int:
    """Processes of this run, W."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0; 0 writes the files."""
    return distributed.get_rank() if count() > 1 else 0


def rows(batch: int) -> slice:
    """This process's rows of a global batch.

    Raises:
        UserError: the processes cannot share it evenly.
    """
    if batch % count():
        raise UserError(f"a batch of {batch} cannot be shared evenly by {count()} processes", where="batch",
                        fix=f"set batch to a multiple of {count()}, or start another number of processes")
    share = batch // count()
    return slice(rank() * share, (rank() + 1) * share)


def draw(sample: Callable[..., Tensor], size: Sequence[int], generator: torch.Generator) -> Tensor:
    """`sample(size, generator=generator)` for the rows of this process, B first, out of a draw for all WB rows."""
    everything = sample((size[0] * count(), *size[1:]), generator=generator)
    return everything[rows(len(everything))] if count() > 1 else everything


def gather(x: Tensor) -> Tensor:
    """Rows of all processes, in order, B... to WB...; detached."""
    x = x.detach()
    if count() == 1:
        return x
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(count())]
    distributed.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def gather_with_gradient(x: Tensor) -> Tensor:
    """Rows of all processes, in order, B... to WB...; each gets the sum of all processes' gradients."""
    if count() == 1:
        return x
    gathered: Tensor = _Gather.apply(x)
    return gathered


def means(values: Sequence[Tensor]) -> list[Tensor]:
    """The mean of each of these small tensors over processes, in one sum; differentiable."""
    if count() == 1:
        return list(values)
    flat: Tensor = _Mean.apply(torch.cat([value.flatten() for value in values]))
    parts = flat.split([value.numel() for value in values])
    return [part.view(value.shape) for part, value in zip(parts, values, strict=True)]


def mean_terms(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """Logged scalars as one process would log them."""
    if count() == 1:
        return terms
    return dict(zip(terms, means([term.detach().float() for term in terms.values()]), strict=True))


def average_gradients(optimiser: Optimizer) -> None:
    """Average the gradients of an optimiser's parameters over all processes, in one flat sum."""
    if count() == 1:
        return
    gradients = [p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
    if gradients:
        flat = _mean(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


def share_weights(networks: Mapping[str, Any]) -> None:
    """Before the first step: all processes start from process 0's weights.

    Raises:
        UserError: a network with batch normalisation, whose statistics would be those of a few rows.
    """
    if count() == 1:
        return
    for name, network in networks.items():
        if not isinstance(network, nn.Module):
            continue
        if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules()):
            require_one_process(f"the {name} has batch normalisation")
        for tensor in network.state_dict().values():  # equal seeds may differ in rounding between kinds of processors
            whole = tensor.contiguous()
            distributed.broadcast(whole, 0)
            tensor.copy_(whole)


def on_first(function: Callable[[], T]) -> T:
    """What process 0 gets from `function`, given to all. Its UserError is raised on all, so that none waits for it."""
    if count() == 1:
        return function()
    outcome: list[Any] = [None, None]
    if rank() == 0:
        try:
            outcome[0] = function()
        except UserError as error:
            outcome[1] = error
    distributed.broadcast_object_list(outcome, 0)
    result, fault = outcome
    if fault is not None:
        raise fault
    return result  # type: ignore[no-any-return]


def require_one_process(why: str) -> None:
    """Refuse several processes rather than train something else.

    Raises:
        UserError: there are several.
    """
    several = max(count(), launched())
    if several > 1:
        raise UserError(f"{why}: not in {several} processes", fix="start it without torchrun")


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _mean(x.clone())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _mean(gradient.clone())


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return gather(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total[rows(len(total))]


def _mean(x: Tensor) -> Tensor:
    """In place; the same bits on all processes."""
    distributed.all_reduce(x)
    return x.div_(count())

