"""One picture by every row of an ablation: what a row changes can be seen before means over a test set tell.

scikit-image's motorcycle stands in a room and has its measured depth, so that its haze is exact; no network is trained
on it, and it may be shown wherever this project goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reprolib import models, papers
from reprolib.data import haze
from reprolib.data.registry import get_dataset
from reprolib.evaluation.networks import load_network
from reprolib.metrics.protocols import measure
from reprolib.models.inference import restore, to_uint8
from reprolib.report.comparison import Panel, Row
from reprolib.report.shown import SCORES, test_pictures
from reprolib.results.quantity import text
from reprolib.runs.places import Places
from reprolib.runs.profile import read_profile
from reprolib.runs.rows import rows_of
from reprolib.runs.run import DehazingRun

BETA, LIGHT = 0.2, 0.9
"""Haze of middling density."""

FEWEST = 2
"""Rows, for a comparison."""


def hazy_scene() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The scene under its haze, and clear; uint8 HW3."""
    clear, depth = haze.motorcycle()
    return haze.scatter(clear, haze.transmission(depth, BETA), LIGHT), clear


def through(networks: Mapping[str, tuple[str, Path]], metrics: Sequence[str]) -> Row:
    """The hazy scene, what each network makes of it, and the clear scene, with the scores of each.

    Args:
        networks: system and weights by label.
    """
    hazy, clear = hazy_scene()

    def panel(label: str, picture: NDArray[np.floating]) -> Panel:
        scores = measure(picture, clear / 255, metrics=metrics)
        return Panel(label, to_uint8(picture), " / ".join(text(name, value) for name, value in scores.items()))

    panels = [panel("hazy", hazy / 255)]
    for label, (name, weights) in networks.items():
        system = models.get(name)
        panels.append(panel(label, restore(load_network(system, weights), hazy, system.multiple)))
    return [*panels, Panel("clear", clear)]


def through_rows(profile: str, table: str, root: Path = Path()) -> Row:
    """The scene through the last checkpoint of each row's first run, as `through`.

    Empty where fewer than two rows were trained in the profile, or their checkpoints are not here, and for a table of
    systems: figures 7 and 8 show these.
    """
    printed = papers.table(table)[1]
    if printed.task:
        return []
    runs = [run for run in read_profile(profile, root).runs.values()
            if isinstance(run, DehazingRun) and _weights(run, root).is_file()]
    first = {row.label: next((run for run in runs if row.id in run.rows), None) for row in rows_of(table).values()}
    trained = {label: (run.system, _weights(run, root)) for label, run in first.items() if run}
    return through(trained, printed.metrics[:SCORES]) if len(trained) >= FEWEST else []


def picture_of(dataset: str) -> NDArray[np.uint8]:
    """A hazy picture to look into a network with, uint8 HW3: the first test picture that figures show of a dataset, and
    the scene where its pictures are its authors' to publish."""
    return test_pictures(dataset, 1)[0].source if get_dataset(dataset).embedded else hazy_scene()[0]


def _weights(run: DehazingRun, root: Path) -> Path:
    return Places(run, root).checkpoint / "last.safetensors"
