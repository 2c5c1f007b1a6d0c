"""What the papers claim, as relations between two cells that any set of measurements can be held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reprolib.paper.cells import load

Key = tuple[str, str, str]
"""Row, dataset column, metric."""


@dataclass(frozen=True)
class Claim:
    """`left` is better than `right` in one column and metric."""

    id: str
    text: str
    left: str
    right: str
    dataset: str
    metric: str
    better: str = "higher"


def _chain(table: str, text: str, rows: tuple[str, ...]) -> list[Claim]:
    """Claims that each row beats the one after it, in PSNR on SOTS."""
    pairs = zip(rows, rows[1:], strict=False)
    return [Claim(f"{table}:{a}>{b}", text, f"{table}/{a}", f"{table}/{b}", "sots", "psnr") for a, b in pairs]


def _best(row: str, table: str, dataset: str, metric: str, better: str, text: str) -> list[Claim]:
    """Claims that a row beats every other printed row of its column."""
    others = [c.row for c in load()
              if (c.table, c.dataset, c.metric) == (table, dataset, metric) and c.row != row and c.value is not None]
    return [Claim(f"{row}>{o}@{dataset}/{metric}", text, row, o, dataset, metric, better) for o in others]


CLAIMS: tuple[Claim, ...] = (
    *_chain("table2", "each part of AECR-Net adds", (
        "ours", "base+dfe+mixup+cr*", "base+dfe+mixup", "base+dfe+sc", "base+dfe", "base")),
    *_chain("table2", "mixup alone adds", ("base+mixup", "base")),
    *_chain("table4", "more negatives help, more positives hurt", ("1:r", "1:1", "r:r", "r:1")),
    *(c for d in ("sots", "dense-haze", "nh-haze")
      for c in _best("table1/aecrnet", "table1", d, "psnr", "higher", "AECR-Net has the best PSNR")),
    *(c for d in ("sots", "nh-haze")
      for c in _best("table1/aecrnet", "table1", d, "ssim", "higher", "AECR-Net has the best SSIM, except on Dense-Haze")),
    *(c for d in ("cityscapes", "cat2dog", "horse2zebra")
      for c in _best("cut/cut", "cut", d, "fid", "lower", "CUT has the best FID")),
    *(c for m in ("miou", "pixacc", "classacc")
      for c in _best("cut/cut", "cut", "cityscapes", m, "higher", "CUT has the best Cityscapes scores")),
    Claim("cut-faster-than-cyclegan", "CUT trains faster than CycleGAN", "cut/cut", "cut/cyclegan", "horse2zebra",
          "sec_per_iter", "lower"),
    Claim("cut-lighter-than-cyclegan", "CUT needs less memory than CycleGAN", "cut/cut", "cut/cyclegan",
          "horse2zebra", "memory", "lower"),
    *_best("cut/fastcut", "cut", "horse2zebra", "memory", "lower", "FastCUT needs the least memory"),
)


def check(claim: Claim, values: Mapping[Key, float | None], spread: Mapping[Key, float] | None = None) -> str:
    """Hold a claim against measurements.

    Returns:
        'holds', 'does not hold', 'within seed noise' (the difference is smaller than twice its standard deviation
        over seeds, where that is known) or 'not measured'.
    """
    keys = [(row, claim.dataset, claim.metric) for row in (claim.left, claim.right)]
    left, right = (values.get(k) for k in keys)
    if left is None or right is None:
        return "not measured"
    lead = left - right if claim.better == "higher" else right - left
    noise = 2 * sum((spread or {}).get(k, 0.0) ** 2 for k in keys) ** 0.5
    if noise and abs(lead) < noise:
        return "within seed noise"
    return "holds" if lead > 0 else "does not hold"
