"""What is done with a picture that is too large to be computed at once: exact where that can be, and said where not.

* A network that looks at each neighbourhood by itself runs in tiles.
* One that takes means of all pixels (channel attention) runs in tiles with means that are taken before
  (`reprolib.models.statistics`).
* A system may have a way of its own, exact in little memory (`System.large`).
* What takes anything else of all pixels gets the whole picture at once.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from reprolib.models.inference import channels_of
from reprolib.models.statistics import is_mean_over_pixels, sampled, with_means
from reprolib.models.system import System
from reprolib.models.tiling import in_tiles

LARGE = 2**22
"""Pixels above which a picture is not computed at once if nothing else is asked for; benchmarks are smaller."""

TILE = 640
"""Side of tiles in pixels: those of 1,024 are 3.4 GiB with FFA-Net, more than a laptop likes to spare."""


class Large(nn.Module):
    """A network as it is to be run on large pictures; maps 1CHW to 1CHW.

    Args:
        tile: side of tiles in pixels.
    """

    def __init__(self, network: nn.Module, system: System, tile: int = TILE):
        super().__init__()
        self.network, self.system, self.tile = network, system, tile
        self.global_operation, self.takes_means = global_operations(network, system.multiple)

    @property
    def tiled(self) -> bool:
        """Whether it runs in tiles."""
        return self.system.large is None and self.global_operation is None

    @property
    def note(self) -> str | None:
        """What a person should know of its results on large pictures; None where they are those of the whole picture.
        """
        if self.tiled and self.takes_means:
            return (f"tiled, with {self.system.name}'s means over all pixels from parts of the picture "
                    "(up to 32 of 255 steps off where it was measured, docs/large-pictures.md); --tile 0 computes "
                    "it at once")
        if self.tiled or self.system.large is not None:
            return None
        return f"{self.system.name} needs all of it at once ({self.global_operation})"

    def forward(self, x_1CHW: Tensor) -> Tensor:
        if self.system.large is not None:
            return self.system.large(self.network, x_1CHW)
        if self.global_operation is not None:
            result: Tensor = self.network(x_1CHW)
            return result
        multiple, run = self.system.multiple, self.network.__call__
        if self.takes_means:
            run = with_means(run, sampled(run, x_1CHW, multiple))
        return in_tiles(run, x_1CHW, self.tile, multiple)


def global_operations(network: nn.Module, multiple: int = 1) -> tuple[str | None, bool]:
    """The first operation by which a network takes something of a whole picture, other than a mean for each channel;
    and whether it takes such means.

    Found by running it on a small picture, so that no system need declare it.
    """
    watch = _Watch()
    parameter = next(network.parameters(), torch.empty(0))
    side = math.ceil(64 / multiple) * multiple
    with torch.inference_mode(), watch:
        network.eval()(torch.full((1, channels_of(network), side, side), 0.5, device=parameter.device))
    return watch.found, watch.means


class _Watch(TorchFunctionMode):
    """Notes the first call that takes one value, or an order, of all pixels of a map."""

    found: str | None = None
    means = False

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if is_mean_over_pixels(function, args, kwargs):
            self.means = True
        elif self.found is None and _is_over_all_pixels(function, args, kwargs):
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
