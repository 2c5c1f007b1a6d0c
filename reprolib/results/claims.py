"""The papers' claims held against what was measured here: a difference, its interval, a verdict.

A claim says that one row is better than another in a column and metric. Any profile may bear evidence for it; what was
measured on the real test set goes before stand-ins, the full-size network before a reduced one, more seeds before
fewer. Differences are taken in the claim's direction: above zero speaks for it.

The interval (95 %, Student's t) is over seeds, paired: two runs with one seed see the same batches. Where a run has one
seed, the spread of other runs of its profile stands in; where there is none, the interval is over test pictures, paired
too, and its basis says that noise over seeds is not in it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev, variance

from reprolib import metrics, models, papers
from reprolib.data.registry import get_dataset
from reprolib.evaluation.record import Record
from reprolib.papers.claims import Claim
from reprolib.results.gate import key
from reprolib.results.ledger import Source, run_id, size_of_split
from reprolib.runs.places import results_folder
from reprolib.runs.profile import profiles as known_profiles
from reprolib.runs.rows import all_rows

HOLDS, NOISE, FALLS, UNTESTED = "holds", "within noise", "does not hold", "not tested"
CONFIDENCE = 0.95

Rank = tuple[bool, bool, bool, bool, int, int]


@dataclass(frozen=True)
class Evidence:
    """What one profile says of a claim."""

    profile: str
    """Empty for what is counted."""
    dataset: str
    """Empty for what is counted or timed once a system."""
    measured: str
    """Metric, the printed one or one that stands for it."""
    difference: float
    """Above zero speaks for the claim."""
    margin: float | None
    """Half of the interval: 0 for an exact count, None where nothing is known of the noise."""
    basis: str
    """What the interval is over, in words."""
    seeds: int = 1
    pictures: int = 0
    why: str = ""
    """What a reader must know: a stand-in, a reduced network, code that has changed since."""
    rank: Rank = field(default=(False,) * 4 + (0, 0), compare=False)

    @property
    def verdict(self) -> str:
        if self.margin is None:
            return UNTESTED
        if abs(self.difference) <= self.margin and self.margin > 0:
            return NOISE
        return HOLDS if self.difference > 0 else FALLS

    @property
    def interval(self) -> str:
        """'+0.35 [-0.10, +0.80]', in the metric's unit."""
        low, high = (self.difference + side * (self.margin or 0.0) for side in (-1, 1))
        return f"{self.difference:+.3g}" + (f" [{low:+.3g}, {high:+.3g}]" if self.margin else "")


def sources(profile: str | None = None, root: Path = Path()) -> list[Source]:
    """Of one profile, or of all.

    Raises:
        UserError: not in a project.
    """
    return [Source(name, root) for name in ([profile] if profile else known_profiles(root))]


def evidence(claim: Claim, among: Sequence[Source]) -> list[Evidence]:
    """All evidence for or against a claim, the best first; empty if nothing that bears on it was measured."""
    return sorted((e for source in among for e in _of_source(claim, source)), key=lambda e: e.rank, reverse=True)


def verdict(found: Sequence[Evidence]) -> str:
    """That of the best evidence."""
    return found[0].verdict if found else UNTESTED


def _of_source(claim: Claim, source: Source) -> Iterator[Evidence]:
    table = papers.table(claim.table)[1]
    left, right = (all_rows()[row].system for row in (claim.left, claim.right))
    sign = 1.0 if claim.better == "higher" else -1.0
    if claim.metric in table.counts:
        counts = [models.full_size_count(name) for name in (left, right) if name in models.names()]
        if len(counts) == 2:
            yield Evidence("", "", claim.metric, sign * (counts[0] - counts[1]), 0.0, "exact counts")
    elif claim.metric in table.costs:
        costs = [source.costs[name] for name in (left, right) if name in source.costs]
        if len(costs) == 2:
            values = [cost.values[claim.metric] for cost in costs]
            yield Evidence(source.profile, "", claim.metric, sign * (values[0] - values[1]), 0.0,
                           "one measurement of all systems in one run", why=costs[0].conditions,
                           rank=(True, False, "full size" in costs[0].conditions, False, 1, 0))
    else:
        sides = [_by_dataset(claim, row, source) for row in (claim.left, claim.right)]
        for place in sides[0].keys() & sides[1].keys():
            yield from _measured(sides[0][place], sides[1][place], sign, source)


def _by_dataset(claim: Claim, row: str, source: Source) -> dict[tuple[str, str], list[Record]]:
    """Records of a row that may be compared with another's: by dataset and measured metric, those of one run."""
    paper = papers.papers()[claim.paper]
    found: dict[tuple[str, str], dict[str, list[Record]]] = {}
    for r in source.of(paper, all_rows()[row], claim.column, claim.metric):
        if r.value is not None:
            found.setdefault((r.dataset, r.metric), {}).setdefault(r.experiment, []).append(r)
    return {place: sorted(runs[min(runs)], key=lambda r: r.seed) for place, runs in found.items()}


def _measured(left: list[Record], right: list[Record], sign: float, source: Source) -> Iterator[Evidence]:
    first = left[0]
    ours, theirs = (_by_seed(side, source) for side in (left, right))
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        return
    differences = [sign * (ours[seed] - theirs[seed]) for seed in common]
    half, basis = _noise(left, right, differences, source)
    stale = next(filter(None, map(source.outdated, (*left, *right))), "")
    real, reduced = not get_dataset(first.dataset).embedded, first.reduced or right[0].reduced
    complete = first.n == size_of_split(first.dataset)
    why = "; ".join(filter(None, [
        "" if real else f"{first.dataset} stands in", "reduced networks" if reduced else "",
        f"{first.steps:,} steps" if first.steps else "", stale]))
    yield Evidence(source.profile, first.dataset, first.metric, mean(differences), half, basis, len(common), first.n,
                   why, (not stale, real, real and complete, not reduced, len(common), first.steps))


def _by_seed(records: list[Record], source: Source) -> dict[int, float]:
    """Values by seed, those of the calibration among them if it was of the same training."""
    known = source.expected.get(key(records[0]))
    values: dict[int, float] = {}
    if known and known["steps"] == records[0].steps and known["network"] == dict(records[0].network):
        values = {int(seed): float(value) for seed, value in known.get("values", {}).items()}
    return values | {r.seed: r.value for r in records if r.value is not None}


def _noise(left: list[Record], right: list[Record], differences: list[float],
           source: Source) -> tuple[float | None, str]:
    """Half of the interval, and what it is over."""
    count = len(differences)
    if count > 1:
        return margin(differences), f"{count} seeds, paired"
    spreads = [values for values in _several(left[0], source) if len(values) > 1]
    freedom = sum(len(values) - 1 for values in spreads)
    if freedom:
        pooled = sum(variance(values) * (len(values) - 1) for values in spreads) / freedom
        return _quantile(freedom) * math.sqrt(2 * pooled), f"one seed; spread of {len(spreads)} other runs"
    paired = _by_picture(left[0], right[0], source)
    if len(paired) > 1:
        return margin(paired), f"{len(paired)} pictures, paired; one seed, whose noise is not in it"
    return None, "one seed, and nothing is known of its noise"


def _several(like: Record, source: Source) -> list[list[float]]:
    """Values over seeds of every run of the profile with this dataset, metric and protocol."""
    runs: dict[str, list[Record]] = {}
    for r in source.records:
        if (r.dataset, r.metric, r.protocol) == (like.dataset, like.metric, like.protocol) and r.value is not None:
            runs.setdefault(r.experiment, []).append(r)
    return [list(_by_seed(records, source).values()) for records in runs.values()]


def _by_picture(left: Record, right: Record, source: Source) -> list[float]:
    """Differences picture by picture, where both runs left their numbers and the metric is one of pictures."""
    if metrics.get(left.metric).of != "pictures":
        return []
    ours, theirs = (_pictures(r, source) for r in (left, right))
    return [ours[name] - theirs[name] for name in sorted(ours.keys() & theirs.keys())]


def _pictures(record: Record, source: Source) -> dict[str, float]:
    path = results_folder(source.profile, source.root) / "images" / record.system / f"{run_id(record)}.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["image"]: float(row[record.metric]) for row in csv.DictReader(stream) if record.metric in row}


def margin(values: Sequence[float]) -> float:
    """Half of the interval of a mean of at least two values."""
    return _quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))


def _quantile(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.5 + CONFIDENCE / 2, freedom))
