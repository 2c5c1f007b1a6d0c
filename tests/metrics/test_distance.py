"""Distances of picture sets against closed forms on the same features, and their invariants."""

from __future__ import annotations

import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from safetensors.torch import load_file, save_file

from reprolib import metrics
from reprolib.contrast.features import VGGFeatures
from reprolib.data.images import write_png
from reprolib.errors import UserError
from reprolib.metrics import distance
from reprolib.metrics.distance import TAP, Distances, PictureSet
from reprolib.models.weights import read_state

Pictures = list[np.ndarray]


def distances(real: Pictures | Path, fake: Pictures | Path, extractor: str = "inception",
              weights: Path | None = None) -> Distances:
    return distance.distances(PictureSet(real, "real"), PictureSet(fake, "fake"), extractor, weights)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VGG16 trunk with random weights, which is all that the arithmetic needs."""
    path = tmp_path_factory.mktemp("weights") / "vgg16.safetensors"
    torch.manual_seed(0)
    network = VGGFeatures("vgg16", taps=(TAP,))
    for layer in network.features:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    save_file(network.state_dict(), path)
    return path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """VGG16 at 32 x 32 pixels, for speed."""
    forget()
    monkeypatch.setattr(distance, "SIDE", 32)
    yield
    forget()


def forget() -> None:
    """Nothing may depend on what was measured before."""
    distance._pooled.cache_clear()
    distance._remembered.clear()


def pictures(count: int, seed: int, brightness: float = 1.0) -> Pictures:
    random = np.random.default_rng(seed)
    coarse = random.random((count, 4, 4, 3)).repeat(12, 1).repeat(12, 2)
    return list((255 * brightness * coarse).astype(np.uint8))


@pytest.fixture(scope="module")
def sets() -> tuple[Pictures, Pictures]:
    return pictures(6, seed=1), pictures(8, seed=2, brightness=0.6)


def features(found: Pictures, weights: Path) -> np.ndarray:
    """N x 512 in float64, by the network itself: no code of the module under test."""
    network = VGGFeatures("vgg16", taps=(TAP,))
    network.load_state_dict(load_file(weights))
    for layer in network.features:
        if isinstance(layer, torch.nn.Conv2d):
            layer.bias.div_(255)
    rows = []
    for picture in found:
        x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        x = torch.nn.functional.interpolate(x, size=(distance.SIDE,) * 2, mode="bilinear", antialias=True)
        rows.append(network(x)[0].flatten(2).mean(2)[0].numpy())
    return np.stack(rows).astype(np.float64)


@pytest.mark.usefixtures("small")
def test_frechet_distance_between_gaussians(sets: tuple[Pictures, Pictures], weights: Path) -> None:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1^1/2 S2 S1^1/2)^1/2), with symmetric roots instead of the library's product."""
    found = distances(*sets, extractor="vgg16", weights=weights)
    a, b = (features(side, weights) for side in sets)
    s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = symmetric_root(s1)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s1 + s2 - 2 * symmetric_root(root @ s2 @ root))
    assert expected > 0.01
    assert found.frechet.value == pytest.approx(expected, rel=1e-3)


def symmetric_root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = scipy.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


def test_kernel_distance(weights: Path) -> None:
    """Subsets of both pictures of each set have one composition: the unbiased estimate in closed form."""
    a, b = pictures(2, seed=3), pictures(2, seed=4)
    found = distances(a, b, extractor="vgg16", weights=weights)
    x, y = features(a, weights), features(b, weights)
    k = (np.concatenate((x, y)) @ np.concatenate((x, y)).T / 512 + 1) ** 3
    assert found.kernel.value == pytest.approx(k[0, 1] + k[2, 3] - k[:2, 2:].sum() / 2, rel=1e-3)
    assert found.kernel.details["sd"] == pytest.approx(0, abs=1e-6 * k.max())
    assert found.kernel.details["kid_subset_size"] == 2


@pytest.mark.usefixtures("small")
def test_identical_sets_have_distance_zero(sets: tuple[Pictures, Pictures], weights: Path) -> None:
    scale = distances(*sets, extractor="vgg16", weights=weights).frechet.value
    same = distances(sets[0], list(reversed(sets[0])), extractor="vgg16", weights=weights)
    assert 0 <= same.frechet.value < 1e-4 * scale


@pytest.mark.usefixtures("small")
def test_symmetric_and_deterministic(sets: tuple[Pictures, Pictures], weights: Path) -> None:
    there = distances(*sets, extractor="vgg16", weights=weights)
    back = distances(*reversed(sets), extractor="vgg16", weights=weights)
    assert there.frechet.value == pytest.approx(back.frechet.value, rel=1e-5)
    forget()
    assert distances(*sets, extractor="vgg16", weights=weights) == there


@pytest.mark.usefixtures("small")
def test_grows_as_pictures_get_worse(weights: Path) -> None:
    real = pictures(8, seed=1)
    greyed = [[np.uint8((1 - share) * p + share * 127) for p in real] for share in (0.0, 0.3, 0.6, 1.0)]
    values = [distances(real, fake, "vgg16", weights).frechet.value for fake in greyed]
    assert all(nearer < farther for nearer, farther in zip(values, values[1:], strict=False))


@pytest.mark.usefixtures("small")
def test_folder_and_mixed_sizes(sets: tuple[Pictures, Pictures], weights: Path, tmp_path: Path,
                                capsys: pytest.CaptureFixture[str]) -> None:
    real = [*sets[0], pictures(1, seed=9)[0][:30, :40]]
    for index, picture in enumerate(real):
        write_png(tmp_path / f"{index}.png", picture)
    found = distances(tmp_path, sets[1], "vgg16", weights)
    assert found == distances(real, sets[1], "vgg16", weights)
    assert found.frechet.details == {"resize": 128}
    assert found.kernel.details["kid_subset_size"] == 3  # of 7 and 8 pictures
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("small")
def test_only_inception_is_called_fid(sets: tuple[Pictures, Pictures], weights: Path, tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own Inception is asked for, with the given tensors; its numbers get the field's names."""
    asked: dict[str, Any] = {}

    def library(**options: Any) -> dict[str, float]:
        asked.update(options, times=asked.get("times", 0) + 1,
                     tensors=torch.load(options["feature_extractor_weights_path"], weights_only=True))
        return {"frechet_inception_distance": 3.0, "kernel_inception_distance_mean": 0.2,
                "kernel_inception_distance_std": 0.1}

    torch.save({"fc.weight": torch.ones(2)}, tmp_path / "inception.pth")
    monkeypatch.setattr(distance, "calculate_metrics", library)
    monkeypatch.setattr(distance, "_inception", lambda weights: read_state(tmp_path / "inception.pth"))
    real, fake = (PictureSet(side, "some") for side in sets)
    scores = {name: metrics.get(name).function(real, fake) for name in ("fid", "kid_inception")}
    assert asked["feature_extractor"] == "inception-v3-compat" and asked["tensors"]["fc.weight"].tolist() == [1, 1]
    assert (scores["fid"].value, scores["kid_inception"].value) == (3.0, 0.2)
    assert scores["fid"].details["resize"] == 299 and scores["kid_inception"].details["sd"] == 0.1
    assert asked["times"] == 1, "both come from one computation"


def test_inception_without_a_network(sets: tuple[Pictures, Pictures], tmp_path: Path,
                                     monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("name resolution failed")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="could not download Inception.*name resolution.*vgg16"):
        distances(*sets, extractor="inception")


@pytest.mark.parametrize(("extractor", "count", "path", "message"), [
    ("vgg", 2, None, "did you mean 'vgg16'"),
    ("vgg16", 1, None, r"too few fake pictures for a covariance \(1\)"),
    ("vgg16", 2, "absent.safetensors", "no weights for vgg16 .*check the path"),
    ("vgg16", 2, None, "reprolib weights fetch vgg16"),
    ("inception", 2, "absent.pth", "no weights for inception"),
])
def test_bad_input(extractor: str, count: int, path: str | None, message: str, tmp_path: Path,
                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / path if path else None
    with pytest.raises(UserError, match=message):
        distances(pictures(2, 0), pictures(count, 1), extractor, weights)
