"""What each choice that the papers leave to whoever implements DCP does to its scores.

Each is varied from one base, on the same pictures; so are slips of measuring that do not concern DCP.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.transform import resize
from torch import Tensor

from reprolib import metrics
from reprolib.data.paired import Pair
from reprolib.errors import unknown
from reprolib.evaluation.dehazing import mean
from reprolib.evaluation.printed import IN_USE
from reprolib.metrics.protocols import DEFAULT, measure
from reprolib.models.dehazing.dcp import DCP
from reprolib.models.inference import restore
from reprolib.progress import track


@dataclass(frozen=True)
class Variant:
    """One choice that differs from the base, or two where the words say so."""

    choice: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of `reprolib.models.dehazing.dcp.DCP`."""
    protocol: str = DEFAULT
    """Of PSNR and of the first SSIM."""
    eight_bits: bool = False
    """Transmission and result are rounded to 8 bits, as where each step is saved as a picture."""
    resized_truth: bool = False
    """The clear pictures of SOTS have a border of 10 pixels: as if they had been resized, not cut."""
    swapped: bool = False
    """The result in BGR is compared with a truth in RGB, as where OpenCV has read one and not the other."""


VARIANTS = (
    Variant("base: guided filter r 60 eps 1e-4, brightest pixel, omega 0.95, t0 0.1, window 15"),
    Variant("no refinement", {"refine": "none"}),
    Variant("guided filter r 20", {"radius": 20}),
    Variant("guided filter r 15 eps 1e-3", {"radius": 15, "epsilon": 1e-3}),
    Variant("airlight: mean of the 0.1 % pixels", {"airlight": "mean"}),
    Variant("airlight: largest value of each channel", {"airlight": "largest"}),
    Variant("omega 1", {"omega": 1.0}),
    Variant("omega 0.75", {"omega": 0.75}),
    Variant("t0 0.3", {"t0": 0.3}),
    Variant("window 31", {"patch": 31}),
    Variant("window 9", {"patch": 9}),
    Variant("window 7", {"patch": 7}),
    Variant("window 5", {"patch": 5}),
    Variant("window 3", {"patch": 3}),
    Variant("window 7, no refinement", {"patch": 7, "refine": "none"}),
    Variant("window 3, no refinement", {"patch": 3, "refine": "none"}),
    Variant("8 bits after each step", eight_bits=True),
    Variant("not clipped, and measured so (SSIM 7x7)", {"clip": False}, protocol="skimage7"),
    Variant("truth resized instead of cut", resized_truth=True),
    Variant("result in BGR against a truth in RGB", swapped=True),
)
MATTING = Variant("soft matting, lambda 1e-4 (the paper's)", {"refine": "matting"})
"""By itself, since it takes some seconds a picture."""

def choose_variants(named: Sequence[str]) -> tuple[Variant, ...]:
    """The base, and the variants whose words begin with one of these; all but soft matting if there are none.

    Raises:
        UserError: nothing begins so.
    """
    if not named:
        return VARIANTS
    known = (*VARIANTS[1:], MATTING)
    for words in named:
        if not any(variant.choice.startswith(words) for variant in known):
            raise unknown("choice of DCP", words, (variant.choice for variant in known))
    return (VARIANTS[0], *(v for v in known if v.choice.startswith(tuple(named))))


OTHER_SSIMS = ("grey", "volume")
"""Protocols of `reprolib.evaluation.printed` whose SSIM stands beside the first: nobody says which one was printed."""


class EightBitDCP(DCP):
    """Rounds the transmission to 8 bits, and the result."""

    def transmission(self, hazy_B3HW: Tensor, airlight_B311: Tensor) -> Tensor:
        return _rounded(super().transmission(hazy_B3HW, airlight_B311))

    def forward(self, hazy_B3HW: Tensor) -> Tensor:
        return _rounded(super().forward(hazy_B3HW))


def _rounded(x: Tensor) -> Tensor:
    return (x.clamp(0, 1) * 255).round() / 255


def measure_variants(dataset: str, pairs: Sequence[Pair], variants: Iterable[Variant] = VARIANTS) -> pd.DataFrame:
    """Mean PSNR and SSIM of each variant over pairs of a dataset, rounded to the digits that a table prints.

    Args:
        variants: the first one is what `against base` is the difference to.

    Returns:
        Columns dataset, pictures, choice, psnr, ssim, 'ssim PROTOCOL' for `OTHER_SSIMS`, against base.
    """
    ways = {way.name: way for way in IN_USE}
    rows = []
    for variant in track(list(variants), "variants of DCP"):
        network = (EightBitDCP if variant.eight_bits else DCP)(**variant.options)
        scores: dict[str, list[float]] = {}
        for pair in pairs:
            clear = pair.clear.astype(np.float32) / 255
            truth = misregistered(clear) if variant.resized_truth else clear
            restored = restore(network, pair.hazy)[..., ::-1 if variant.swapped else 1]
            first = measure(restored, truth, variant.protocol, ("psnr", "ssim"))
            for name in OTHER_SSIMS:
                first[f"ssim {name}"] = measure(restored, truth, ways[name], ("ssim",))["ssim"]
            for name, value in first.items():
                scores.setdefault(name, []).append(value)
        means = {name: round(mean(values), metrics.get(name.split()[0]).decimals) for name, values in scores.items()}
        rows.append({"dataset": dataset, "pictures": len(pairs), "choice": variant.choice, **means})
    frame = pd.DataFrame(rows)
    frame["against base"] = (frame["psnr"] - frame["psnr"][0]).round(metrics.get("psnr").decimals)
    return frame


def misregistered(clear_HW3: NDArray[np.floating]) -> NDArray[np.floating]:
    """A truth that is out of scale by as much as one of 640x480 that was resized to 620x460.

    The border itself is not at hand any more, so the picture is enlarged by that ratio instead of reduced.
    """
    height, width = clear_HW3.shape[:2]
    top, left = round(height * 10 / 480), round(width * 10 / 640)
    inner = clear_HW3[top : height - top, left : width - left]
    enlarged: NDArray[np.floating] = resize(inner, clear_HW3.shape, order=1, anti_aliasing=False)
    return enlarged.astype(np.float32)
