"""The DCP question: Table 1 prints 15.09 dB on SOTS, others 16.62 for the same set. Which choice moves it that far?

The papers leave several choices to whoever implements DCP. Each is varied here by itself, from one base, on the same
pictures; so are two slips of measuring that do not concern DCP at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from skimage.transform import resize

from reprolib.data.paired import Pair, PairedFolder, open_split, scene
from reprolib.errors import UserError
from reprolib.evaluation.published import PROFILE
from reprolib.files import write_text
from reprolib.inference import restore
from reprolib.metrics.quality import measure
from reprolib.models.dehazing.dcp import DCP
from reprolib.progress import track
from reprolib.report.markdown import to_markdown

PRINTED = {"Table 1 (AECR-Net)": (15.09, 0.7649), "FFA-Net, gUNet": (16.62, 0.8179)}
"""PSNR in dB and SSIM on SOTS indoor, as printed."""

REAL = "sots-indoor"


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


def measure_variants(pairs: Iterable[Pair], variants: Iterable[Variant] = VARIANTS) -> pd.DataFrame:
    """Mean PSNR in dB and SSIM of each variant over the pairs."""
    pairs, rows = list(pairs), []
    for variant in track(list(variants), "variants of DCP"):
        network, scores = DCP(**variant.options), []
        for pair in pairs:
            clear = pair.clear.astype(np.float32) / 255
            truth = misregistered(clear) if variant.resized_truth else clear
            scores.append(measure(restore(network, pair.hazy), truth, variant.protocol))
        rows.append({"choice": variant.choice, **{m: float(np.mean([s[m] for s in scores])) for m in ("psnr", "ssim")}})
    frame = pd.DataFrame(rows)
    frame["against base"] = (frame["psnr"] - frame["psnr"][0]).round(2)
    return frame.round({"psnr": 2, "ssim": 4})


def misregistered(clear_HW3: np.ndarray) -> np.ndarray:
    """A truth that is out of scale by as much as one of 640x480 that was resized to 620x460.

    The border itself is not at hand any more, so the picture is enlarged by that ratio instead of reduced.
    """
    height, width = clear_HW3.shape[:2]
    top, left = round(height * 10 / 480), round(width * 10 / 640)
    inner = clear_HW3[top : height - top, left : width - left]
    enlarged: np.ndarray = resize(inner, clear_HW3.shape, order=1, anti_aliasing=False)
    return enlarged.astype(np.float32)


def write(dataset: str, limit: int, data_root: Path | None = None, root: Path = Path()) -> None:
    """results/published/tables/dcp_variants.{csv,md}. Soft matting takes the better part of a minute a picture.

    Raises:
        UserError: no pictures to measure.
    """
    pairs = choose_pictures(dataset, limit, data_root)
    frame = measure_variants(pairs)
    frame.insert(0, "dataset", dataset)
    frame.insert(1, "pictures", len(pairs))
    out = root / "results" / PROFILE / "tables"
    write_text(out / "dcp_variants.csv", frame.to_csv(index=False, lineterminator="\n"))
    write_text(out / "dcp_variants.md", "\n".join(report(frame)))


def report(frame: pd.DataFrame) -> list[str]:
    """The table, and what it says about the printed numbers, in lines of Markdown."""
    lines = [f"# DCP: what each choice does to PSNR ({frame['pictures'][0]} pictures of {frame['dataset'][0]})", ""]
    shown = frame[["choice", "psnr", "against base", "ssim"]]
    shown = shown.assign(**{"psnr": frame["psnr"].map("{:.2f}".format),
                            "against base": frame["against base"].map("{:+.2f}".format)})
    lines += to_markdown(shown).splitlines()
    lines += ["", *(f"* {sentence}" for sentence in conclusions(frame)), ""]
    return lines


def conclusions(frame: pd.DataFrame) -> list[str]:
    """Which choice comes nearest to each printed number; on other pictures than SOTS, what cannot be concluded."""
    if frame["dataset"][0] != REAL:
        low, high = frame["psnr"].min(), frame["psnr"].max()
        return [f"Measured on {frame['dataset'][0]}, not on SOTS: only differences between choices mean anything, and "
                f"they span {low:.2f} to {high:.2f} dB. Register {REAL} to compare with the printed numbers."]
    found = []
    for source, (psnr, ssim) in PRINTED.items():
        nearest = frame.iloc[int((frame["psnr"] - psnr).abs().argmin())]
        found.append(f"{source} prints {psnr} dB / {ssim}; nearest is '{nearest['choice']}' with "
                     f"{nearest['psnr']:.2f} dB / {nearest['ssim']:.4f}.")
    return [*found, "A choice that lands near a printed number is a possible cause of it, no proof."]
