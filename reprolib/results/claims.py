"""What the papers claim, as relations between two cells that any set of measurements can be held against.

A claim is stated only where the paper's own cells bear it. AECR-Net is not best in SSIM on Dense-Haze (MSBDN is), r:r
beats r:1 in PSNR but not in SSIM, and FastCUT is as fast as Distance: none of these is a claim.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reprolib.papers.cells import load

Key = tuple[str, str, str]
"""Row, dataset column, metric."""


@dataclass(frozen=True)
class Claim:
    """`left` is better than `right` in one column and metric."""

    text: str
    left: str
    right: str
    dataset: str
    metric: str
    better: str
    """'higher' or 'lower'."""

    @property
    def table(self) -> str:
        return self.left.split("/")[0]

    @property
    def relation(self) -> str:
        """How the value of `left` stands to that of `right`."""
        return ">" if self.better == "higher" else "<"

    @property
    def id(self) -> str:
        """E.g. 'table4/1:r>table4/1:1@sots/psnr'."""
        return f"{self.left}{self.relation}{self.right}@{self.dataset or '-'}/{self.metric}"


_BETTER = {c.metric: c.better for c in load()}


def _beats(text: str, left: str, rights: Iterable[str], dataset: str, metric: str) -> list[Claim]:
    """Claims that a row is better than each of several rows of its table."""
    table = left.split("/")[0]
    return [Claim(text, left, f"{table}/{right}", dataset, metric, _BETTER[metric]) for right in rights]


def _best(text: str, left: str, dataset: str, metric: str, but: tuple[str, ...] = ()) -> list[Claim]:
    """Claims that a row beats every other printed row of its column, except those in `but`."""
    table = left.split("/")[0]
    printed = (c.row for c in load() if (c.table, c.dataset, c.metric) == (table, dataset, metric)
               and c.row != left and c.value is not None)
    names = (row.split("/")[1] for row in printed)
    return _beats(text, left, (name for name in names if name not in but), dataset, metric)


def _table1() -> list[Claim]:
    claims = []
    for dataset in ("sots", "dense-haze", "nh-haze"):
        claims += _best("AECR-Net has the best PSNR", "table1/aecrnet", dataset, "psnr")
    for dataset in ("sots", "nh-haze"):
        claims += _best("AECR-Net has the best SSIM, except on Dense-Haze", "table1/aecrnet", dataset, "ssim")
    claims += _best("MSBDN has the best SSIM on Dense-Haze", "table1/msbdn", "dense-haze", "ssim")
    smaller = "AECR-Net is smaller than the next three in PSNR on SOTS"
    return claims + _beats(smaller, "table1/aecrnet", ("ffanet", "kddn", "msbdn"), "", "params")


def _table2() -> list[Claim]:
    steps = ("ours", "base+dfe+mixup+cr*", "base+dfe+mixup", "base+dfe+sc", "base+dfe", "base")
    pairs = [*zip(steps, steps[1:], strict=False), ("base+mixup", "base"), ("base+dfe+mixup", "base+mixup")]
    return [c for metric in ("psnr", "ssim") for more, less in pairs
            for c in _beats(f"each part of AECR-Net adds ({metric.upper()})", f"table2/{more}", [less], "sots", metric)]


def _table4() -> list[Claim]:
    negatives, positives = "more negatives help", "more positives hurt"
    pairs = ((negatives, "1:r", "1:1", "psnr"), (negatives, "1:r", "1:1", "ssim"), (negatives, "r:r", "r:1", "psnr"),
             (positives, "1:1", "r:1", "psnr"), (positives, "1:1", "r:1", "ssim"),
             (positives, "1:r", "r:r", "psnr"), (positives, "1:r", "r:r", "ssim"),
             (f"{positives} more than {negatives}", "1:1", "r:r", "psnr"),
             (f"{positives} more than {negatives}", "1:1", "r:r", "ssim"))
    return [c for text, more, less, metric in pairs
            for c in _beats(f"{text} ({metric.upper()})", f"table4/{more}", [less], "sots", metric)]


def _cut() -> list[Claim]:
    claims = []
    for dataset in ("cityscapes", "cat2dog", "horse2zebra"):
        claims += _best("CUT has the best FID", "cut/cut", dataset, "fid")
    for metric in ("miou", "pixacc", "classacc"):
        claims += _best("CUT has the best Cityscapes scores", "cut/cut", "cityscapes", metric)
    claims += _beats("CUT trains faster than CycleGAN", "cut/cut", ["cyclegan"], "horse2zebra", "sec_per_iter")
    claims += _beats("CUT needs less memory than CycleGAN", "cut/cut", ["cyclegan"], "horse2zebra", "memory")
    claims += _best("FastCUT is the fastest, with Distance", "cut/fastcut", "horse2zebra", "sec_per_iter",
                    but=("distancegan",))
    return claims + _best("FastCUT needs the least memory", "cut/fastcut", "horse2zebra", "memory")


CLAIMS: tuple[Claim, ...] = (*_table1(), *_table2(), *_table4(), *_cut())


def check(claim: Claim, values: Mapping[Key, float | None], spread: Mapping[Key, float | None] | None = None) -> str:
    """Hold a claim against measurements.

    Returns:
        'holds', 'does not hold', 'within seed noise' (the difference is smaller than twice its standard deviation
        over seeds, where that is known) or 'not measured' (either side missing or not finite).
    """
    keys = [(row, claim.dataset, claim.metric) for row in (claim.left, claim.right)]
    left, right = (values.get(k) for k in keys)
    if left is None or right is None or not math.isfinite(left - right):
        return "not measured"
    lead = left - right if claim.better == "higher" else right - left
    noise = 2 * math.hypot(*((spread or {}).get(k) or 0.0 for k in keys))
    if abs(lead) < noise:
        return "within seed noise"
    return "holds" if lead > 0 else "does not hold"
