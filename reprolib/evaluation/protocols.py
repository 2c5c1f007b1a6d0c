"""How much the protocol alone moves a number: the same pictures, measured every way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reprolib import models
from reprolib.data.sample import choose_pictures
from reprolib.evaluation.checkpoint import network_of
from reprolib.evaluation.dehazing import mean
from reprolib.metrics.protocols import PROTOCOLS, measure
from reprolib.models.inference import restore
from reprolib.progress import track
from reprolib.runs.rows import metrics_of
from reprolib.runs.run import DehazingRun

MOST = 50
"""Pictures that are measured: protocols differ alike on all, and SOTS indoor has so many scenes."""


@dataclass(frozen=True)
class ProtocolRow:
    """A run under one protocol."""

    system: str
    dataset: str
    pictures: int
    """How many were measured."""
    protocol: str
    scores: Mapping[str, float]
    """Means over these pictures, by metric."""


def measure_protocols(runs: Iterable[DehazingRun], root: Path = Path()) -> list[ProtocolRow]:
    """Each run's last checkpoint under every protocol, on its test pictures or, of more, a fixed sample of `MOST`.

    Raises:
        UserError: a run without its checkpoint, or data that are not here.
    """
    return [row for run in runs for row in _measure(run, root)]


def _measure(run: DehazingRun, root: Path) -> list[ProtocolRow]:
    system, chosen = models.get(run.system), metrics_of(run)
    network = network_of(run, root)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in PROTOCOLS}
    pairs = choose_pictures(run.measured_on, MOST)
    for pair in track(pairs, f"measuring {run.id} under {len(PROTOCOLS)} protocols"):
        restored, clear = restore(network, pair.hazy, system.multiple), pair.clear / 255.0
        for name, values in found.items():
            values.append(measure(restored, clear, name, chosen))
    return [ProtocolRow(run.system, run.measured_on, len(pairs), name,
                        {metric: mean([value[metric] for value in values]) for metric in chosen})
            for name, values in found.items()]
