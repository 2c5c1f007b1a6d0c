"""How a claim comes about: two rows of a table along their training, on the same crops.

Runs with one seed see the same batches, so that at every step their L1 may be compared before any test picture is:
with few seeds that tells more than the end does, and whether a difference grows or goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from reprolib import papers
from reprolib.evaluation.record import read_file
from reprolib.report.shown import training_log
from reprolib.results.claims import margin
from reprolib.runs.places import Places
from reprolib.runs.profile import read_profile
from reprolib.runs.rows import rows_of
from reprolib.runs.run import DehazingRun

WINDOWS = 10
"""Equal parts of the training over which a difference is averaged: single batches are noise."""
FEWEST = 2
"""Seeds, for a difference to have an interval."""
LEVELS = 255
COLUMNS = 3


def differences(profile: str, table: str, root: Path = Path()) -> dict[str, pd.DataFrame]:
    """L1 of one row minus that of another in each part of the training, in grey levels of 255; below zero is better.

    Returns:
        By claim ('CR* beside base'), for every pair of rows that a claim compares and that were trained on the same
        batches with at least `FEWEST` seeds, none of which collapsed: columns step (the part's last), difference (mean
        over seeds), margin (half of its 95 % interval) and seeds.
    """
    logs: dict[str, list[tuple[DehazingRun, pd.DataFrame]]] = {}
    runs = [run for run in read_profile(profile, root).runs.values() if isinstance(run, DehazingRun) and run.rows]
    without_mean = {row for run in runs if _is_unusable(run, root) for row in run.rows}
    for run in runs:
        if (log := _log(run, root)) is not None:
            for row in set(run.rows) - without_mean:
                logs.setdefault(row, []).append((run, log))
    label = {row.id: row.label for row in rows_of(table).values()}
    found = {}
    for left, right in dict.fromkeys((c.left, c.right) for c in papers.claims() if c.table == table):
        pairs = {run.seed: (log, their_log) for run, log in logs.get(left, ())
                 for other, their_log in logs.get(right, ()) if _batches(run) == _batches(other)}
        if len(pairs) >= FEWEST:
            found[f"{label[left]} beside {label[right]}"] = _along(list(pairs.values()))
    return found


def _is_unusable(run: DehazingRun, root: Path) -> bool:
    """Whether its pictures show nothing, as its records say."""
    path = Places(run, root).records
    return path.is_file() and any(record.status != "ok" for record in read_file(path))


def _log(run: DehazingRun, root: Path) -> pd.DataFrame | None:
    """Of a training that is complete and minimised L1, among other things or alone."""
    if not (Places(run, root).checkpoint / "log.csv").is_file():
        return None
    log = training_log(run, root)
    return log if "l1" in log and len(log) and log["step"].iloc[-1] == run.steps else None


def _batches(run: DehazingRun) -> tuple[object, ...]:
    """What decides which crops a run sees, and how many."""
    return run.dataset, run.batch, run.crop, run.steps, run.seed


def _along(pairs: list[tuple[pd.DataFrame, pd.DataFrame]]) -> pd.DataFrame:
    by_seed = []
    for ours, theirs in pairs:
        both = ours.merge(theirs, on="step", suffixes=("", "_theirs"))
        part = np.ceil(both["step"] / both["step"].iloc[-1] * WINDOWS)
        by_seed.append((LEVELS * (both["l1"] - both["l1_theirs"])).groupby(part).mean())
        last = both["step"].groupby(part).max()
    each = pd.concat(by_seed, axis=1)
    return pd.DataFrame({"step": last, "difference": each.mean(axis=1), "seeds": len(pairs),
                         "margin": [margin(list(values)) for values in each.to_numpy()]})


def figure(found: Mapping[str, pd.DataFrame]) -> Figure:
    """A line a claim with its 95 % interval over seeds."""
    rows = -(-len(found) // COLUMNS)
    drawn = Figure(figsize=(11, 0.4 + 2.9 * rows), layout="constrained")
    drawn.subplots(rows, COLUMNS, sharey=True)
    for axes in drawn.axes[::COLUMNS]:
        axes.set_ylabel("L1, grey levels of 255")
    for axes in drawn.axes[len(found):]:
        axes.set_visible(False)
    for axes, (claim, along) in zip(drawn.axes, found.items(), strict=False):
        axes.axhline(0, color="grey", linewidth=0.8)
        axes.plot(along["step"], along["difference"], marker="o", markersize=3)
        axes.fill_between(along["step"], along["difference"] - along["margin"], along["difference"] + along["margin"],
                          alpha=0.2)
        axes.set_title(claim.replace(" beside ", "\nbeside "), fontsize=10)
        axes.set_xlabel(f"step ({along['seeds'].iloc[0]} seeds)")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(alpha=0.3)
    return drawn
