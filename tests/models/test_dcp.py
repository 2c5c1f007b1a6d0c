"""The dark channel prior against a restatement in numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from reprolib.errors import UserError
from reprolib.models import count_parameters
from reprolib.models.dehazing.dcp import (
    DCP,
    SYSTEM,
    dark_channel,
    estimate_airlight,
    matting_laplacian,
    soft_matting,
)


def picture(height: int = 40, width: int = 50) -> np.ndarray:
    """A hazy scene: smooth colours, haze growing to the right."""
    rng = np.random.default_rng(0)
    clear = ndimage.gaussian_filter(rng.random((height, width, 3)), (2, 2, 0))
    clear = (clear - clear.min()) / (clear.max() - clear.min())
    t = np.linspace(0.9, 0.3, width)[None, :, None]
    return (clear * t + np.array([0.85, 0.9, 0.95]) * (1 - t)).astype(np.float64)


def dark(x_HW3: np.ndarray) -> np.ndarray:
    return ndimage.minimum_filter(x_HW3.min(2), 15, mode="constant", cval=np.inf)


def mean_filter(x: np.ndarray, r: int) -> np.ndarray:
    def average(a: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(a, 2 * r + 1, mode="constant")
    return average(x) / average(np.ones_like(x))


def restated(x: np.ndarray, refine: str, light: str) -> np.ndarray:
    d = dark(x)
    top = np.argsort(-d.ravel(), kind="stable")[: max(1, int(d.size * 0.001))]
    candidates = x.reshape(-1, 3)[top]
    a = candidates.mean(0) if light == "mean" else candidates[candidates.sum(1).argmax()]
    t = 1 - 0.95 * dark(x / a)
    if refine == "guided":
        g = x @ [0.299, 0.587, 0.114]
        mg, mt = mean_filter(g, 60), mean_filter(t, 60)
        slope = (mean_filter(g * t, 60) - mg * mt) / (mean_filter(g * g, 60) - mg**2 + 1e-4)
        t = mean_filter(slope, 60) * g + mean_filter(mt - slope * mg, 60)
    return ((x - a) / np.maximum(t, 0.1)[..., None] + a).clip(0, 1)


@pytest.mark.parametrize("refine", ["guided", "none"])
@pytest.mark.parametrize("light", ["brightest", "mean"])
def test_agrees_with_the_restatement(refine: str, light: str) -> None:
    x = picture()
    x[10:30, 20:42] = 0.96, 0.98, 0.97  # one colour where the dark channel peaks: the order of equals cannot matter
    batch = torch.from_numpy(np.stack((x, picture()))).permute(0, 3, 1, 2)
    out = DCP(refine=refine, airlight=light)(batch)
    np.testing.assert_allclose(dark_channel(batch)[0, 0].numpy(), dark(x))
    np.testing.assert_allclose(out[0].permute(1, 2, 0).numpy(), restated(x, refine, light), atol=1e-6)


def test_airlight_rules() -> None:
    """3000 pixels, so three candidates; the first in dark-channel order is not the brightest."""
    hazy = torch.rand(1, 3, 50, 60, dtype=torch.float64)
    d = hazy.mean(1, keepdim=True) * 0
    d[0, 0, [5, 20, 40], [7, 30, 59]] = torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64)
    candidates = hazy[0][:, [5, 20, 40], [7, 30, 59]].T
    torch.testing.assert_close(estimate_airlight(hazy, d, "mean")[0, :, 0, 0], candidates.mean(0))
    brightest = candidates[candidates.sum(1).argmax()]
    torch.testing.assert_close(estimate_airlight(hazy, d, "brightest")[0, :, 0, 0], brightest)
    torch.testing.assert_close(estimate_airlight(hazy, d, "largest")[0, :, 0, 0], hazy[0].flatten(1).max(1).values)


def planes(x_HW3: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x_HW3.transpose(2, 0, 1)))


@pytest.mark.parametrize(("height", "width"), [(5, 6), (6, 3), (3, 4), (3, 3)])
def test_matting_laplacian_is_the_published_sum(height: int, width: int) -> None:
    x, epsilon = picture(height, width), 1e-4
    expected = np.zeros((height * width, height * width))
    for top in range(height - 2):
        for left in range(width - 2):
            members = [(top + i) * width + left + j for i in range(3) for j in range(3)]
            colours = x.reshape(-1, 3)[members]
            mean, inverse = colours.mean(0), np.linalg.inv(np.cov(colours.T, bias=True) + epsilon / 9 * np.eye(3))
            for a, i in enumerate(members):
                for b, j in enumerate(members):
                    expected[i, j] += (i == j) - (1 + (colours[a] - mean) @ inverse @ (colours[b] - mean)) / 9
    np.testing.assert_allclose(matting_laplacian(x, epsilon).toarray(), expected, atol=1e-9)


def test_soft_matting_solves_its_equation() -> None:
    x, t = picture(12, 15), np.random.default_rng(1).random((12, 15))
    for strength in (1e-4, 1e-1):
        system = matting_laplacian(x).toarray() + strength * np.eye(t.size)
        expected = np.linalg.solve(system, strength * t.ravel()).reshape(t.shape)
        refined = soft_matting(planes(x), torch.from_numpy(t)[None], strength)[0].numpy()
        assert np.linalg.norm(refined - expected) < 1e-3 * np.linalg.norm(t)
    thin = torch.rand(1, 2, 9)
    assert torch.equal(soft_matting(torch.rand(3, 2, 9), thin), thin)


def test_soft_matting_keeps_what_is_affine_in_colour() -> None:
    """Such a map costs nothing, so it is its own refinement."""
    x = torch.rand(3, 20, 24, dtype=torch.float64)  # lively enough in each window that epsilon does not matter
    t = 0.2 + torch.tensordot(torch.tensor([0.3, -0.1, 0.2], dtype=torch.float64), x, 1)[None]
    assert (soft_matting(x, t, 1e-2) - t).norm() < 2e-3 * t.norm()
    foreign = torch.rand_like(t)
    assert (soft_matting(x, foreign, 1e-2) - foreign).norm() > 0.1 * foreign.norm()
    assert np.abs(matting_laplacian(x.permute(1, 2, 0).numpy(), 1e-12) @ t.ravel().numpy()).max() < 1e-8


def test_matting_option_refines_each_picture_alone() -> None:
    batch = torch.from_numpy(np.stack((picture(), picture()[::-1].copy()))).permute(0, 3, 1, 2).float()
    out = DCP(refine="matting")(batch)
    assert out.dtype == torch.float32 and out.shape == batch.shape
    torch.testing.assert_close(out[1:], DCP(refine="matting")(batch[1:]))
    assert (out - DCP(refine="none")(batch)).abs().max() > 0.01


def test_nothing_is_learned() -> None:
    assert count_parameters(SYSTEM.build()) == 0 and not SYSTEM.trained and SYSTEM.label == "DCP"


@pytest.mark.parametrize(("option", "message"), [
    ({"refine": "guide"}, "did you mean 'guided'"), ({"airlight": "median"}, "did you mean 'mean'"),
    ({"patch": 8}, "odd"),
])
def test_unknown_options_are_named(option: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        DCP(**option)


def test_small_and_black_pictures() -> None:
    for size in ((1, 1), (2, 9), (17, 3)):
        assert DCP()(torch.rand(1, 3, *size)).isfinite().all()
        assert DCP(refine="matting")(torch.rand(1, 3, *size)).isfinite().all()
    assert not DCP()(torch.zeros(1, 3, 8, 8)).any()


def test_finds_the_haze_that_was_put_in() -> None:
    """Every patch of the scene holds a black pixel, so the prior holds exactly: t, A and the scene come back."""
    generator = torch.Generator().manual_seed(3)
    scene = 0.8 * torch.rand(1, 3, 60, 70, generator=generator, dtype=torch.float64)
    scene[..., ::7, ::7] = 0
    light = torch.tensor([0.82, 0.9, 0.96], dtype=torch.float64).view(1, 3, 1, 1)
    true_t = torch.full((1, 1, 60, 70), 0.45, dtype=torch.float64)
    true_t[..., :30] = 0.7
    true_t[..., :20, 50:] = 0  # sky: nothing but airlight
    hazy = scene * true_t + light * (1 - true_t)
    model = DCP(refine="none", omega=1.0, patch=15)
    torch.testing.assert_close(estimate_airlight(hazy, dark_channel(hazy)), light)
    t = model.transmission(hazy, light)
    inside = [(slice(20), slice(22)), (slice(35, 60), slice(38, 70))]  # at least half a patch from a change of t
    for rows, columns in inside:
        torch.testing.assert_close(t[..., rows, columns], true_t[..., rows, columns], rtol=0, atol=1e-12)
        torch.testing.assert_close(model(hazy)[..., rows, columns], scene[..., rows, columns], rtol=0, atol=1e-12)
    torch.testing.assert_close(t[..., :10, 60:], torch.zeros(1, 1, 10, 10, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("refine", ["none", "guided", "matting"])
def test_leaves_a_clear_picture_alone(refine: str) -> None:
    """Black in every patch: the dark channel is 0, hence t is 1 and nothing changes."""
    clear = torch.rand(1, 3, 40, 44)
    clear[..., ::5, ::5] = 0
    torch.testing.assert_close(DCP(refine=refine)(clear), clear, rtol=0, atol=1e-4)


def test_lower_bound_and_clipping() -> None:
    hazy = torch.from_numpy(picture()).permute(2, 0, 1)[None]
    hazy[..., 5, 3] = 1  # brighter than the airlight
    free = DCP(refine="none", t0=0.9, clip=False)(hazy)
    light = estimate_airlight(hazy, dark_channel(hazy))
    lifted = DCP(refine="none").transmission(hazy, light) < 0.9
    assert lifted.any()
    expected = ((hazy - light) / 0.9 + light)[lifted.expand_as(hazy)]
    torch.testing.assert_close(free[lifted.expand_as(hazy)], expected)
    strong = DCP(refine="none", clip=False)(hazy)
    assert strong.max() > 1
    torch.testing.assert_close(DCP(refine="none")(hazy), strong.clamp(0, 1))
