"""The regression gate: this repository's numbers now against its own recorded ones. The paper plays no part here.

A recorded result carries its tolerance and how it was derived: the two-sided 99 % prediction interval of one new run,
from the spread over seeds. Where the numbers were recorded, they are equal to the last bit until code or data move one.
On another processor, GPU or version of PyTorch all of them move, each as another seed would move it, and of some 250
such intervals one or two miss: there the 99 % interval that all trained numbers keep at once (Bonferroni) is held.
Nothing else widens it.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from reprolib import metrics, models
from reprolib.errors import UserError
from reprolib.evaluation.record import Record, read_records
from reprolib.runs.places import profile_folder

CONFIDENCE = 0.99
MACHINE = ("cpu", "device", "torch")
"""What all numbers move with (`reprolib.runs.environment`)."""
MIN_SEEDS = 3
UNTRAINED_SHARE, UNTRAINED_LEAST = 0.1, 1e-4
"""Tolerance where nothing is trained, since other processors sum floats in another order: this share of the last
printed digit, and at least so much. There is no seed that could move the number further."""

CALIBRATE = "run `reprolib calibrate`"
_NEEDED = ("value", "sd", "tolerance", "n_seeds", "steps", "unit")
_TRAINED = (*_NEEDED, "dof")


@dataclass(frozen=True)
class Outcome:
    """One gated number."""

    id: str
    ok: bool
    why: str
    value: float | None = None
    expected: float | None = None
    tolerance: float | None = None


def key(record: Record) -> str:
    """Name of a gated number; one of a further checkpoint says which."""
    name = f"{record.experiment}/{record.dataset}/{record.protocol}/{record.metric}"
    return name if record.tabled else f"{name}@{record.checkpoint}"


def expected_file(profile: str, root: Path = Path()) -> Path:
    """Kept beside the description of the profile."""
    return profile_folder(profile, root) / "expected.json"


def read_expected(profile: str, root: Path = Path()) -> dict[str, Any]:
    """The recorded results of a profile.

    Raises:
        UserError: none were recorded, or the file is not one of ours.
    """
    path = expected_file(profile, root)
    if not path.is_file():
        raise UserError(f"no recorded results for profile '{profile}'", where=path, fix=CALIBRATE)
    try:
        results: dict[str, Any] = json.loads(path.read_text())["results"]
        lacking = [name for name, want in results.items()
                   if any(want[field] is None for field in (_TRAINED if want["steps"] else _NEEDED))]
        if lacking or not results:
            raise ValueError("incomplete")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError("not a file of recorded results", where=path, fix="restore it from Git") from error
    return results


def derive(records: Iterable[Record]) -> dict[str, Any]:
    """Expected values and tolerances from records of several seeds.

    For one new run of an experiment with n recorded seeds, the interval is t(0.995, f) s sqrt(1 + 1/n). The standard
    deviation s is pooled over the experiments of its system that share protocol and metric, which gives f degrees of
    freedom; three seeds alone would know their own spread badly. Systems are not pooled, since their spreads differ by
    a factor of 20 (DRIT's and DistanceGAN's distances); only where a system has a single experiment is the spread
    that of all systems on its dataset.

    Raises:
        UserError: a trained experiment with fewer than three seeds, a seed twice, or a record without a value.
    """
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda r: (key(r), r.seed)):
        if record.status != "ok" or record.value is None:
            raise UserError(f"{key(record)} seed {record.seed} is {record.status}",
                            fix="mend it before recording results")
        groups[key(record)].append(record)
    pools: dict[tuple[str, ...], list[list[float]]] = defaultdict(list)
    for name, group in groups.items():
        if len({r.seed for r in group}) < len(group):
            raise UserError(f"{name} has two records of one seed", fix="delete one of them")
        if not group[0].steps:
            continue
        if len(group) < MIN_SEEDS:
            raise UserError(f"{name} has {len(group)} seeds, {MIN_SEEDS} are needed", fix=CALIBRATE)
        for shared in _shared(group[0]):
            pools[shared].append(_numbers(group))
    expected = {}
    for name, group in groups.items():
        of_system, of_dataset = (pools[shared] for shared in _shared(group[0]))
        expected[name] = _expected(group, of_system if len(of_system) > 1 else of_dataset)
    return expected


def _shared(record: Record) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a record shares with others of its system, and with others on its dataset."""
    measure = (record.protocol, record.metric, str(record.tabled))
    return ("system", record.system, *measure), ("dataset", record.dataset, *measure)


def _numbers(group: list[Record]) -> list[float]:
    return [float(r.value) for r in group if r.value is not None]


def _expected(group: list[Record], pool: list[list[float]]) -> dict[str, Any]:
    from scipy.stats import t

    first, n = group[0], len(group)
    common = {"value": mean(_numbers(group)), "values": {str(r.seed): r.value for r in group}, "n_seeds": n,
              "unit": first.unit, "steps": first.steps, "batch": first.batch, "crop": first.crop,
              "network": dict(first.network), "code_hash": first.code_hash, "data_hash": first.data_hash,
              "environment": dict(first.environment)}
    if not first.steps:
        return common | {"sd": 0.0, "tolerance": _untrained(first.metric),
                         "derivation": "nothing is trained: arithmetic of other processors only"}
    freedom = sum(len(v) - 1 for v in pool)
    pooled = math.sqrt(sum((x - mean(v)) ** 2 for v in pool for x in v) / freedom)
    level = 0.5 + CONFIDENCE / 2
    quantile = float(t.ppf(level, freedom))
    return common | {
        "sd": stdev(_numbers(group)), "pooled_sd": pooled, "dof": freedom,
        "tolerance": quantile * pooled * math.sqrt(1 + 1 / n),
        "derivation": f"99 % prediction interval of one run: t({level:g}, {freedom}) = {quantile:.3f}, pooled sd "
                      f"{pooled:.5f} over {len(pool)} experiments, sqrt(1 + 1/{n})",
    }


def _untrained(metric: str) -> float:
    digit = 10.0**-metrics.get(metric).decimals
    return max(UNTRAINED_LEAST, round(UNTRAINED_SHARE * digit, 12))


def check(profile: str, root: Path = Path()) -> list[Outcome]:
    """Every recorded number against its record now, every record against the recorded, every exact count.

    Missing, new, collapsed and non-finite numbers fail; metrics that were never recorded are told by `unrecorded`. The
    pipeline measures seed 0; records of further seeds, where there are any, are held to the same tolerance.

    Raises:
        UserError: nothing was recorded, or the file of recorded results is damaged.
    """
    expected = read_expected(profile, root)
    records = sorted(read_records(profile, root), key=lambda r: (key(r), r.seed))
    measured = {key(r) for r in records if r.seed == 0}
    outcomes = [Outcome(name, False, "missing: run `dvc repro`", expected=want["value"])
                for name, want in sorted(expected.items()) if name not in measured]
    recorded = {want_metric(name) for name in expected}
    trained = sum(want["steps"] > 0 for want in expected.values())
    outcomes += [compare(r, expected.get(key(r)), trained) for r in records if r.metric in recorded]
    return outcomes + check_counts()


def unrecorded(profile: str, root: Path = Path()) -> dict[str, int]:
    """Metrics that were added after the results were recorded, and how many numbers each has: not gated yet.

    A metric is one file and one line, and must not fail a build until `calibrate --add` has given it tolerances; a
    single new number of a metric that is gated does fail.
    """
    recorded = {want_metric(name) for name in read_expected(profile, root)}
    found = [r.metric for r in read_records(profile, root) if r.metric not in recorded]
    return {metric: found.count(metric) for metric in sorted(set(found))}


def want_metric(name: str) -> str:
    """The metric in the name of a gated number (`key`)."""
    return name.partition("@")[0].rpartition("/")[2]


def compare(record: Record, want: dict[str, Any] | None, among: int = 1) -> Outcome:
    """A record against what was recorded of its number; None if nothing was.

    Args:
        among: how many trained numbers are asked of at once, should the record come from another machine.
    """
    name = key(record) + (f"#seed{record.seed}" if record.seed else "")
    if want is None:
        return Outcome(name, False, f"a new result without a recorded one: {CALIBRATE}", record.value)
    value, expected, tolerance = record.value, want["value"], want["tolerance"]
    if value is None or not math.isfinite(value):
        return Outcome(name, False, f"no value: the output is {record.status}", value, expected, tolerance)
    if (record.steps or want["steps"]) and want["n_seeds"] < MIN_SEEDS:
        why = f"recorded from {want['n_seeds']} seeds, {MIN_SEEDS} are needed: {CALIBRATE}"
        return Outcome(name, False, why, value, expected, tolerance)
    elsewhere = among > 1 and want["steps"] > 0 and _is_elsewhere(record, want)
    if elsewhere:
        tolerance *= _widened(want, among)
    off = value - expected
    # A damaged file may hold an endless tolerance; it must not let everything pass.
    ok = math.isfinite(tolerance) and abs(off) <= tolerance
    why = f"{value:.4f}, recorded {expected:.4f}, {off:+.4f} of +-{tolerance:.4f} {want['unit']}".rstrip()
    why += f", on another machine, for all {among} at once" if elsewhere else ""
    return Outcome(name, ok, why, value, expected, tolerance)


def _is_elsewhere(record: Record, want: dict[str, Any]) -> bool:
    here, there = record.environment, want.get("environment") or {}
    return any(here.get(name) != there.get(name) for name in MACHINE)


def _widened(want: dict[str, Any], among: int) -> float:
    """The interval that so many numbers keep at once, as a multiple of that of one."""
    from scipy.stats import t

    one, at_once = (float(t.ppf(1 - (1 - CONFIDENCE) / 2 / n, want["dof"])) for n in (1, among))
    return at_once / one


def check_counts() -> list[Outcome]:
    """Exact parameter counts of every system that has a verified one."""
    outcomes = []
    for name in models.names():
        want = models.get(name).verified_params
        if want is not None:
            count = models.full_size_count(name)
            outcomes.append(Outcome(f"{name}/params", count == want, f"{count:,}, verified {want:,}", count, want, 0))
    return outcomes
