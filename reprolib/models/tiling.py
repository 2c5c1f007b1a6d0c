"""Large pictures in tiles that overlap, so that memory depends on the tile and not on the picture.

Only for networks that look at each neighbourhood by itself. One that takes something of all pixels (instance
normalisation, channel attention, an airlight) would give each tile another look, and sharing estimates of it does not
help: GCANet with statistics of the reduced picture comes to 19 dB against its own untiled result, with averages over
tiles to 23 dB, and iterating from there diverges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

LARGE = 2**22
"""Pixels above which a picture is tiled if nothing else is asked for; benchmarks are smaller, and never tiled."""

TILE = 1024
"""Side in pixels."""

OVERLAP = 256
"""Pixels that neighbours share: the outer quarters are left out, the half between is blended."""

Run = Callable[[Tensor], Tensor]


def in_tiles(run: Run, x_1CHW: Tensor, tile: int = TILE, multiple: int = 1) -> Tensor:
    """`run(x)` computed tile by tile.

    Args:
        run: maps 1CHW to 1CHW of the same height and width, each pixel from its neighbourhood.
        x_1CHW: height and width are multiples of `multiple`.
        tile: side in pixels; raised to at least twice the overlap, and to a multiple of `multiple`.

    Shape:
        1CHW to 1CHW.
    """
    assert len(x_1CHW) == 1 and not x_1CHW.shape[2] % multiple and not x_1CHW.shape[3] % multiple, x_1CHW.shape
    overlap = math.ceil(OVERLAP / multiple) * multiple
    tile = math.ceil(max(tile, 2 * overlap) / multiple) * multiple
    height, width = x_1CHW.shape[2:]
    if max(height, width) <= tile:
        return run(x_1CHW)
    total, weights = torch.zeros_like(x_1CHW), torch.zeros_like(x_1CHW[:, :1])
    for rows in _spans(height, tile, overlap):
        for columns in _spans(width, tile, overlap):
            weight_HW = _ramp(rows, height, overlap, x_1CHW)[:, None] * _ramp(columns, width, overlap, x_1CHW)
            total[..., rows, columns] += run(x_1CHW[..., rows, columns]) * weight_HW
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


def looks_at_all_pixels(network: nn.Module, multiple: int = 1) -> str | None:
    """Name of the first operation by which a network takes something of a whole picture, None if there is none.

    Found by running it on a small picture, so that no system need declare it.
    """
    watch = _Watch()
    parameter = next(network.parameters(), torch.empty(0))
    side = math.ceil(64 / multiple) * multiple
    with torch.inference_mode(), watch:
        network.eval()(torch.full((1, 3, side, side), 0.5, device=parameter.device))
    return watch.found


class _Watch(TorchFunctionMode):
    """Notes the first call that takes one value, or an order, of all pixels of a map."""

    found: str | None = None

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.found is None and _is_over_all_pixels(function, args, kwargs):
            self.found = str(function.__name__)
        return function(*args, **kwargs)


_ORDERS = {torch.topk, Tensor.topk, torch.sort, Tensor.sort, torch.cumsum, Tensor.cumsum}
_REDUCTIONS = {getattr(owner, name) for owner in (torch, Tensor)
               for name in ("mean", "sum", "std", "var", "amax", "amin", "max", "min")} | {
    torch.std_mean, torch.var_mean}
_NORMALISATIONS = {F.instance_norm, F.group_norm, F.layer_norm}


def _is_over_all_pixels(function: Any, args: Any, kwargs: Any) -> bool:
    if function in _ORDERS or function in _NORMALISATIONS:
        return True
    if function in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d):
        return True
    if function not in _REDUCTIONS or args[0].dim() != 4:
        return False
    dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if isinstance(dims, Tensor):  # the larger of two maps
        return False
    return dims is None or (not isinstance(dims, int) and {2, 3} <= {dim % 4 for dim in dims})
