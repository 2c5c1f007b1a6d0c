"""The README's first picture: what the trained dehazer and the trained translator make of one embedded photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reprolib import models
from reprolib.data import haze, photos
from reprolib.evaluation.apply import RUN
from reprolib.evaluation.networks import load_network
from reprolib.evaluation.trained import described, trained
from reprolib.models.inference import to_uint8
from reprolib.report.comparison import Panel, Row
from reprolib.report.figures import save

OUTPUT = Path("docs/teaser.jpg")

PHOTO = "2"
"""A street photo of the test split: no network was trained on it."""

DEHAZER, HAZE = "aecrnet", "haze-homogeneous"

TRANSLATOR, DOMAINS = "cut", "photos-hazy2clear"


def write(output: Path = OUTPUT, root: Path = Path()) -> list[str]:
    """Draw it with the best networks there are (`reprolib.evaluation.trained`); returns whose they are, in words.

    Raises:
        UserError: a network is not there, or the photos are not.
    """
    clear = photos.shrink(photos.load()[PHOTO])
    dehazer, translator = trained(DEHAZER, root=root), trained(TRANSLATOR, dataset=DOMAINS, root=root)
    save(draw(panels(clear, dehazer, translator)), output)
    return [described(dehazer), described(translator)]


def panels(clear: NDArray[np.uint8], dehazer: Path, translator: Path) -> Row:
    """The photo under synthetic haze, what the network makes of it that saw pairs and the one that saw none, and the
    photo itself."""
    hazy, _ = haze.synthesise(clear, HAZE, PHOTO, 1)
    return [Panel("hazy (synthetic)", hazy),
            Panel(f"{_name(DEHAZER)}, trained here on pairs", _run(DEHAZER, dehazer, hazy)),
            Panel(f"{_name(TRANSLATOR)}, trained here without pairs", _run(TRANSLATOR, translator, hazy)),
            Panel("clear", clear)]


def draw(row: Row) -> Figure:
    """Pictures side by side, two in a line, each with its label above it."""
    figure = Figure(figsize=(14.4, 10.2), layout="constrained")
    for axes, panel in zip(figure.subplots(2, 2).flat, row, strict=True):
        axes.imshow(panel.picture)
        axes.set_title(panel.label, fontsize=16)
        axes.axis("off")
    return figure


def _run(system: str, weights: Path, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    spec = models.get(system)
    return to_uint8(RUN[spec.task](load_network(spec, weights), picture, spec.multiple))


def _name(system: str) -> str:
    return models.get(system).label.removesuffix(" (Ours)")
