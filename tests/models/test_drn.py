"""DRN-D-22: published counts, the release's names, shapes, and what each part does."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from reprolib.models.segmentation.drn import DRND22, import_base


def test_published_counts() -> None:
    """drn's own module: base 15,880,752; 15,890,499 trained; 15,895,363 with the frozen upsampler."""
    with torch.device("meta"):
        network = DRND22()
    counts = [(p.numel(), p.requires_grad) for p in network.parameters()]
    assert sum(n for n, _ in counts) == 15_895_363
    assert sum(n for n, trained in counts if trained) == 15_890_499
    assert sum(p.numel() for p in network.base.parameters()) == 15_880_752


def test_names_of_the_release() -> None:
    """Of DRNSeg in fyu/drn: nine layers without avgpool and fc, then seg and up."""
    with torch.device("meta"):
        state = DRND22().state_dict()
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = {"seg.weight", "seg.bias", "up.weight"}
    for layer in (0, 1, 2, 7, 8):
        expected |= {f"base.{layer}.0.weight", *(f"base.{layer}.1.{n}" for n in norm)}
    for layer in (3, 4, 5, 6):
        for block in (0, 1):
            for part in (1, 2):
                expected |= {f"base.{layer}.{block}.conv{part}.weight",
                             *(f"base.{layer}.{block}.bn{part}.{n}" for n in norm)}
        expected |= {f"base.{layer}.0.downsample.0.weight", *(f"base.{layer}.0.downsample.1.{n}" for n in norm)}
    assert state.keys() == expected
    shapes = {"base.0.0.weight": (16, 3, 7, 7), "base.2.0.weight": (32, 16, 3, 3),
              "base.3.0.conv1.weight": (64, 32, 3, 3), "base.6.0.downsample.0.weight": (512, 256, 1, 1),
              "base.8.0.weight": (512, 512, 3, 3), "seg.weight": (19, 512, 1, 1), "up.weight": (19, 1, 16, 16)}
    assert {name: tuple(state[name].shape) for name in shapes} == shapes


def test_strides_and_dilations() -> None:
    network = DRND22(width=2)
    sides, x = [], torch.rand(1, 3, 64, 64)
    for layer in network.base:
        x = layer(x)
        sides.append(x.shape[-1])
    assert sides == [64, 64, 32, 16, 8, 8, 8, 8, 8]
    dilations = [network.base[i][b].conv2.dilation[0] for i in (3, 4, 5, 6) for b in (0, 1)]
    assert dilations == [1, 1, 1, 1, 2, 2, 4, 4]
    assert [network.base[i][0].conv1.dilation[0] for i in (5, 6)] == [2, 4]  # already in the first convolution
    assert [network.base[i][0].dilation[0] for i in (7, 8)] == [2, 1]


@pytest.mark.parametrize("size", [(128, 256), (64, 64), (8, 24)])
def test_log_probabilities_of_every_pixel(size: tuple[int, int]) -> None:
    network = DRND22(width=2).eval()
    with torch.no_grad():
        found = network(torch.rand(2, 3, *size))
    assert found.shape == (2, 19, *size)
    assert torch.allclose(found.exp().sum(1), torch.ones(2, *size), atol=1e-5)


def test_upsampling_is_bilinear_and_frozen() -> None:
    network = DRND22(width=2)
    coarse = torch.rand(1, 19, 6, 7)
    inner = (..., slice(8, -8), slice(8, -8))  # the transposed convolution sees zeros beyond the border
    expected = F.interpolate(coarse, scale_factor=8, mode="bilinear", align_corners=False)
    assert torch.allclose(network.up(coarse)[inner], expected[inner], atol=1e-6)
    network(torch.rand(2, 3, 16, 16)).mean().backward()
    assert network.up.weight.grad is None and network.seg.weight.grad is not None


def test_normalises_pictures_itself() -> None:
    """The release's mean and deviation: a picture of the mean colour is zero to the first convolution."""
    network = DRND22(width=2).eval()
    seen: list[torch.Tensor] = []
    network.base[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    mean, deviation = ((0.2901, 0.3281, 0.2870), (0.1830, 0.1866, 0.1845))
    x = torch.tensor(mean).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    network(x)
    network(x + torch.tensor(deviation).view(1, 3, 1, 1))
    assert seen[0].abs().max() < 1e-6 and (seen[1] - 1).abs().max() < 1e-5


def test_initialisation() -> None:
    """He's normal over the fan out: deviation sqrt(2 / (k k out))."""
    torch.manual_seed(0)
    network = DRND22(width=8)
    weight = network.base[8][0].weight
    assert weight.std().item() == pytest.approx((2 / (9 * weight.shape[0])) ** 0.5, rel=0.02)
    assert network.seg.bias.abs().max() == 0


def test_imagenet_names() -> None:
    network = DRND22(width=2)
    released = {f"layer{name}": tensor for name, tensor in network.base.state_dict().items()}
    ours = import_base({**released, "fc.weight": torch.zeros(1)})
    assert ours.keys() == network.base.state_dict().keys()


def test_reduced_width_keeps_the_ratios() -> None:
    network = DRND22(width=4, size=(64, 64))
    assert [network.base[i][0].conv1.out_channels for i in (3, 4, 5, 6)] == [16, 32, 64, 128]
    assert network.size == (64, 64)
