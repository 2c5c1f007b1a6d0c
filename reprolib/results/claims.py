"""The papers' claims held against what was measured here: a difference, its interval, a verdict.

A claim says that one row is better than another in a column and metric. Any profile may bear evidence for it; what was
measured on the real test set goes before stand-ins, the full-size network before a reduced one, more seeds before
fewer. Differences are taken in the claim's direction: above zero speaks for it.

The interval (95 %, Student's t) is over seeds, paired: two runs with one seed see the same batches; what learns nothing
has one value for all seeds. Where a run has one seed, the spread of other runs of the same system and size in its
profile stands in; where there is none, the difference is told and not tested. Of two sides that learn nothing, the
interval is over test pictures. A row of which a seed collapsed has no mean, so that what its other seeds say is not tested. Each interval is
of one comparison alone; none is widened for how many are made.
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
from reprolib.results.costs import Cost
from reprolib.results.ledger import Source, run_id, size_of_split
from reprolib.runs.places import results_folder
from reprolib.runs.profile import profiles as known_profiles
from reprolib.runs.rows import all_rows
from reprolib.runs.run import APART

HOLDS, NOISE, FALLS, UNTESTED = "holds", "within noise", "does not hold", "not tested"
CONFIDENCE = 0.95
QUARTILES, MEDIAN = 1.349, 1.2533
"""Of a normal distribution in standard deviations: what lies between the quartiles; and how much further than the mean
of a sample its median strays."""

ALIKE = ("system", "reduced", "dataset", "metric", "protocol")
"""What runs share whose seeds tell of each other's noise."""

VARIED = ("network", "contrast", "objective", "loss", "seed", "init", "extends")
"""Settings that a row of an ablation may change, and what says nothing of it."""

Rank = tuple[bool, bool, bool, bool, int, int]


@dataclass(frozen=True)
class Evidence:
    """What one profile says of a claim."""

    profile: str
    """Empty for what is counted or timed."""
    dataset: str
    """Empty for what is counted or timed once a system."""
    measured: str
    """Metric, the printed one or one that stands for it."""
    difference: float
    """Above zero speaks for the claim."""
    margin: float | None
    """Half of the interval: 0 for an exact count, None where it is not tested, as `basis` says."""
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
            half, basis = _cost_noise(claim.metric, costs)
            yield Evidence("", "", claim.metric, sign * (values[0] - values[1]), half, basis, why=costs[0].conditions,
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
        found.setdefault((r.dataset, r.metric), {}).setdefault(r.experiment, []).append(r)
    return {place: sorted(runs[min(runs)], key=lambda r: r.seed) for place, runs in found.items()}


def _measured(left: list[Record], right: list[Record], sign: float, source: Source) -> Iterator[Evidence]:
    first, other = left[0], right[0]
    ours, theirs = (source.by_seed(side) for side in (left, right))
    if not ours or not theirs:
        return
    if not first.steps:
        ours = dict.fromkeys(theirs, ours[first.seed])
    elif not other.steps:
        theirs = dict.fromkeys(ours, theirs[other.seed])
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        return
    differences = [sign * (ours[seed] - theirs[seed]) for seed in common]
    half, basis = _noise(first, other, differences, source)
    if apart := _apart(first, other, source):
        half, basis = None, f"the rows differ in {' and '.join(apart)} too, which the paper does not vary"
    if lost := [r for r in (*left, *right) if r.value is None]:
        half, basis = None, " and ".join(f"seed {r.seed} of '{r.experiment}' is {r.status}" for r in lost)
    stale = next(filter(None, map(source.outdated, (*left, *right))), "")
    real, reduced = not get_dataset(first.dataset).embedded, first.reduced or other.reduced
    complete = first.n == size_of_split(first.dataset)
    why = "; ".join(filter(None, [
        "" if real else f"{first.dataset} stands in", "reduced networks" if reduced else "",
        " and ".join(f"{steps:,}" for steps in dict.fromkeys((first.steps, other.steps)) if steps) + " steps"
        if first.steps or other.steps else "", stale]))
    yield Evidence(source.profile, first.dataset, first.metric, mean(differences), half, basis, len(common), first.n,
                   why, (not stale, real, real and complete, not reduced, len(common), first.steps))


def _cost_noise(metric: str, costs: Sequence[Cost]) -> tuple[float | None, str]:
    """Half of the interval of a difference of medians, the times of a step being taken for normal; memory is exact."""
    if not all(metric in cost.quartiles for cost in costs):
        return 0.0, "counted, of all systems in one run"
    deviations = [cost.quartiles[metric] / QUARTILES / math.sqrt(cost.repeats) for cost in costs]
    half = _quantile(sum(cost.repeats - 1 for cost in costs)) * MEDIAN * math.hypot(*deviations)
    return half, f"{costs[0].repeats} steps timed, of all systems in one run"


def _apart(left: Record, right: Record, source: Source) -> list[str]:
    """Settings in which two rows of an ablation differ beside what the paper varies; systems have recipes of their own.
    """
    runs = [source.runs.get((r.experiment, r.seed)) for r in (left, right)]
    if left.system != right.system or None in runs:
        return []
    ours, theirs = (run.settings for run in runs if run)
    return [name.replace("_", " ") for name in sorted(ours.keys() & theirs.keys())
            if name not in (*VARIED, *APART) and ours[name] != theirs[name]]


def _noise(left: Record, right: Record, differences: list[float], source: Source) -> tuple[float | None, str]:
    """Half of the interval, and what it is over."""
    count, trained = len(differences), [r for r in (left, right) if r.steps]
    if not trained:
        paired = _by_picture(left, right, source)
        return (margin(paired) if len(paired) > 1 else None), f"{len(paired)} pictures, paired; nothing is trained"
    if count > 1:
        return margin(differences), f"{count} seeds, paired" if len(trained) > 1 else f"{count} seeds"
    spreads = [_several(r, source) for r in trained]
    if not all(spreads):
        return None, "one seed, and nothing is known of its noise"
    freedoms = [sum(len(values) - 1 for values in side) for side in spreads]
    variances = [sum(variance(values) * (len(values) - 1) for values in side) / freedom
                 for side, freedom in zip(spreads, freedoms, strict=True)]
    others = max(map(len, spreads))
    return (_quantile(min(freedoms)) * math.sqrt(sum(variances)),
            f"one seed; spread of {others} run{'s' * (others > 1)} of the same size")


def _several(like: Record, source: Source) -> list[list[float]]:
    """Values over seeds of every run of the profile with this system and size, dataset, metric and protocol."""
    runs: dict[str, list[Record]] = {}
    for r in source.records:
        if all(getattr(r, name) == getattr(like, name) for name in ALIKE) and r.value is not None:
            runs.setdefault(r.experiment, []).append(r)
    return [values for records in runs.values() if len(values := list(source.by_seed(records).values())) > 1]


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
