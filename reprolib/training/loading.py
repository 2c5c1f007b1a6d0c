"""Batches in the order of the steps, made in this process or ahead of time by others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from reprolib.errors import UserError

Batch = tuple[Tensor, Tensor]

ATTEMPTS, SECONDS = 3, 18
"""A process that has sent nothing this many times this long is stuck. Not once for the whole minute: after a pause of
all processes (Ctrl-Z) the first wait is over before they could send anything."""


class Batches(Protocol):
    """What a run is trained on."""

    rows: slice
    """Of each batch, the rows of this process."""

    def __len__(self) -> int:
        """Steps of the run."""

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step, from 0: a pure function of (seed, step)."""


def load(batches: Batches, steps: range, workers: int) -> Iterator[Batch]:
    """The batches of some steps.

    Args:
        workers: processes that make them ahead of time; 0 makes each one here when it is asked for.

    Raises:
        UserError: a picture that cannot be read; or a worker that died, is stuck, or cannot be started.
    """
    if workers == 0:
        yield from (batches[step] for step in steps)
        return
    loader = DataLoader(_Sent(batches), batch_size=None, sampler=steps, num_workers=workers, timeout=SECONDS,
                        collate_fn=_as_it_is, generator=torch.Generator())
    try:
        iterator = iter(loader)
        for _ in steps:
            sent = _wait_for(iterator)
            if isinstance(sent, UserError):
                raise sent
            first, second = map(torch.from_numpy, sent)
            yield first, second
    except (RuntimeError, OSError) as error:
        if isinstance(error, RuntimeError) and "DataLoader" not in str(error):
            raise
        reason = next(iter(str(error).splitlines()), "")[:100]
        raise UserError(f"a process that loads batches died or is stuck: {reason}", where=f"--workers {workers}",
                        fix="use --workers 0, or give more memory (in Docker --shm-size 2g)") from error


class _Sent(Dataset[Any]):
    """What a worker sends: arrays, or the error of a batch.

    Arrays go through the worker's pipe. Tensors would go through shared memory, which Docker gives 64 MB of, and by a
    socket below TMPDIR, whose path may not be longer than 107 characters: where either is missing, a worker waits for
    ever.
    """

    def __init__(self, batches: Batches):
        self.batches = batches

    def __getitem__(self, step: int) -> tuple[NDArray[Any], NDArray[Any]] | UserError:
        try:
            first, second = self.batches[step]
        except UserError as error:  # raised there, it would come with its traceback as text
            return error
        return np.ascontiguousarray(first.numpy()), np.ascontiguousarray(second.numpy())


def _as_it_is(sent: Any) -> Any:
    return sent


def _wait_for(iterator: Iterator[Any]) -> Any:
    for attempt in range(ATTEMPTS):
        try:
            return next(iterator)
        except RuntimeError as error:
            if "timed out" not in str(error) or attempt + 1 == ATTEMPTS:
                raise
    raise AssertionError("unreachable")
