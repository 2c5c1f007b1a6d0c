"""Synthetic haze by the atmospheric scattering model I = J t + A (1 - t), t = exp(-beta d).

As in RESIDE (Li et al., TIP 2019, equations 1 and 2), the model is applied to 8-bit sRGB values, not to linear light.
For the street photos the depth d is *assumed*, not measured, and every result made with it says so; for the motorcycle
scene it is true.

The ranges below were chosen so that the hazy test pictures score about as the benchmarks that they stand in for:
12 to 14 dB for homogeneous haze (SOTS indoor: 12.0), 9 to 11 for dense, between the two for patchy haze.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter


@dataclass(frozen=True)
class Haze:
    """Ranges that the haze of a dataset is drawn from, uniformly."""

    beta: tuple[float, float]
    """Scattering per unit of depth."""
    light: tuple[float, float]
    """Airlight A, the same in R, G and B."""
    patchy: float = 0.0
    """How far beta varies over the picture, as a share of it: 0 is homogeneous."""

    def draw(self, random: np.random.Generator) -> Veil:
        """The haze of one picture; where it may be patchy, every other one is, by up to that share."""
        beta, light = random.uniform(*self.beta), random.uniform(*self.light)
        if not self.patchy:
            return Veil(beta, light)
        return Veil(beta, light, max(0.0, random.uniform(-self.patchy, self.patchy)), int(random.integers(2**32)))


@dataclass(frozen=True)
class Veil:
    """The haze that was drawn for one picture."""

    beta: float
    light: float
    patchy: float = 0.0
    seed: int = 0
    """Of the patches."""

    def scattering(self, height: int, width: int) -> float | np.ndarray:
        """beta of the whole picture, or of each of its pixels (HW)."""
        return scattering(self.beta, self.patchy, height, width, np.random.default_rng(self.seed))


KINDS = {
    "haze-homogeneous": Haze(beta=(0.8, 2.0), light=(0.75, 1.0)),
    "haze-dense": Haze(beta=(2.2, 3.4), light=(0.75, 0.95)),
    "haze-nonhomogeneous": Haze(beta=(1.2, 2.6), light=(0.75, 1.0), patchy=0.9),
}


def generator(*key: object) -> np.random.Generator:
    """Random numbers that depend on the key alone."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def assumed_depth(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """A street as a level camera sees it: a ground plane up to the horizon, houses above it on either side.

    On a ground plane the depth of row y below the horizon y0 is proportional to 1 / (y - y0). The horizon is drawn
    at 40 to 55 % of the height; the nearest row is at 0.15 of the farthest depth, which is 1. Houses to either side
    stand nearer than the vanishing point, so depth also falls with the horizontal distance from it. The result is
    smoothed, and knows nothing of the picture: a tree in the middle of the street is as far as the street's end.

    Returns:
        float HW in [0.15, 1].
    """
    horizon, vanishing = random.uniform(0.40, 0.55), random.uniform(0.35, 0.65)
    y, x = np.mgrid[0.5:height, 0.5:width] / np.array([height, width]).reshape(2, 1, 1)
    ground = 0.15 * (1 - horizon) / np.maximum(y - horizon, 1e-6)
    sides = 1 / (1 + 2.5 * np.abs(x - vanishing))
    depth = np.minimum(ground, sides)
    return gaussian_filter(depth.clip(0.15, 1), height / 40, mode="nearest")


def patches(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """A smooth random field HW with mean 1 and values in [0, 2]: four octaves of interpolated noise."""
    field = np.zeros((height, width), np.float32)
    for octave in range(4):
        cells = 2 ** (octave + 1)
        noise = random.standard_normal((cells + 2, cells * 3 // 2 + 2)).astype(np.float32)
        field += np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)) / 2**octave
    field -= field.mean()
    return 1 + np.clip(field / (2 * field.std()), -1, 1)


def scattering(beta: float, patchy: float, height: int, width: int,
               random: np.random.Generator) -> float | np.ndarray:
    """beta of every pixel (HW) where haze is patchy, else of the whole picture."""
    return beta * (1 + patchy * (patches(height, width, random) - 1)) if patchy else beta


def transmission(depth_HW: np.ndarray, beta: float | np.ndarray) -> np.ndarray:
    """t = exp(-beta d)."""
    return np.exp(-beta * depth_HW)


def scatter(clear_HW3: np.ndarray, transmission_HW: np.ndarray, light: float) -> np.ndarray:
    """I = J t + A (1 - t); uint8 in and out, `light` in [0, 1]."""
    t = transmission_HW[..., None].astype(np.float32)
    hazy = clear_HW3 * t + (255 * light) * (1 - t)
    return (hazy + 0.5).clip(0, 255).astype(np.uint8)


def synthesise(clear_HW3: np.ndarray, dataset: str, photo: str, variant: int) -> tuple[np.ndarray, dict[str, float]]:
    """Haze over a street photo; a pure function of its arguments.

    Returns:
        hazy uint8 HW3, and the beta and A that were drawn.
    """
    kind, (height, width) = KINDS[dataset], clear_HW3.shape[:2]
    depth = depth_of(photo, height, width)
    random = generator(dataset, photo, variant)
    beta, light = float(random.uniform(*kind.beta)), float(random.uniform(*kind.light))
    local = scattering(beta, kind.patchy, height, width, random)
    return scatter(clear_HW3, transmission(depth, local), light), {"beta": round(beta, 6), "light": round(light, 6)}


@lru_cache(maxsize=4)
def depth_of(photo: str, height: int, width: int) -> np.ndarray:
    """A scene has one depth, whatever the haze."""
    return assumed_depth(height, width, generator("depth", photo))


def motorcycle() -> tuple[np.ndarray, np.ndarray]:
    """scikit-image's motorcycle scene (Scharstein et al., GCPR 2014) and its true depth.

    Z = f b / (disparity + doffs) with the constants of its calibration. The 7.3 % of pixels without a disparity take
    that of the nearest pixel that has one.

    Returns:
        clear uint8 HW3, depth float HW in metres (2.1 to 5.0).
    """
    from skimage.data import stereo_motorcycle

    left, _, disparity = stereo_motorcycle()
    valid = np.isfinite(disparity) & (disparity > 0)
    nearest = distance_transform_edt(~valid, return_distances=False, return_indices=True)
    filled = disparity[tuple(nearest)]
    return np.ascontiguousarray(left[..., :3]), 994.978 * 0.193001 / (filled + 31.086)
