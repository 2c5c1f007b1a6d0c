"""The regression gate: this repository's numbers now against its own recorded ones. The paper plays no part here.

A recorded result carries its tolerance and how it was derived: the two-sided 99 % prediction interval of one new run,
from the spread over seeds. Nothing else widens it.
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

from reprolib import models
from reprolib.errors import UserError
from reprolib.paper.cells import exact_counts
from reprolib.records import Record, read_records

CONFIDENCE = 0.99
MIN_SEEDS = 3
UNTRAINED = {"psnr": 1e-3, "ssim": 1e-4}
"""Tolerance where nothing is trained: other processors' float sums, no seed."""


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
    """Name of a gated number."""
    return f"{record.experiment}/{record.dataset}/{record.protocol}/{record.metric}"


def expected_file(profile: str, root: Path = Path()) -> Path:
    return root / "expected" / f"{profile}.json"


def read_expected(profile: str, root: Path = Path()) -> dict[str, Any]:
    """The recorded results of a profile.

    Raises:
        UserError: none were recorded, or the file is not one of ours.
    """
    path = expected_file(profile, root)
    if not path.is_file():
        raise UserError(f"no recorded results for profile '{profile}'", where=path, fix="run `reprolib calibrate`")
    try:
        return dict(json.loads(path.read_text())["results"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError("not a file of recorded results", where=path, fix="restore it from Git") from error


def derive(records: Iterable[Record]) -> dict[str, Any]:
    """Expected values and tolerances from records of several seeds.

    For one new run of an experiment with n recorded seeds, the interval is t(0.995, f) s sqrt(1 + 1/n). The standard
    deviation s is pooled over the trained experiments that share dataset, protocol and metric, which gives f degrees
    of freedom; three seeds alone would know their own spread badly.

    Raises:
        UserError: a trained experiment with fewer than three seeds, or a record without a value.
    """
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.status != "ok" or record.value is None:
            raise UserError(f"{key(record)} seed {record.seed} is {record.status}", fix="mend it before recording results")
        groups[key(record)].append(record)
    pools: dict[tuple[str, str, str], list[list[float]]] = defaultdict(list)
    for name, group in groups.items():
        if not group[0].steps:
            continue
        if len({r.seed for r in group}) < MIN_SEEDS:
            raise UserError(f"{name} has {len(group)} seeds, {MIN_SEEDS} are needed", fix="run `reprolib calibrate`")
        pools[_pool(group[0])].append([float(r.value) for r in group if r.value is not None])
    return {name: _expected(group, pools[_pool(group[0])]) for name, group in sorted(groups.items())}


def _pool(record: Record) -> tuple[str, str, str]:
    return record.dataset, record.protocol, record.metric


def _expected(group: list[Record], pool: list[list[float]]) -> dict[str, Any]:
    from scipy.stats import t

    first, n = group[0], len(group)
    values = {str(r.seed): r.value for r in sorted(group, key=lambda r: r.seed)}
    numbers = [float(r.value) for r in group if r.value is not None]
    common = {"value": mean(numbers), "values": values, "n_seeds": n, "unit": first.unit, "steps": first.steps,
              "code_hash": first.code_hash, "data_hash": first.data_hash, "environment": dict(first.environment)}
    if not first.steps:
        tolerance = UNTRAINED[first.metric]
        return common | {"sd": 0.0, "tolerance": tolerance, "derivation": "nothing is trained: arithmetic of other processors only"}
    freedom = sum(len(v) - 1 for v in pool)
    pooled = math.sqrt(sum((x - mean(v)) ** 2 for v in pool for x in v) / freedom)
    quantile = float(t.ppf(0.5 + CONFIDENCE / 2, freedom))
    tolerance = quantile * pooled * math.sqrt(1 + 1 / n)
    text = (f"99 % prediction interval of one run: t({0.5 + CONFIDENCE / 2:g}, {freedom}) = {quantile:.3f}, pooled sd "
            f"{pooled:.5f} over {len(pool)} experiments, sqrt(1 + 1/{n})")
    return common | {"sd": stdev(numbers), "pooled_sd": pooled, "dof": freedom, "tolerance": tolerance, "derivation": text}


def check(profile: str, root: Path = Path()) -> list[Outcome]:
    """Every recorded number against its record now, every record against the recorded, every exact count.

    Missing, new, collapsed and non-finite numbers fail.
    """
    expected = read_expected(profile, root)
    now = {key(r): r for r in read_records(profile, root) if r.seed == 0}
    outcomes = [_compare(name, want, now.get(name)) for name, want in expected.items()]
    outcomes += [Outcome(name, False, "a new result without a recorded one: run `reprolib calibrate`")
                 for name in sorted(set(now) - set(expected))]
    return outcomes + check_counts()


def _compare(name: str, want: dict[str, Any], record: Record | None) -> Outcome:
    if record is None:
        return Outcome(name, False, "missing: run `dvc repro`", expected=want["value"])
    if record.value is None or not math.isfinite(record.value):
        return Outcome(name, False, f"no value: the output is {record.status}", expected=want["value"])
    if record.steps and want["n_seeds"] < MIN_SEEDS:
        return Outcome(name, False, f"recorded from {want['n_seeds']} seeds, {MIN_SEEDS} are needed: run `reprolib calibrate`")
    off = record.value - want["value"]
    ok = abs(off) <= want["tolerance"]
    why = f"{record.value:.4f}, recorded {want['value']:.4f}, {off:+.4f} of +-{want['tolerance']:.4f} {want['unit']}".rstrip()
    return Outcome(name, ok, why, record.value, want["value"], want["tolerance"])


def check_counts() -> list[Outcome]:
    """Exact parameter counts of every system that has a verified one."""
    import torch

    outcomes = []
    for name in models.names():
        if name not in exact_counts():
            continue
        with torch.device("meta"):
            count = models.count_parameters(models.get(name).build())
        want = exact_counts()[name]
        outcomes.append(Outcome(f"{name}/params", count == want, f"{count:,}, recorded {want:,}", count, want, 0))
    return outcomes
