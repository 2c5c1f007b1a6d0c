"""8 and 64 GPUs, played from what was measured here: `python tests/devices/simulation.py FILE`, the file of `scaling`.

A step of W processes is over when the slowest has computed its part and all have exchanged what they must. Measured on
a CPU: how the seconds of a step scatter, and how many pictures' worth of time it costs beside its pictures. Counted:
what is sent. Assumed: a GPU's speed and its networks, as on docs/scaling.md.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

STEPS = 4000


@dataclass(frozen=True)
class Cluster:
    """Assumed: of GPUs in nodes of 8. Bytes and seconds."""

    flops: float = 20e12
    inside: float = 200e9
    between: float = 25e9
    latency: tuple[float, float] = (0.03e-3, 0.1e-3)
    """Of a collective inside a node, and between nodes."""
    hiccups: float = 0.0
    """Share of steps in which a process takes twice as long."""

    def exchange(self, processes: int, sums: int, summed: float, gathered: float) -> float:
        """Seconds of a step's collectives, none hidden behind computing: rings."""
        one_node = processes <= 8
        speed = self.inside if one_node else self.between
        ring = 2 * (processes - 1) / processes * summed + (processes - 1) * gathered
        return ring / speed + sums * self.latency[not one_node]


@dataclass(frozen=True)
class Work:
    """Of one system."""

    flops: float
    """Of a picture, forward and backward."""
    beside: float
    """Pictures' worth of time that a step costs beside its pictures."""
    scatter: np.ndarray
    """Seconds of steps over their median."""

    def step(self, cluster: Cluster, processes: int, batch: int, sent: tuple[int, float, float]) -> float:
        """Mean seconds: the slowest of the processes, then what they exchange."""
        random = np.random.default_rng(0)
        factors = random.choice(self.scatter, (STEPS, processes))
        factors *= 1 + (random.random((STEPS, processes)) < cluster.hiccups)
        computing = (batch / processes + self.beside) * self.flops / cluster.flops
        return float(computing * factors.max(1).mean()) + (cluster.exchange(processes, *sent) if processes > 1 else 0.0)


def work(rows: list[dict[str, Any]], flops: float) -> Work:
    """From the rows of one process: a line through the seconds of batches gives what a step costs beside them."""
    alone = [row for row in rows if row["processes"] == 1]
    slope, start = np.polyfit([row["batch"] for row in alone], [row["step"] for row in alone], 1)
    scatter = np.concatenate([np.array(row["seconds"]) / row["step"] for row in alone])
    return Work(flops, max(0.0, start / slope), scatter)


SENT = {"AECR-Net + CR": (381e9, ((8, 16, (5, 10_460_020, 0)), (64, 64, (5, 10_460_020, 0)))),
        "AECR-Net + CR 1:10": (381e9, ((8, 16, (10, 10_460_020, 56_217_600)), (64, 64, (10, 10_460_020, 28_108_800)))),
        "CUT": (1285e9, ((8, 8, (3, 58_813_200, 0)), (64, 64, (3, 58_813_200, 0))))}
"""FLOPs of a picture; processes, batch, and collectives and bytes as `traffic` counts them at full size."""
BREAKS = {"as assumed": Cluster(), "GPUs ten times faster": Cluster(flops=200e12),
          "network between nodes ten times slower": Cluster(between=2.5e9),
          "1 step in 100 takes twice as long": Cluster(hiccups=0.01)}


def main(file: Path) -> None:
    measured = json.loads(file.read_text())
    for name, (flops, sizes) in SENT.items():
        system = work(measured[name.removesuffix(" 1:10")], flops)
        steady = replace(system, scatter=np.ones(1))
        low, high = np.quantile(system.scatter, [0.25, 0.75])
        print(f"{name}: beside its pictures a step costs {system.beside:.2f} of them; quartiles {low:.3f} {high:.3f}")
        for processes, batch, sent in sizes:
            for why, cluster in BREAKS.items():
                for kind, one in (("scatter as measured", system), ("no scatter", steady)):
                    step, alone = (one.step(cluster, w, batch, sent) for w in (processes, 1))
                    print(f"  W={processes} batch={batch}, {why}, {kind}: {1000 * step:.1f} ms, "
                          f"efficiency {alone / processes / step:.0%}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
