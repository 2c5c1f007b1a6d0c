"""One picture by every row of an ablation: what a row changes can be seen before means over a test set tell.

scikit-image's motorcycle stands in a room and has its measured depth, so that its haze is exact; no network is trained
on it, and it may be shown wherever this project goes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reprolib import models, papers
from reprolib.data import haze
from reprolib.evaluation.networks import load_network
from reprolib.metrics.protocols import measure
from reprolib.models.inference import restore, to_uint8
from reprolib.report.comparison import Panel, Row
from reprolib.report.shown import SCORES
from reprolib.results.quantity import text
from reprolib.runs.places import Places
from reprolib.runs.profile import read_profile
from reprolib.runs.rows import rows_of
from reprolib.runs.run import DehazingRun

BETA, LIGHT = 0.2, 0.9
"""Haze of middling density."""

FEWEST = 2
"""Rows, for a comparison."""


def through_rows(profile: str, table: str, root: Path = Path()) -> Row:
    """The hazy scene, what the last checkpoint of each row's first run makes of it, and the clear scene, with scores.

    Empty where fewer than two rows were trained in the profile, or their checkpoints are not here, and for a table of
    systems: figures 7 and 8 show these.
    """
    if papers.table(table)[1].task:
        return []
    runs = [run for run in read_profile(profile, root).runs.values()
            if isinstance(run, DehazingRun) and _weights(run, root).is_file()]
    first = {row.label: next((run for run in runs if row.id in run.rows), None) for row in rows_of(table).values()}
    trained = {label: run for label, run in first.items() if run}
    if len(trained) < FEWEST:
        return []
    clear, depth = haze.motorcycle()
    hazy = haze.scatter(clear, haze.transmission(depth, BETA), LIGHT)

    def panel(label: str, picture: np.ndarray) -> Panel:
        scores = measure(picture, clear / 255, metrics=papers.table(table)[1].metrics[:SCORES])
        return Panel(label, to_uint8(picture), " / ".join(text(name, value) for name, value in scores.items()))

    panels = [panel("hazy", hazy / 255)]
    for label, run in trained.items():
        system = models.get(run.system)
        panels.append(panel(label, restore(load_network(system, _weights(run, root)), hazy, system.multiple)))
    return [*panels, Panel("clear", clear)]


def _weights(run: DehazingRun, root: Path) -> Path:
    return Places(run, root).checkpoint / "last.safetensors"
