"""Time and memory of several ways to do one thing, taken so that they can be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from reprolib.bench.case import Case, open_way
from reprolib.bench.cost import Spread, step_cost, timed

WARMUP = 3
"""Steps before the clock runs: they fill caches, choose algorithms and build optimiser states."""


def interleaved(ways: Mapping[str, Callable[[], object]], device: torch.device, repeats: int) -> dict[str, list[float]]:
    """Seconds of each way, one turn of all of them after another, so that a machine's drift meets all alike.

    Every other turn goes backwards: none always follows the same one.
    """
    assert repeats >= 1, repeats
    for run in ways.values():
        for _ in range(WARMUP):
            run()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats):
        for name in sorted(ways, reverse=bool(turn % 2)):
            seconds[name].append(timed(ways[name], device))
    return seconds


def ratios(above: list[float], below: list[float]) -> Spread:
    """Of the times of the same turns."""
    return Spread.of([a / b for a, b in zip(above, below, strict=True)])


def peak_memory(case: Case, mode: str) -> tuple[int, str]:
    """Bytes, and what was counted in words: see `bench.cost.step_cost`.

    In a process of its own, because a process does not give back all that an earlier way has taken.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_peak, case, mode, torch.get_num_threads()).result()


def _peak(case: Case, mode: str, threads: int) -> tuple[int, str]:
    torch.set_num_threads(threads)
    way = open_way(case, mode)
    cost = step_cost(way.run, way.device, warmup=1, repeats=2)
    return cost["peak_memory"], cost["memory_kind"]
