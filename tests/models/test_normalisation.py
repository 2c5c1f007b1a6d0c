"""Instance norm of one picture: gradients against finite differences, however they lie in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from reprolib.models.dehazing.gcanet import GCANet
from reprolib.models.layers.normalisation import InstanceNorm2d, adain

READS: dict[str, Callable[[Tensor], Tensor]] = {
    "as it lies": lambda y: y,
    "permuted (CUT's released heads)": lambda y: y.permute(0, 2, 3, 1).flatten(1, 2),
    "transposed, then indexed": lambda y: y.flatten(2).transpose(1, 2)[:, torch.tensor([3, 7, 11])],
    "channels last": lambda y: y.contiguous(memory_format=torch.channels_last) ** 2,
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("kind", ["plain", "affine", "adain"])
def test_gradients_are_right_however_the_result_is_read(kind: str, batch: int, read: str) -> None:
    x = torch.randn(batch, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    norm = InstanceNorm2d(3, affine=kind == "affine").double()
    style = torch.randn(2, batch, 3, dtype=torch.float64)

    def function(x: Tensor) -> Tensor:
        return READS[read](adain(x, *style) if kind == "adain" else norm(x)).square()

    assert torch.autograd.gradcheck(function, (x,))


def test_values_and_names_are_pytorchs() -> None:
    ours, theirs = InstanceNorm2d(4, affine=True), nn.InstanceNorm2d(4, affine=True)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 4, 6, 7)
    assert torch.equal(ours(x), theirs(x)) and repr(ours) == repr(theirs)
    with torch.inference_mode():
        assert torch.equal(ours(x), theirs(x))


def test_an_activation_in_place_may_follow() -> None:
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    layers = nn.Sequential(InstanceNorm2d(3), nn.LeakyReLU(0.2, inplace=True))
    assert torch.autograd.gradcheck(lambda x: layers(x).permute(0, 2, 3, 1).square(), (x,))


def test_gcanet_of_one_picture_trains_alike_in_both_layouts() -> None:
    torch.manual_seed(0)
    network, x = GCANet(8).double(), torch.rand(1, 3, 16, 20, dtype=torch.float64)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        network.to(memory_format=layout).zero_grad()
        network(x.contiguous(memory_format=layout)).square().mean().backward()
        found.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


def test_no_network_takes_pytorchs_own(project: Path) -> None:
    """The guard is of use where it is everywhere."""
    for path in (project / "reprolib" / "models").rglob("*.py"):
        text = path.read_text(encoding="utf-8").replace("class InstanceNorm2d(nn.InstanceNorm2d)", "")
        assert "nn.InstanceNorm2d(" not in text, path
        assert "F.instance_norm(" not in text or path.stem == "normalisation", path
