"""What contrastive regularisation does to a picture: one scene through two networks trained without and with it.

The scene is that of `reprolib.report.scene`: a room that no network was trained on, under haze of its measured depth.
"""

from __future__ import annotations

from pathlib import Path

from reprolib.errors import UserError
from reprolib.evaluation.trained import described, weights_of
from reprolib.report import scene, teaser
from reprolib.report.comparison import Panel, Row
from reprolib.report.figures import save
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


def panels(weights: dict[str, Path]) -> Row:
    """The hazy scene, what each network makes of it, and the clear scene; each label with PSNR and SSIM."""
    row = scene.through({label: ("aecrnet", path) for label, path in weights.items()}, ("psnr", "ssim"))
    return [Panel(": ".join(filter(None, (panel.label, panel.text.replace(" / ", " dB / ")))), panel.picture)
            for panel in row]
