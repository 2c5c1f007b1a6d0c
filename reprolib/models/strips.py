"""Feature maps that are made strip by strip, when their rows are asked for: exact, in little memory.

For networks whose instance norms must know whole maps. Between two norms a pixel depends on its neighbourhood alone, so
mean and variance are summed up over strips first; what lies behind the norm is made from them, or made again wherever
keeping it would take too much.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROWS = 64
"""Of a strip, at the size of its map."""

Rows = Callable[[int, int], Tensor]
"""A map: its rows from the first to before the second, 1CrW."""


def rows_of(map_1CHW: Tensor) -> Rows:
    """A map that lies in memory."""
    return lambda start, stop: map_1CHW[:, :, start:stop]


def behind(source: Rows, height: int, layers: Callable[[Tensor], Tensor], halo: int, scale: float = 1) -> Rows:
    """The map that layers make of another one.

    Args:
        height: of the source.
        layers: a row of their result depends on `halo` rows of the source on either side.
        scale: by which they change the height, 1/2, 1 or 2; the halo is even if they halve it.
    """
    def rows(start: int, stop: int) -> Tensor:
        top, bottom = max(0, int(start / scale) - halo), min(height, -int(-stop // scale) + halo)
        skipped = start - int(top * scale)
        return layers(source(top, bottom))[:, :, skipped : skipped + stop - start]

    return rows


def normed(source: Rows, height: int, norm: nn.InstanceNorm2d) -> Rows:
    """A map behind an instance norm and ReLU; goes through the whole source once, here."""
    known = of_whole_map(norm, source, height)
    return lambda start, stop: F.relu(known(source(start, stop)))


def of_whole_map(norm: nn.InstanceNorm2d, source: Rows, height: int) -> Callable[[Tensor], Tensor]:
    """An instance norm with mean and (biased) variance of a whole map, for parts of it (Chan et al., 1979)."""
    count, mean_C, squares_C = 0, torch.zeros(()), torch.zeros(())
    for start in range(0, height, ROWS):
        strip = source(start, min(height, start + ROWS))
        variance_C, own_C = (t.double() for t in torch.var_mean(strip, dim=(0, 2, 3), correction=0))
        more = strip[0, 0].numel()
        shift_C = own_C - mean_C
        squares_C = squares_C + variance_C * more + shift_C**2 * (count * more / (count + more))
        count += more
        mean_C = mean_C + shift_C * (more / count)
    mean_C, variance_C = mean_C.to(strip.dtype), (squares_C / count).to(strip.dtype)
    return lambda x_BCHW: F.batch_norm(x_BCHW, mean_C, variance_C, norm.weight, norm.bias, eps=norm.eps)


def write(map_1CHW: Tensor, source: Rows, part: int = 1) -> None:
    """Make all rows of a map, in strips of a `part`-th of `ROWS`; `source` may read the very rows that it gives."""
    height, rows = map_1CHW.shape[2], max(1, ROWS // part)
    for start in range(0, height, rows):
        stop = min(height, start + rows)
        map_1CHW[:, :, start:stop] = source(start, stop)
