"""VGG's 3x3 convolutions with a quarter of the multiplications, for processors.

Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR
2016): Y = A'[(G g G') * (B' d B)]A. Tiles d of 6x6 pixels and the filters g are mapped linearly to 36 numbers, in which
4x4 outputs Y are products; the products of all tiles are 36 matrix products. The gradient of the input is of the same
form, with turned filters. PyTorch's convolutions on a CPU already run as fast as its matrix products do, so that only
fewer multiplications can be faster. On a GPU cuDNN chooses such algorithms itself.

In float32 results differ from the direct sum by about 3e-6 of their size (tests/contrast/test_winograd.py), as
different orders of summing do.

It pays where it is used. Direct sums take, on one thread, 1.34 times as long for a step of AECR-Net + CR (width 16, 8
crops of 64x64), 1.13 times for 10 crops of 32x32 at rate 1:10, 1.5 times for VGG16 alone on 8 pictures of 128x128. The
mapped filters take memory: the first of these steps peaks at 1274 MiB instead of 987.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

IN, OUT = 6, 4
"""Sides of a tile before and after."""
CHANNELS, TILES, WASTE = 128, 16, 1.5
"""Below so many channels or tiles, or with so many times more outputs computed than wanted, direct sums are faster."""
BLOCK = 2**15
"""Tiles times channels that are worked on at once: their 36 products stay in a processor's cache."""

# Interpolation at 0, 1, -1, 2, -2 and infinity: rows of B', G and A'.
_B = ((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0),
      (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1))
_G = ((1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6),
      (1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6), (0, 0, 1))
_A = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


def _both_ways(rows: tuple[tuple[float, ...], ...], dtype: torch.dtype) -> Tensor:
    """The map of rows and columns of a flattened tile."""
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(matrix, matrix).to(dtype)


MAPS = {dtype: tuple(_both_ways(rows, dtype) for rows in (_B, _G, _A)) for dtype in (torch.float32, torch.float64)}
"""B' (36 x 36), G (36 x 9) and A' (16 x 36) of flattened tiles."""


class WinogradConv2d(nn.Conv2d):
    """A 3x3 convolution, stride 1, padding 1, that takes Winograd's way where it is faster.

    That is on a CPU, in full precision, with frozen filters and enough channels and tiles; anything else is an ordinary
    convolution. Sizes alone decide, never the number of processors, so that results do not depend on that either.

    Shape:
        B, C, H, W to B, O, H, W, in the memory layout of the input.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3, padding=1)
        self._kept: dict[bool, tuple[object, Tensor]] = {}

    def forward(self, x_BCHW: Tensor) -> Tensor:
        trained = self.weight.requires_grad or (self.bias is not None and self.bias.requires_grad)
        if trained or not _is_worth_it(x_BCHW, self.weight):
            return super().forward(x_BCHW)
        y_BOHW: Tensor = _Winograd.apply(x_BCHW, self.weight, self.bias, self._filters)
        return y_BOHW

    def _filters(self, weight: Tensor, turned: bool) -> Tensor:
        """Mapped filters, kept until the weights change."""
        if weight.is_inference():  # changes of these are not counted
            return filters(weight, turned)
        state = weight._version, weight.data_ptr(), weight.dtype
        if turned not in self._kept or self._kept[turned][0] != state:
            with torch.inference_mode(False):  # what is made in that mode could not be used for training later
                self._kept[turned] = state, filters(weight, turned)
        return self._kept[turned][1]


def _is_worth_it(x_BCHW: Tensor, weight_OC33: Tensor) -> bool:
    if x_BCHW.dim() != 4 or min(weight_OC33.shape[:2]) < CHANNELS:
        return False
    if x_BCHW.device.type != "cpu" or x_BCHW.dtype not in MAPS or weight_OC33.dtype != x_BCHW.dtype:
        return False
    if torch.is_autocast_enabled("cpu"):
        return False
    grid = _Grid.over(x_BCHW)
    tiles = grid.batch * grid.down * grid.across
    return tiles >= TILES and tiles * OUT**2 <= WASTE * grid.batch * grid.height * grid.width


def filters(weight_OC33: Tensor, turned: bool = False) -> Tensor:
    """Filters as 36 matrices O x C; turned by 180 degrees for the gradient of the input."""
    out, channels = weight_OC33.shape[:2]
    g = MAPS[weight_OC33.dtype][1]
    nine = weight_OC33.detach().permute(2, 3, 0, 1).reshape(9, -1)
    return torch.mm(g.flip(1) if turned else g, nine).view(IN * IN, out, channels)


class _Grid(NamedTuple):
    """The outputs of a convolution of a batch, and the tiles that cover them."""

    batch: int
    height: int
    width: int
    down: int
    """Rows of tiles; the last one may stand out below."""
    across: int

    @classmethod
    def over(cls, x_BCHW: Tensor) -> _Grid:
        batch, _, height, width = x_BCHW.shape
        return cls(batch, height, width, -(-height // OUT), -(-width // OUT))

    def inputs(self, x_BCHW: Tensor) -> Tensor:
        """Overlapping tiles as a view: 6, 6, B, tiles down, tiles across, C."""
        _, channels, height, width = x_BCHW.shape
        bottom, right = self.down * OUT + 1 - height, self.across * OUT + 1 - width
        x_BHWC = F.pad(x_BCHW, (1, right, 1, bottom)).permute(0, 2, 3, 1).contiguous()
        b, h, w, c = x_BHWC.stride()
        return x_BHWC.as_strided((IN, IN, self.batch, self.down, self.across, channels), (h, w, b, OUT * h, OUT * w, c))

    def outputs(self, y_BCHW: Tensor) -> Tensor:
        """Tiles side by side as a view: 4, 4, B, tiles down, tiles across, C."""
        y_BHWC = y_BCHW.permute(0, 2, 3, 1)
        return y_BHWC.unflatten(2, (self.across, OUT)).unflatten(1, (self.down, OUT)).permute(2, 4, 0, 1, 3, 5)

    def blocks(self, channels: int) -> Iterator[tuple[slice, slice]]:
        """Pictures and rows of tiles that are worked on at once."""
        lines = max(1, BLOCK // (self.across * channels))
        pictures = max(1, lines // self.down)
        for first in range(0, self.batch, pictures):
            for top in range(0, self.down, lines if pictures == 1 else self.down):
                yield slice(first, first + pictures), slice(top, top + lines)


class _Winograd(torch.autograd.Function):
    """The convolution, and the gradient of its input; filters and biases are frozen."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None,
                mapped: Callable[[Tensor, bool], Tensor]) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.mapped = mapped
        return _convolve(x, mapped(weight, False).transpose(1, 2), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        return _convolve(gradient, ctx.mapped(weight, True), None), None, None, None


def _convolve(x_BCHW: Tensor, u_36CO: Tensor, bias_O: Tensor | None) -> Tensor:
    """Convolution in the memory layout of `x`."""
    grid, out = _Grid.over(x_BCHW), u_36CO.shape[2]
    to_tile, _, from_tile = MAPS[x_BCHW.dtype]
    y_BOHW = torch.empty(grid.batch, out, grid.down * OUT, grid.across * OUT, dtype=x_BCHW.dtype,
                         memory_format=torch.channels_last)
    x_tiles, y_tiles = grid.inputs(x_BCHW), grid.outputs(y_BOHW)
    for rows in grid.blocks(max(x_BCHW.shape[1], out)):
        target = y_tiles[:, :, rows[0], rows[1]]
        products = torch.bmm(_mapped(to_tile, x_tiles, rows), u_36CO)
        part = torch.mm(from_tile, products.view(IN * IN, -1)).view(target.shape)
        target.copy_(part) if bias_O is None else torch.add(part, bias_O, out=target)
    last = x_BCHW.is_contiguous(memory_format=torch.channels_last)
    if last and y_BOHW.shape[2:] == (grid.height, grid.width):
        return y_BOHW
    # A copy in any case: autograd does not let a view be changed in place, as ReLUs do.
    layout = torch.channels_last if last else torch.contiguous_format
    return y_BOHW[..., : grid.height, : grid.width].clone(memory_format=layout)


def _mapped(to_36: Tensor, tiles: Tensor, rows: tuple[slice, slice]) -> Tensor:
    """Some of the tiles as 36 matrices, tiles x channels."""
    chosen = tiles[:, :, rows[0], rows[1]]
    return torch.mm(to_36, chosen.reshape(to_36.shape[1], -1)).view(IN * IN, -1, chosen.shape[-1])
