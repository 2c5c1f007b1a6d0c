"""The papers' claims held against any set of measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping

from reprolib.papers.claims import Claim
from reprolib.results.ledger import Entry

Key = tuple[str, str, str]
"""Row, column, metric."""


def values(entries: list[Entry]) -> dict[Key, float | None]:
    """The measured numbers of a ledger."""
    return {(e["row"], e["dataset"], e["metric"]): e["value"] for e in entries}


def spreads(entries: list[Entry]) -> dict[Key, float | None]:
    """Their standard deviations over seeds, where known."""
    return {(e["row"], e["dataset"], e["metric"]): e["spread"] for e in entries}


def check(claim: Claim, values: Mapping[Key, float | None], spread: Mapping[Key, float | None] | None = None) -> str:
    """Hold a claim against measurements.

    Returns:
        'holds', 'does not hold', 'within seed noise' (the difference is smaller than twice its standard deviation
        over seeds, where that is known) or 'not measured' (either side missing or not finite).
    """
    keys = [(row, claim.column, claim.metric) for row in (claim.left, claim.right)]
    left, right = (values.get(k) for k in keys)
    if left is None or right is None or not math.isfinite(left - right):
        return "not measured"
    lead = left - right if claim.better == "higher" else right - left
    noise = 2 * math.hypot(*((spread or {}).get(k) or 0.0 for k in keys))
    if abs(lead) < noise:
        return "within seed noise"
    return "holds" if lead > 0 else "does not hold"
