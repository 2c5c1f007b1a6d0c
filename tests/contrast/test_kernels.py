"""The fast distance against the broadcast form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from reprolib.contrast.kernels import mean_distance
from reprolib.contrast.losses import l1_distance

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-14, torch.bfloat16: 1e-2}
"""Relative; of bfloat16 its gradient, which has 8 bits: distances are taken in float32."""


def both(anchor: Tensor, samples: Tensor, index: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Values and gradients of the kernel and of the broadcast form; each picture has another weight."""
    found = []
    for distance in (lambda a: mean_distance(a, samples, index), lambda a: l1_distance(a, samples[index.T])):
        a = anchor.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        value = distance(a)
        value.backward(torch.linspace(-1, 2, len(value), dtype=value.dtype))
        assert a.grad is not None
        found.append((value.detach(), a.grad))
    return found


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("batch", "pool", "samples"), [(1, 1, 1), (4, 4, 1), (4, 4, 3), (3, 7, 5), (2, 3, 130)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_is_the_broadcast_form(dtype: torch.dtype, batch: int, pool: int, samples: int,
                               layout: torch.memory_format) -> None:
    """More than 127 samples need more than one byte for the way back; samples may come twice."""
    anchor, others = (torch.randn(n, 6, 5, 4).to(dtype).contiguous(memory_format=layout) for n in (batch, pool))
    (value, gradient), (wanted, slope) = both(anchor, others, torch.randint(pool, (batch, samples)))
    assert value.dtype == wanted.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert gradient.dtype == dtype
    exact = TOLERANCE[dtype] if dtype == torch.float64 else 1e-6
    torch.testing.assert_close(value, wanted, rtol=exact, atol=0)
    torch.testing.assert_close(gradient, slope, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * float(slope.abs().max()))


def test_where_anchor_and_sample_are_equal_the_gradient_is_zero() -> None:
    x = torch.randn(2, 3, 4, 4)
    (value, gradient), _ = both(x, x, torch.arange(2)[:, None])
    assert not value.any() and not gradient.any()


def test_gradcheck() -> None:
    samples = torch.randn(3, 2, 2, 2, dtype=torch.float64)
    anchor = torch.randn(3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([[0, 1], [1, 2], [2, 0]])
    assert torch.autograd.gradcheck(lambda x: mean_distance(x, samples, index), (anchor,))


def test_no_gradient_reaches_the_samples() -> None:
    anchor, samples = torch.randn(2, 2, 3, 3, requires_grad=True), torch.randn(4, 2, 3, 3, requires_grad=True)
    mean_distance(anchor, samples, torch.tensor([[0, 1], [3, 2]])).sum().backward()
    assert anchor.grad is not None and samples.grad is None
