"""What was promised of the steps, whether it is met, and what bounds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CLOSE = 0.6
"""Share of a ceiling from which it is called the bound."""


@dataclass(frozen=True)
class Target:
    """A promise about a number of a measured configuration."""

    measure: str
    """Key of the configuration: speedup, memory_ratio, rate_cost or convolution_share."""
    limit: float
    at_least: bool
    """Otherwise at most."""
    systems: tuple[str, ...]
    device: str
    """Type: cpu or cuda."""
    task: str = "train"
    precision: str | None = None
    """None is every one."""
    sizes: tuple[tuple[int, int], ...] | None = None
    """Batch and crop that were promised; None is every one."""

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether it speaks of this configuration."""
        # Other rates than 1:1 cost the plain way a pass of VGG for each sample, which would flatter ours.
        plain_rate = row["rate"] == "1:1" or self.measure == "rate_cost"
        return (row["system"] in self.systems and row["device_type"] == self.device and row["task"] == self.task
                and self.precision in (None, row["precision"]) and row.get(self.measure) is not None and plain_rate
                and (self.sizes is None or (row["batch"], row["crop"]) in self.sizes))


TARGETS = (
    Target("speedup", 2.5, True, ("aecrnet",), "cpu", precision="32-true", sizes=((8, 64),)),
    Target("rate_cost", 1.15, False, ("aecrnet",), "cpu", precision="32-true"),
    Target("memory_ratio", 1.0, False, ("aecrnet",), "cpu", precision="32-true", sizes=((8, 64),)),
    Target("speedup", 1.5, True, ("cut",), "cpu", precision="32-true", sizes=((1, 256),)),
    Target("memory_ratio", 1.0, False, ("cut",), "cpu", precision="32-true", sizes=((1, 256),)),
    Target("speedup", 2.0, True, ("aecrnet",), "cpu", task="evaluate", precision="32-true"),
    Target("speedup", 3.0, True, ("aecrnet",), "cuda", precision="bf16-mixed", sizes=((16, 240),)),
    Target("speedup", 2.0, True, ("cut",), "cuda", precision="bf16-mixed", sizes=((1, 256), (8, 256))),
    Target("memory_ratio", 0.6, False, ("aecrnet", "cut"), "cuda", precision="bf16-mixed",
           sizes=((16, 240), (1, 256), (8, 256))),
    Target("convolution_share", 0.45, True, ("aecrnet",), "cuda", precision="bf16-mixed", sizes=((16, 240),)),
)


def verdicts(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every target that speaks of a configuration: met, or missed by how much and what bounds it."""
    found = []
    for target in TARGETS:
        if not target.fits(row):
            continue
        value = row[target.measure]
        met = value >= target.limit if target.at_least else value <= target.limit
        found.append({"measure": target.measure, "target": f"{'>=' if target.at_least else '<='} {target.limit:g}",
                      "value": value, "met": met, "missed_by": 0.0 if met else round(abs(value / target.limit - 1), 3),
                      "bound": "" if met else (bound_of_memory if target.measure == "memory_ratio" else bound)(row)})
    return found


def bound_of_memory(row: Mapping[str, Any]) -> str:
    """What keeps a step from taking less memory, in words: Winograd's mapped filters, where they are used."""
    direct, plain = row["references"].get("direct", {}), row["references"]["plain"]
    if "reference_memory" not in direct:
        return f"what the step keeps: {row['growth_ratio']:.2f} times what the plain one adds to libraries and weights"
    held = row["peak_memory"] - direct["reference_memory"]
    return f"Winograd's mapped filters, {held / 2**20:.0f} MiB: with direct sums the step takes " \
           f"{direct['reference_memory'] / plain['reference_memory']:.2f} times the memory of the plain one, and is " \
           f"{plain['reference_seconds'] / direct['reference_seconds']:.2f} times as fast"


def bound(row: Mapping[str, Any]) -> str:
    """What keeps a step from being faster, in words."""
    products, copies = row["share_of_ceiling"], row["share_of_copy_ceiling"]
    work = "convolutions and matrix products"
    if products >= CLOSE and products >= copies:
        first = f"{work}: they fill {products:.0%} of the measured ceiling of matrix products"
    elif copies >= CLOSE:
        first = f"memory: operators touch {copies:.0%} of the bytes that a copy moves in this time"
    else:
        first = f"no ceiling: {products:.0%} of that of matrix products, {copies:.0%} of that of copies"
    return f"{first}; with all of the first ceiling the step would be {row['speedup_at_ceiling']:.2f} times as fast " \
           "as the reference"
