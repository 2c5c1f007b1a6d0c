"""What a table's number is: a metric of pictures, or something that is counted or timed once a system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reprolib import metrics
from reprolib.metrics import Metric


@dataclass(frozen=True)
class Quantity:
    """As `Metric`, of a system and not of pictures; less is better."""

    label: str
    unit: str
    decimals: int
    better: str = "lower"


OF_SYSTEMS = {
    "params": Quantity("# Param", "", 0),
    "sec_per_iter": Quantity("sec/iter", "s", 2),
    "memory": Quantity("memory", "GB", 2),
}


def quantity(name: str) -> Quantity | Metric[Any]:
    """How a metric, a count or a cost is labelled and printed.

    Raises:
        UserError: none of them, with the nearest metric.
    """
    return OF_SYSTEMS[name] if name in OF_SYSTEMS else metrics.get(name)


def text(name: str, value: float) -> str:
    """A value as tables print it, without its unit."""
    return f"{value:,.{quantity(name).decimals}f}" if name in OF_SYSTEMS else f"{value:.{quantity(name).decimals}f}"
