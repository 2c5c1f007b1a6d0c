"""The README's first picture: what the trained dehazer and translator make of one embedded photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reprolib import models
from reprolib.data import domains, haze, labels, photos
from reprolib.evaluation.apply import RUN
from reprolib.evaluation.networks import load_network
from reprolib.evaluation.trained import described, trained
from reprolib.models.inference import to_uint8
from reprolib.models.weights import read_header
from reprolib.report.comparison import Panel, Row
from reprolib.report.figures import save

OUTPUT = Path("docs/teaser.jpg")

PHOTO = "2"
"""A street photo of the test split: no network was trained on it."""

DEHAZER, HAZE = "aecrnet", "haze-homogeneous"

TRANSLATOR, MAPS = "cut", "photos-labels2photo"


def write(output: Path = OUTPUT, root: Path = Path()) -> list[str]:
    """Draw it with the best networks there are (`reprolib.evaluation.trained`); returns whose they are, in words.

    Raises:
        UserError: a network is not there, or the photos are not.
    """
    clear = photos.shrink(photos.load()[PHOTO])
    dehazer, translator = trained(DEHAZER, root=root), trained(TRANSLATOR, dataset=MAPS, root=root)
    save(draw([dehazed(clear, dehazer), translated(clear, translator)]), output)
    return [described(dehazer), described(translator)]


def dehazed(clear: NDArray[np.uint8], weights: Path) -> Row:
    """The photo under synthetic haze, what a network makes of it, and the photo itself."""
    hazy, _ = haze.synthesise(clear, HAZE, PHOTO, 1)
    return [Panel("hazy (synthetic)", hazy), Panel(_name(DEHAZER, weights), _run(DEHAZER, weights, hazy)),
            Panel("clear", clear)]


def translated(photo: NDArray[np.uint8], weights: Path) -> Row:
    """The label map of a photo's halves, as the dataset cuts them, what a network makes of it, and the photo."""
    halves = [half for _, half in domains.halves(photo)]
    maps = [labels.encode(domains.label_by_rule(half)) for half in halves]
    made = [_run(TRANSLATOR, weights, half) for half in maps]
    return [Panel("label map", np.hstack(maps)), Panel(_name(TRANSLATOR, weights), np.hstack(made)),
            Panel("photo", np.hstack(halves))]


def draw(rows: list[Row]) -> Figure:
    """Pictures row by row, each with its label above it."""
    figure = Figure(figsize=(14.4, 6.1), layout="constrained")
    heights = [row[0].picture.shape[0] / row[0].picture.shape[1] for row in rows]
    for line, row in zip(figure.subplots(len(rows), len(rows[0]), height_ratios=heights), rows, strict=True):
        for axes, panel in zip(line, row, strict=True):
            axes.imshow(panel.picture)
            axes.set_title(panel.label)
            axes.axis("off")
    return figure


def _run(system: str, weights: Path, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    spec = models.get(system)
    return to_uint8(RUN[spec.task](load_network(spec, weights), picture, spec.multiple))


def _name(system: str, weights: Path) -> str:
    return f"{models.get(system).label.removesuffix(' (Ours)')}, {read_header(weights).step:,} steps here"
