"""CR when several processes share one batch: whose samples are whose, and batch means over all of them.

Each process has its rows of the batch as anchors. In a single process nothing here computes anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reprolib import distributed
from reprolib.contrast.samples import Rate, draw

POOLS = ("gathered", "local")
"""Samples are drawn from the pictures of all processes, or of this process alone."""


def draw_rows(batch: int, rate: Rate, pool: str, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """`samples.draw` for the anchors of this process.

    Args:
        batch: pictures of this process.
        rate: samples of each anchor.
        pool: one of `POOLS`.
        generator: in the same state on all processes, where it ends in the same state, too.

    Returns:
        positives [batch, p] and negatives [batch, n], indices into what `pooled` returns.

    Raises:
        UserError: the rate asks for more samples than the pool has pictures.
    """
    processes = distributed.count()
    if processes == 1:
        return draw(batch, rate, generator)
    if pool == "local":  # a draw for each process, so that their streams stay the same and their choices differ
        return [draw(batch, rate, generator) for _ in range(processes)][distributed.rank()]
    rows = distributed.rows(batch * processes)
    positive_index, negative_index = (index[rows] for index in draw(batch * processes, rate, generator))
    # A lone sample is the anchor's own clear or hazy picture: `pooled` gathers nothing for it.
    return (positive_index if rate.positives > 1 else positive_index - rows.start,
            negative_index if rate.negatives > 1 else negative_index - rows.start)


def pooled(features: Sequence[Tensor], samples: int, pool: str) -> list[Tensor]:
    """The features that an anchor's samples come from: all processes' where they are shared, otherwise our own.

    Args:
        features: of this process's pictures, one BCHW tensor a layer.
        samples: of each anchor.
        pool: one of `POOLS`.
    """
    return [distributed.gather(f) for f in features] if pool == "gathered" and samples > 1 else list(features)


def batch_means(pulls: Sequence[Tensor], pushes: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """The mean distance of the whole batch in each layer, B to 1; differentiable."""
    means = distributed.means([distance_B.mean(0, keepdim=True) for distance_B in (*pulls, *pushes)])
    return means[: len(pulls)], means[len(pulls) :]


def all_rows(distances_BL: Tensor) -> Tensor:
    """The rows of all processes, detached."""
    return distributed.gather(distances_BL)
