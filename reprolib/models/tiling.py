"""Large pictures in tiles that overlap, so that memory depends on the tile and not on the picture.

Each pixel of the result must depend on its neighbourhood alone; `reprolib.models.large` says what is done with networks
that take something of all pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

TILE = 1024
"""Side in pixels."""

OVERLAP = 256
"""Pixels that neighbours share: the outer quarters are left out, the half between is blended."""

Run = Callable[[Tensor], Tensor]


def in_tiles(run: Run, x_1CHW: Tensor, tile: int = TILE, multiple: int = 1) -> Tensor:
    """`run(x)` computed tile by tile.

    Args:
        run: maps 1CHW to 1OHW of the same height and width, each pixel from its neighbourhood.
        x_1CHW: height and width are multiples of `multiple`.
        tile: side in pixels; raised to at least twice the overlap, and to a multiple of `multiple`.

    Shape:
        1CHW to 1OHW.
    """
    assert len(x_1CHW) == 1 and not x_1CHW.shape[2] % multiple and not x_1CHW.shape[3] % multiple, x_1CHW.shape
    overlap = math.ceil(OVERLAP / multiple) * multiple
    tile = math.ceil(max(tile, 2 * overlap) / multiple) * multiple
    height, width = x_1CHW.shape[2:]
    if max(height, width) <= tile:
        return run(x_1CHW)
    total, weights = x_1CHW.new_zeros(()), torch.zeros_like(x_1CHW[:, :1])
    for rows in _spans(height, tile, overlap):
        for columns in _spans(width, tile, overlap):
            weight_HW = _ramp(rows, height, overlap, x_1CHW)[:, None] * _ramp(columns, width, overlap, x_1CHW)
            result = run(x_1CHW[..., rows, columns])
            if not total.dim():
                total = result.new_zeros(1, result.shape[1], height, width)
            total[..., rows, columns] += result * weight_HW
            weights[..., rows, columns] += weight_HW
    return total.div_(weights)


def _spans(size: int, tile: int, overlap: int) -> Iterator[slice]:
    """Tiles along one side; the last one ends where the picture does."""
    for start in range(0, max(0, size - tile), tile - overlap):
        yield slice(start, start + tile)
    yield slice(max(0, size - tile), size)


def _ramp(span: slice, size: int, overlap: int, like: Tensor) -> Tensor:
    """Weights along a side: 0 at the rim that a neighbour covers, rising over the middle of the overlap, then 1.

    The picture's own border has no neighbour.
    """
    rim, n = overlap // 4, span.stop - span.start
    rise = ((torch.arange(n, device=like.device, dtype=like.dtype) + 0.5 - rim) / (overlap - 2 * rim)).clamp(0, 1)
    whole = torch.ones_like(rise)
    return (rise if span.start else whole) * (rise.flip(0) if span.stop < size else whole)
