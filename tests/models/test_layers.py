"""FastDeconv, feature attention and guided filter against independent closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from reprolib.models.layers.attention import FABlock
from reprolib.models.layers.deconvolution import FastDeconv, inverse_square_root
from reprolib.models.layers.guided import box_mean, guided_filter


def patches_of(x_BCHW: np.ndarray, stride: int) -> np.ndarray:
    """All 3 x 3 patches of the zero-padded batch at every `stride`-th pixel: N x 9C, channel first."""
    padded = np.pad(x_BCHW, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = x_BCHW.shape[2:]
    return np.array([image[:, i : i + 3, j : j + 3].ravel() for image in padded
                     for i in range(0, height, stride) for j in range(0, width, stride)])


def whitening(x_BCHW: np.ndarray, iterations: int, epsilon: float = 1e-5) -> tuple[np.ndarray, np.ndarray]:
    """Patch mean and whitening matrix by eigendecomposition.

    Newton-Schulz iterations act on each eigenvalue e alone: y, z start at (e, 1) and become (y t, t z) with
    t = (3 - z y) / 2, so the matrix result is known from N scalars.
    """
    patches = patches_of(x_BCHW, 3)
    mean = patches.mean(0)
    covariance = np.cov(patches.T, bias=True) + epsilon * np.eye(len(mean))
    values, vectors = np.linalg.eigh(covariance)
    norm = np.sqrt((values**2).sum())
    y, z = values / norm, np.ones_like(values)
    for _ in range(iterations):
        t = (3 - z * y) / 2
        y, z = y * t, t * z
    return mean, vectors @ np.diag(z / np.sqrt(norm)) @ vectors.T


def test_fast_deconv_is_a_convolution_of_whitened_patches() -> None:
    layer = FastDeconv(3, 3).double()
    x = torch.rand(2, 3, 13, 10, dtype=torch.float64)
    mean, deconv = whitening(x.numpy(), iterations=5)
    expected = (patches_of(x.numpy(), 1) - mean) @ deconv @ layer.weight.detach().flatten(1).numpy().T
    expected = (expected + layer.bias.detach().numpy()).reshape(2, 13, 10, 3).transpose(0, 3, 1, 2)
    torch.testing.assert_close(layer(x).detach(), torch.from_numpy(expected), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(layer.running_mean, torch.from_numpy(0.1 * mean))
    torch.testing.assert_close(layer.running_deconv, torch.from_numpy(0.9 * np.eye(27) + 0.1 * deconv))


def test_fast_deconv_uses_and_keeps_its_running_averages_in_evaluation() -> None:
    layer = FastDeconv(3, 3).eval()
    x = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1))  # mean 0, whitening I
    layer.train()(x)
    layer.eval()
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    alone, together = layer(x), layer(torch.cat((x, torch.rand(1, 3, 8, 8))))[:1]
    torch.testing.assert_close(alone, together)
    assert all(torch.equal(before[k], v) for k, v in layer.state_dict().items())
    weight = layer.weight.flatten(1) @ layer.running_deconv
    restated = F.conv2d(x, weight.view(3, 3, 3, 3), layer.bias - weight @ layer.running_mean, padding=1)
    torch.testing.assert_close(alone, restated)


def test_fast_deconv_gradient_flows_through_the_statistics() -> None:
    layer = FastDeconv(1, 1).double()
    x = torch.rand(1, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,), eps=1e-6, atol=1e-5)


def test_fast_deconv_stays_in_fp32_under_autocast() -> None:
    layer, x = FastDeconv(3, 3), torch.rand(2, 3, 12, 12)
    plain = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), plain)


def test_inverse_square_root_converges() -> None:
    a = torch.randn(6, 6, dtype=torch.float64)
    matrix = a @ a.T + torch.eye(6, dtype=torch.float64)
    root = inverse_square_root(matrix, iterations=30)
    torch.testing.assert_close(root @ matrix @ root, torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-8)


def test_fa_block() -> None:
    block = FABlock(16)
    s = block.state_dict()
    assert {k: tuple(v.shape) for k, v in s.items() if k.endswith("weight")} == {
        "conv1.weight": (16, 16, 3, 3), "conv2.weight": (16, 16, 3, 3),
        "calayer.ca.0.weight": (2, 16, 1, 1), "calayer.ca.2.weight": (16, 2, 1, 1),
        "palayer.pa.0.weight": (2, 16, 1, 1), "palayer.pa.2.weight": (1, 2, 1, 1)}
    x = torch.randn(2, 16, 5, 7)
    y = F.conv2d(x, s["conv1.weight"], s["conv1.bias"], padding=1).clamp_min(0) + x
    y = F.conv2d(y, s["conv2.weight"], s["conv2.bias"], padding=1)
    hidden = (y.mean((2, 3)) @ s["calayer.ca.0.weight"].flatten(1).T + s["calayer.ca.0.bias"]).clamp_min(0)
    y = y * (hidden @ s["calayer.ca.2.weight"].flatten(1).T + s["calayer.ca.2.bias"]).sigmoid()[..., None, None]
    hidden = torch.einsum("bchw,oc->bohw", y, s["palayer.pa.0.weight"].flatten(1))
    hidden = hidden + s["palayer.pa.0.bias"].view(-1, 1, 1)
    gate = torch.einsum("bchw,oc->bohw", hidden.clamp_min(0), s["palayer.pa.2.weight"].flatten(1))
    expected = y * (gate + s["palayer.pa.2.bias"]).sigmoid() + x
    torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [(64, 75_481), (256, 1_205_089)])
def test_fa_block_count(count: tuple[int, int]) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in FABlock(count[0]).parameters()) == count[1]


@pytest.mark.parametrize("radius", [0, 2, 40])
def test_box_mean_counts_only_pixels_of_the_picture(radius: int) -> None:
    x = torch.rand(2, 1, 9, 14, dtype=torch.float64)
    size = (1, 1, 2 * radius + 1, 2 * radius + 1)
    sums, counts = (ndimage.uniform_filter(a, size, mode="constant") for a in (x.numpy(), np.ones(x.shape)))
    torch.testing.assert_close(box_mean(x, radius), torch.from_numpy(sums / counts), rtol=1e-9, atol=1e-12)


def test_guided_filter_limits() -> None:
    guide = torch.rand(1, 1, 30, 20)
    torch.testing.assert_close(guided_filter(guide, guide, 4, 1e-9), guide, rtol=0, atol=1e-4)  # reproduces the guide
    x = torch.rand(1, 1, 30, 20)
    twice = box_mean(box_mean(x.double(), 4), 4).float()
    torch.testing.assert_close(guided_filter(guide, x, 4, 1e9), twice, rtol=0, atol=1e-6)  # ignores the guide
    torch.testing.assert_close(guided_filter(guide, 3 * guide - 1, 4, 1e-9), 3 * guide - 1, rtol=0, atol=3e-4)
