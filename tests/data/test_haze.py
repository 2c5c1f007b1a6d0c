"""The scattering model against its own statement, pixel by pixel, and what it must look like."""

from __future__ import annotations

import math
import socket

import numpy as np
import pytest
from skimage.data import stereo_motorcycle
from skimage.metrics import peak_signal_noise_ratio

from reprolib.data import haze, photos
from reprolib.data.registry import get_dataset

STREET = [k for k in haze.KINDS]


@pytest.fixture(scope="module")
def clear() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_scattering_model_pixel_by_pixel(clear: np.ndarray) -> None:
    random = np.random.default_rng(1)
    depth, beta, light = random.uniform(0, 3, (40, 60)), 0.7, 0.85
    hazy = haze.scatter(clear, haze.transmission(depth, beta), light)
    assert hazy.dtype == np.uint8 and hazy.shape == clear.shape
    for y, x, c in random.integers(0, (40, 60, 3), (300, 3)):
        t = math.exp(-beta * depth[y, x])
        assert abs(hazy[y, x, c] - 255 * (clear[y, x, c] / 255 * t + light * (1 - t))) <= 0.5 + 1e-3


def test_limits_of_the_model(clear: np.ndarray) -> None:
    assert np.array_equal(haze.scatter(clear, np.ones((40, 60)), 0.3), clear), "no haze, no change"
    assert (haze.scatter(clear, np.zeros((40, 60)), 0.8) == 204).all(), "no light comes through, only airlight"
    white = np.full_like(clear, 255)
    assert np.array_equal(haze.scatter(white, np.full((40, 60), 0.37), 1.0), white), "white stays white in white light"


def test_assumed_depth_is_that_of_a_street() -> None:
    for seed in range(20):
        depth = haze.assumed_depth(320, 480, np.random.default_rng(seed))
        assert depth.shape == (320, 480)
        assert depth.min() >= 0.15 and 0.8 < depth.max() <= 1
        assert (np.diff(depth[200:], axis=0) <= 1e-12).all(), "the ground comes nearer downwards"
        assert depth[-1].max() < 0.35, "and is near at the lower edge"
        assert np.abs(np.diff(depth, axis=0)).max() < 0.08 and np.abs(np.diff(depth, axis=1)).max() < 0.02, "smooth"
        highest = np.unravel_index(depth.argmax(), depth.shape)
        assert 0.3 < highest[1] / 480 < 0.7, "farthest near the middle"


@pytest.mark.parametrize("dataset", STREET)
def test_haze_is_a_pure_function_of_dataset_photo_and_variant(clear: np.ndarray, dataset: str) -> None:
    first, drawn = haze.synthesise(clear, dataset, "7", 1)
    np.random.default_rng().standard_normal(10)
    again, drawn_again = haze.synthesise(clear.copy(), dataset, "7", 1)
    assert np.array_equal(first, again) and drawn == drawn_again
    others = [haze.synthesise(clear, dataset, "7", 2), haze.synthesise(clear, dataset, "8", 1)]
    assert all(o[1]["beta"] != drawn["beta"] and not np.array_equal(o[0], first) for o in others)


def test_datasets_draw_independently(clear: np.ndarray) -> None:
    """The same photo must not be at the same place of its range in every dataset."""
    places = []
    for dataset in STREET:
        low, high = haze.KINDS[dataset].beta
        drawn = [haze.synthesise(clear, dataset, str(n), 1)[1]["beta"] for n in range(5)]
        places.append([(beta - low) / (high - low) for beta in drawn])
    assert np.abs(np.diff(places, axis=0)).max(axis=1).min() > 0.05


@pytest.mark.parametrize("dataset", STREET)
def test_parameters_lie_in_their_ranges_and_fill_them(clear: np.ndarray, dataset: str) -> None:
    kind = haze.KINDS[dataset]
    drawn = [haze.synthesise(clear[:8, :12], dataset, str(n), v)[1] for n in range(40) for v in range(1, 5)]
    for name, (low, high) in (("beta", kind.beta), ("light", kind.light)):
        values = np.array([d[name] for d in drawn])
        assert values.min() >= low and values.max() <= high
        assert values.min() < low + 0.1 * (high - low) and values.max() > high - 0.1 * (high - low)


def transmission_of(dataset: str, photo: str) -> tuple[np.ndarray, dict[str, float]]:
    """Transmission found again from two hazy pictures of a black and a white scene, by I_white - I_black = t."""
    black, drawn = haze.synthesise(np.zeros((320, 480, 3), np.uint8), dataset, photo, 1)
    white, _ = haze.synthesise(np.full((320, 480, 3), 255, np.uint8), dataset, photo, 1)
    return (white[..., 0].astype(float) - black[..., 0]) / 255, drawn


@pytest.mark.parametrize("dataset", ["haze-homogeneous", "haze-dense"])
def test_homogeneous_haze_has_one_beta(dataset: str) -> None:
    for photo in ("1", "2"):
        t, drawn = transmission_of(dataset, photo)
        depth = haze.assumed_depth(320, 480, haze.generator("depth", photo))
        assert np.abs(t - np.exp(-drawn["beta"] * depth)).max() < 1.01 / 255


def test_patchy_haze_has_smoothly_varying_beta() -> None:
    t, drawn = transmission_of("haze-nonhomogeneous", "1")
    local = -np.log(t.clip(1 / 510)) / haze.assumed_depth(320, 480, haze.generator("depth", "1")) / drawn["beta"]
    assert local.std() > 0.3 and 0.05 < local.min() < 0.5 and 1.5 < local.max() < 2.1
    assert abs(local.mean() - 1) < 0.1
    assert np.abs(np.diff(t, axis=0)).max() < 0.08, "no edges that the scene does not have"


def test_kinds_are_as_hard_as_the_benchmarks_they_stand_in_for() -> None:
    jpegs, psnr = photos.load(), {}
    for dataset in STREET:
        scores = []
        for photo in photos.split("test"):
            clear = photos.shrink(jpegs[photo], get_dataset(dataset).size or photos.SIZE)
            scores.append(peak_signal_noise_ratio(clear, haze.synthesise(clear, dataset, photo, 1)[0], data_range=255))
        psnr[dataset] = np.mean(scores)
    assert 12 < psnr["haze-homogeneous"] < 14 and 9 < psnr["haze-dense"] < 11
    assert psnr["haze-dense"] + 1 < psnr["haze-nonhomogeneous"] < psnr["haze-homogeneous"] - 1


def test_motorcycle_depth_is_the_true_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", no_network)
    clear, depth = haze.motorcycle()
    left, _, disparity = stereo_motorcycle()
    valid = np.isfinite(disparity)
    assert np.array_equal(clear, left)
    assert abs((~valid).mean() - 0.073) < 0.001
    # focal length in pixels, baseline in metres, offset of the principal points: the scene's own calibration file
    np.testing.assert_allclose(depth[valid], 994.978 * 0.193001 / (disparity[valid] + 31.086), rtol=1e-6)
    assert 2.0 < depth.min() < 2.2 and 4.9 < depth.max() < 5.1
    known = np.argwhere(valid)
    for y, x in np.argwhere(~valid)[::2000]:
        distance = ((known - (y, x)) ** 2).sum(1)
        nearest = known[distance == distance.min()]
        assert np.isclose(depth[nearest[:, 0], nearest[:, 1]], depth[y, x]).any()
