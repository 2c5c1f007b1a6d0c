"""What each choice that the papers leave to whoever implements DCP does to its scores.

Each is varied by itself, from one base, on the same pictures; so are two slips of measuring that do not concern DCP.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.transform import resize

from reprolib import metrics
from reprolib.data.paired import Pair, PairedFolder, open_split, scene
from reprolib.errors import UserError
from reprolib.evaluation.dehazing import mean
from reprolib.metrics.protocols import measure
from reprolib.models.dehazing.dcp import DCP
from reprolib.models.inference import restore
from reprolib.progress import track


@dataclass(frozen=True)
class Variant:
    """One choice that differs from the base."""

    choice: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of `reprolib.models.dehazing.dcp.DCP`."""
    protocol: str = "aecr"
    resized_truth: bool = False
    """The clear pictures of SOTS have a border of 10 pixels: as if they had been resized, not cut."""


VARIANTS = (
    Variant("base: guided filter r 60 eps 1e-4, brightest pixel, omega 0.95, t0 0.1, window 15"),
    Variant("soft matting, lambda 1e-4 (the paper's)", {"refine": "matting"}),
    Variant("no refinement", {"refine": "none"}),
    Variant("guided filter r 20", {"radius": 20}),
    Variant("guided filter eps 1e-3", {"epsilon": 1e-3}),
    Variant("airlight: mean of the 0.1 % pixels", {"airlight": "mean"}),
    Variant("omega 1", {"omega": 1.0}),
    Variant("omega 0.75", {"omega": 0.75}),
    Variant("window 7", {"patch": 7}),
    Variant("window 3", {"patch": 3}),
    Variant("window 31", {"patch": 31}),
    Variant("window 7, no refinement", {"patch": 7, "refine": "none"}),
    Variant("t0 0.01", {"t0": 0.01}),
    Variant("t0 0.3", {"t0": 0.3}),
    Variant("not clipped, and measured so (SSIM 7x7)", {"clip": False}, protocol="skimage7"),
    Variant("truth resized instead of cut", resized_truth=True),
)


def choose_pictures(dataset: str, limit: int, data_root: Path | None = None) -> PairedFolder:
    """At most `limit` test pairs, each of another scene and, of the versions of its scene, of another strength of haze.

    Raises:
        UserError: the dataset is not there, or a limit below 1.
    """
    if limit < 1:
        raise UserError(f"a limit of {limit} leaves no pictures", fix="give 1 or more")
    pairs = open_split(dataset, "test", root=data_root)
    scenes: dict[str, list[tuple[str, Path, Path]]] = {}
    for file in pairs.files:
        scenes.setdefault(scene(file[0]), []).append(file)
    chosen = [versions[number % len(versions)] for number, versions in enumerate(scenes.values())]
    return PairedFolder(chosen[:limit], pairs.border)


def measure_variants(dataset: str, pairs: Sequence[Pair], variants: Iterable[Variant] = VARIANTS,
                     chosen: Sequence[str] | None = None) -> pd.DataFrame:
    """Means of each variant over pairs of a dataset, rounded to the digits that a table prints.

    Soft matting takes some seconds a picture.

    Args:
        chosen: names of metrics of pictures, by default those that are measured everywhere; of the first one there is
            also the difference to the base.
    """
    if chosen is None:
        chosen = [name for name in metrics.names("pictures") if metrics.get(name).everywhere]
    rows = []
    for variant in track(list(variants), "variants of DCP"):
        network, scores = DCP(**variant.options), []
        for pair in pairs:
            clear = pair.clear.astype(np.float32) / 255
            truth = misregistered(clear) if variant.resized_truth else clear
            scores.append(measure(restore(network, pair.hazy), truth, variant.protocol, chosen))
        means = {name: mean([s[name] for s in scores]) for name in chosen}
        rows.append({"dataset": dataset, "pictures": len(pairs), "choice": variant.choice, **means})
    frame = pd.DataFrame(rows)
    frame["against base"] = (frame[chosen[0]] - frame[chosen[0]][0]).round(metrics.get(chosen[0]).decimals)
    return frame.round({name: metrics.get(name).decimals for name in chosen})


def misregistered(clear_HW3: NDArray[np.floating]) -> NDArray[np.floating]:
    """A truth that is out of scale by as much as one of 640x480 that was resized to 620x460.

    The border itself is not at hand any more, so the picture is enlarged by that ratio instead of reduced.
    """
    height, width = clear_HW3.shape[:2]
    top, left = round(height * 10 / 480), round(width * 10 / 640)
    inner = clear_HW3[top : height - top, left : width - left]
    enlarged: NDArray[np.floating] = resize(inner, clear_HW3.shape, order=1, anti_aliasing=False)
    return enlarged.astype(np.float32)
