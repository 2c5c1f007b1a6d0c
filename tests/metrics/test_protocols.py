"""Protocols against independent re-statements."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from reprolib.errors import UserError
from reprolib.metrics.collapse import is_collapsed
from reprolib.metrics.protocols import PROTOCOLS, measure


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    clear = random.random((37, 52, 3)).astype(np.float32)
    return (clear + 0.1 * random.standard_normal(clear.shape)).astype(np.float32), clear


def authors_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al.'s SSIM as a zero-padded convolution, in float64, written without scikit-image."""
    x = torch.arange(11, dtype=torch.float64) - 5
    g = torch.exp(-(x**2) / (2 * 1.5**2))
    window = (g[:, None] * g[None]) / g.sum() ** 2
    kernel = window.expand(3, 1, 11, 11)
    p, q = (torch.from_numpy(v.astype(np.float64)).permute(2, 0, 1)[None] for v in (a, b))

    def blur(v: torch.Tensor) -> torch.Tensor:
        return F.conv2d(v, kernel, padding=5, groups=3)

    mp, mq = blur(p), blur(q)
    vp, vq, c = blur(p * p) - mp**2, blur(q * q) - mq**2, blur(p * q) - mp * mq
    c1, c2 = 0.01**2, 0.03**2
    return float((((2 * mp * mq + c1) * (2 * c + c2)) / ((mp**2 + mq**2 + c1) * (vp + vq + c2))).mean())


def test_authors_protocol(pair: tuple[np.ndarray, np.ndarray]) -> None:
    restored, clear = pair
    scores = measure(restored, clear, "aecr")
    clamped = restored.clip(0, 1).astype(np.float64)
    assert scores["psnr"] == pytest.approx(-10 * np.log10(((clamped - clear) ** 2).mean()), abs=1e-4)
    assert scores["ssim"] == pytest.approx(authors_ssim(clamped, clear), abs=1e-5)


def test_protocols_differ_where_they_should(pair: tuple[np.ndarray, np.ndarray]) -> None:
    restored, clear = pair
    scores = {name: measure(restored, clear, name) for name in PROTOCOLS}
    unclamped = -10 * np.log10(((restored.astype(np.float64) - clear) ** 2).mean())
    assert scores["skimage7"]["psnr"] == pytest.approx(unclamped, abs=1e-4)
    assert scores["skimage7"]["psnr"] < scores["aecr"]["psnr"]
    rounded = np.round(restored.clip(0, 1) * 255) / 255
    both_rounded = (rounded - np.round(clear * 255) / 255) ** 2
    assert scores["8bit"]["psnr"] == pytest.approx(-10 * np.log10(both_rounded.mean()), abs=1e-4)
    y = [16 + v @ np.array([65.481, 128.553, 24.966]) for v in (rounded, np.round(clear * 255) / 255)]
    error = ((y[0] - y[1])[1:-1, 1:-1] / 255) ** 2
    assert scores["y"]["psnr"] == pytest.approx(-10 * np.log10(error.mean()), abs=1e-3)
    assert scores["gunet"]["psnr"] == scores["aecr"]["psnr"]


def test_downsampling_protocol_averages_blocks() -> None:
    random = np.random.default_rng(1)
    small = random.random((256, 260, 3)).astype(np.float32)
    other = random.random((256, 260, 3)).astype(np.float32)
    big, big_other = (v.repeat(2, 0).repeat(2, 1) for v in (small, other))
    assert measure(big, big_other, "gunet")["ssim"] == pytest.approx(measure(small, other, "gunet")["ssim"], abs=1e-6)


def test_equal_pictures(pair: tuple[np.ndarray, np.ndarray]) -> None:
    scores = measure(pair[1], pair[1])
    assert scores["psnr"] == np.inf
    assert scores["ssim"] == pytest.approx(1.0)


@pytest.mark.parametrize(("a", "b", "message"), [
    ((20, 20, 3), (20, 21, 3), "pictures of different size"),
    ((8, 20, 3), (8, 20, 3), "smaller than"),
])
def test_bad_pictures(a: tuple[int, ...], b: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        measure(np.zeros(a, np.float32), np.zeros(b, np.float32))


def test_unknown_protocol_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'skimage7'"):
        measure(np.zeros((20, 20, 3)), np.zeros((20, 20, 3)), "skimage")


def test_collapse() -> None:
    random = np.random.default_rng(0)
    assert is_collapsed(np.full((16, 16, 3), 0.4))
    assert is_collapsed(np.full((16, 16, 3), [0.1, 0.5, 0.9]))
    assert is_collapsed(2 + random.random((16, 16, 3)))  # all saturated
    assert not is_collapsed(random.random((16, 16, 3)))
