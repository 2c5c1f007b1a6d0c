"""Channel attention on a picture in tiles: the means over all pixels are taken first, of crops that are spread over it.

The crops go through the network side by side as if they were one picture, so that every mean is one over all of them,
and what depends on it is right for the next. With these means fixed each pixel depends on its neighbourhood alone.

Only means are taken so. A network with instance norm does not bear it: GCANet's result from crops that cover half of a
picture of uneven haze is 23 dB from its own, and it has a way of its own instead (`System.large`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

SIDE = 128
"""Of a crop in pixels."""

CROPS = (4, 7)
"""Down and across; together about as many pixels as one tile, hence as much memory."""


class Means(TorchFunctionMode):
    """While it is active, means over all pixels are those of a whole picture.

    Args:
        known: what `sampled` found, in the order in which the network asks; None takes the means of what comes, which
            is a batch of crops, over the batch as well.
    """

    def __init__(self, known: list[Tensor] | None = None):
        super().__init__()
        self.sampling, self.means = known is None, [] if known is None else list(known)
        self._next = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not is_mean_over_pixels(function, args, kwargs):
            return function(*args, **kwargs)
        x_BCHW, *rest = args
        if self.sampling:
            stacked_1CHW = x_BCHW.transpose(0, 1).flatten(1, 2)[None]
            self.means.append(function(stacked_1CHW, *rest, **kwargs))
        mean = self.means[self._next]
        self._next += 1
        return mean.expand(len(x_BCHW), *mean.shape[1:])


def is_mean_over_pixels(function: Any, args: Any, kwargs: Any) -> bool:
    """Whether a call gives one mean for each channel of a picture."""
    if function is F.adaptive_avg_pool2d:
        return (kwargs.get("output_size") if len(args) < 2 else args[1]) in (1, (1, 1), [1, 1])
    if function not in (torch.mean, Tensor.mean) or args[0].dim() != 4:
        return False
    dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return isinstance(dims, tuple | list) and sorted(dim % 4 for dim in dims) == [2, 3]


def sampled(network: Callable[[Tensor], Tensor], x_1CHW: Tensor, multiple: int = 1) -> list[Tensor]:
    """Means that the network takes of crops, evenly spread over a picture; in the order in which it takes them.

    Args:
        multiple: of which the crops' places are, as the network halves its picture.
    """
    down, across = (_starts(size, number, multiple) for size, number in zip(x_1CHW.shape[2:], CROPS, strict=True))
    side = -(-SIDE // multiple) * multiple
    crops_BCHW = torch.cat([x_1CHW[:, :, top : top + side, left : left + side] for top in down for left in across])
    with Means() as means:
        network(crops_BCHW)
    return means.means


def with_means(network: Callable[[Tensor], Tensor], means: list[Tensor]) -> Callable[[Tensor], Tensor]:
    """The network with means that are known."""
    def run(x_1CHW: Tensor) -> Tensor:
        with Means(means):
            return network(x_1CHW)

    return run


def _starts(size: int, number: int, multiple: int) -> list[int]:
    last = max(0, size - -(-SIDE // multiple) * multiple) // multiple
    return [round(last * index / (number - 1)) * multiple for index in range(number)]
