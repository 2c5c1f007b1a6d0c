"""3x3 convolutions of stride 1 with a quarter of the multiplications, for processors.

Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR
2016): tiles of 6x6 pixels and the filters are mapped linearly to 36 numbers, in which 4x4 outputs are products; the
products of all tiles are 36 matrix products. PyTorch's convolutions on a CPU already run as fast as its matrix products
do, so that only fewer multiplications can be faster: 1.2 to 2 times on 128 channels and more. On a GPU cuDNN chooses
such algorithms itself, and ordinary convolution is called.

All three products of training are done so: Y = A'[(G g G') * (B' d B)]A has the gradients dd = B[..]B' of the same form
with turned filters, and dg = G'[(B' d B) * (A dY A')]G. In float32 results differ from the direct sum by about 3e-6 of
their size (tests/models/test_winograd.py), as different orders of summing do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeGuard

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


def accelerate(network: nn.Module) -> nn.Module:
    """Replace the convolutions of a network that can be faster; their parameters, and so their names, stay.

    Models are written with `nn.Conv2d`; who runs one calls this.
    """
    faster: dict[nn.Module, Conv3x3] = {}  # a layer that is applied in several places stays one
    for name, layer in list(network.named_modules(remove_duplicate=False)):
        if name and _can_be_faster(layer):
            network.set_submodule(name, faster.setdefault(layer, Conv3x3(layer)))
    return network


def _can_be_faster(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (type(layer) is nn.Conv2d and layer.kernel_size == (3, 3) and layer.stride == layer.dilation == (1, 1)
            and layer.groups == 1 and layer.padding in ((0, 0), (1, 1))
            and min(layer.in_channels, layer.out_channels) >= CHANNELS)


class Conv3x3(nn.Conv2d):
    """A convolution that takes Winograd's way where it is faster: on a CPU, in float32, with enough tiles.

    Where that is depends on sizes alone, never on how many processors there are, so that results do not either.
    """

    def __init__(self, layer: nn.Conv2d):
        nn.Module.__init__(self)  # no new weights, for which random numbers would be drawn
        self.__dict__.update(layer.__dict__)
        self._kept: dict[bool, tuple[Any, Tensor]] = {}

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # nn.Conv2d calls it
        padding, x_BCHW = int(self.padding[0]), input
        if not _is_worth_it(x_BCHW, weight.dtype, padding):
            return super()._conv_forward(x_BCHW, weight, bias)
        if self.padding_mode != "zeros":
            x_BCHW, padding = F.pad(x_BCHW, [padding] * 4, mode=self.padding_mode), 0
        result: Tensor = _Winograd.apply(x_BCHW, weight, bias, padding, self._filters)
        return result

    def _filters(self, weight: Tensor, turned: bool) -> Tensor:
        """Mapped filters; those that never change are kept."""
        if weight.requires_grad:
            return filters(weight, turned)
        state = weight._version, weight.data_ptr(), weight.dtype
        if self._kept.get(turned, (None,))[0] != state:
            with torch.inference_mode(False):  # what is made in that mode could not be used for training later
                self._kept[turned] = state, filters(weight, turned)
        return self._kept[turned][1]


def _is_worth_it(x_BCHW: Tensor, dtype: torch.dtype, padding: int) -> bool:
    if x_BCHW.device.type != "cpu" or x_BCHW.dtype not in MAPS or dtype != x_BCHW.dtype:
        return False
    if torch.is_autocast_enabled("cpu"):
        return False
    grid = _Grid.over(x_BCHW, padding)
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
    def over(cls, x_BCHW: Tensor, padding: int) -> _Grid:
        batch, _, height, width = x_BCHW.shape
        height, width = height + 2 * padding - 2, width + 2 * padding - 2
        return cls(batch, height, width, -(-height // OUT), -(-width // OUT))

    def inputs(self, x_BCHW: Tensor, padding: int) -> Tensor:
        """Overlapping tiles as a view: 6, 6, B, tiles down, tiles across, C."""
        _, channels, height, width = x_BCHW.shape
        bottom, right = self.down * OUT + 2 - height - padding, self.across * OUT + 2 - width - padding
        x_BHWC = F.pad(x_BCHW, (padding, right, padding, bottom)).permute(0, 2, 3, 1).contiguous()
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
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int,
                mapped: Callable[[Tensor, bool], Tensor]) -> Tensor:
        ctx.save_for_backward(x if weight.requires_grad else None, weight)
        ctx.padding, ctx.mapped = padding, mapped
        return _convolve(x, mapped(weight, False).transpose(1, 2), bias, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = _convolve(gradient, ctx.mapped(weight, True), None, 2 - ctx.padding)
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(x, gradient, ctx.padding)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_x, of_weight, of_bias, None, None


def _convolve(x_BCHW: Tensor, u_36CO: Tensor, bias_O: Tensor | None, padding: int) -> Tensor:
    """Convolution in the memory layout of `x`."""
    grid, out = _Grid.over(x_BCHW, padding), u_36CO.shape[2]
    to_tile, _, from_tile = MAPS[x_BCHW.dtype]
    y_BOHW = torch.empty(grid.batch, out, grid.down * OUT, grid.across * OUT, dtype=x_BCHW.dtype,
                         memory_format=torch.channels_last)
    x_tiles, y_tiles = grid.inputs(x_BCHW, padding), grid.outputs(y_BOHW)
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


def _weight_gradient(x_BCHW: Tensor, gradient_BOHW: Tensor, padding: int) -> Tensor:
    """Of the filters, O, C, 3, 3."""
    grid, channels, out = _Grid.over(x_BCHW, padding), x_BCHW.shape[1], gradient_BOHW.shape[1]
    to_tile, g, from_tile = MAPS[x_BCHW.dtype]
    over = F.pad(gradient_BOHW, (0, grid.across * OUT - grid.width, 0, grid.down * OUT - grid.height))
    x_tiles, d_tiles = grid.inputs(x_BCHW, padding), grid.outputs(over.contiguous(memory_format=torch.channels_last))
    u = x_BCHW.new_zeros(IN * IN, out, channels)
    for rows in grid.blocks(max(channels, out)):
        u.baddbmm_(_mapped(from_tile.t(), d_tiles, rows).transpose(1, 2), _mapped(to_tile, x_tiles, rows))
    return torch.mm(g.t(), u.view(IN * IN, -1)).view(3, 3, out, channels).permute(2, 3, 0, 1)


def _mapped(to_36: Tensor, tiles: Tensor, rows: tuple[slice, slice]) -> Tensor:
    """Some of the tiles as 36 matrices, tiles x channels."""
    chosen = tiles[:, :, rows[0], rows[1]]
    return torch.mm(to_36, chosen.reshape(to_36.shape[1], -1)).view(IN * IN, -1, chosen.shape[-1])
