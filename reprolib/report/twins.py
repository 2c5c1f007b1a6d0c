"""What contrastive regularisation does to a picture: one scene through two networks trained without and with it.

The scene is that of `reprolib.report.scene`: a room that no network was trained on, under haze of its measured depth.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reprolib import models
from reprolib.data import haze
from reprolib.errors import UserError
from reprolib.evaluation.networks import load_network
from reprolib.evaluation.trained import described, weights_of
from reprolib.metrics.protocols import measure
from reprolib.models.inference import restore, to_uint8
from reprolib.report import teaser
from reprolib.report.comparison import Panel
from reprolib.report.figures import save
from reprolib.report.scene import BETA, LIGHT
from reprolib.results.quantity import text
from reprolib.runs.profile import find

OUTPUT = Path("docs/cr.jpg")

PROFILE = "indoor"

TWINS = {"without CR": "aecrnet-no-cr", "with CR": "aecrnet"}
"""Runs by what a reader is told of them; they differ in the term, and in precision (docs/indoor.md)."""


def write(output: Path = OUTPUT, root: Path = Path()) -> list[str]:
    """Draw it; returns whose networks they are, in words.

    Raises:
        UserError: the checkpoint of one is not there.
    """
    found: dict[str, Path] = {}
    for label, name in TWINS.items():
        weights = weights_of(find(PROFILE, name, root=root), root)
        if weights is None:
            raise UserError(f"no weights of '{name}'", where=root / "checkpoints" / PROFILE,
                            fix="dvc pull checkpoints/indoor/aecrnet")
        found[label] = weights
    save(teaser.draw(panels(found)), output)
    return [described(weights) for weights in found.values()]


def panels(weights: dict[str, Path]) -> list[Panel]:
    """The hazy scene, what each network makes of it, and the clear scene; each label with PSNR and SSIM."""
    clear, depth = haze.motorcycle()
    hazy = haze.scatter(clear, haze.transmission(depth, BETA), LIGHT)
    system = models.get("aecrnet")
    made = {"hazy": hazy / 255.0} | {
        label: restore(load_network(system, path), hazy, system.multiple) for label, path in weights.items()}
    return [*(Panel(f"{label}: {_scores(picture, clear)}", to_uint8(picture)) for label, picture in made.items()),
            Panel("clear", clear)]


def _scores(picture: np.ndarray, clear: np.ndarray) -> str:
    found = measure(picture, clear / 255.0, metrics=["psnr", "ssim"])
    return f"{text('psnr', found['psnr'])} dB / {text('ssim', found['ssim'])}"
