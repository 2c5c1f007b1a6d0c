"""Time and memory of several ways to do one thing, taken so that they can be compared.

Each way lives in a process of its own, and they take steps in turns while the others wait: so a machine's drift meets
all alike, and none finds memory, settings or compiled code that another has left.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, TypeVar

import torch

from reprolib.bench.case import Case, Way, missing, open_way
from reprolib.bench.cost import Memory, Spread, timed
from reprolib.runs.concurrent import end_with
from reprolib.runtime import keep_freed_memory, tune_gpu

T = TypeVar("T")
WARMUP = 3
"""Steps before the clock runs: they fill caches, choose algorithms and build optimiser states."""


@dataclass(frozen=True)
class Opened:
    """What a way says of itself when it is ready."""

    absent: str
    """Why it cannot be taken here, in words; empty if it can."""
    layout: str = ""
    first_seconds: float = 0.0
    """Of the first step, which compiles what is compiled."""
    value: float = 0.0
    """Loss of the first step, or mean of the first picture: the same by all ways."""


@dataclass(frozen=True)
class Peak:
    """Memory of a step once everything is warm, in bytes."""

    whole: int
    """The process's, libraries and weights included; on a GPU that of all tensors."""
    growth: int
    """Since the networks were there, before the first step."""
    kind: str


class Process:
    """A way of taking a step, in a process of its own; a context, which ends it."""

    def __init__(self, case: Case, mode: str):
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), end_with, (os.getpid(),))
        try:
            self.opened: Opened = self._pool.submit(_open, case, mode, torch.get_num_threads()).result()
        except BaseException:
            self.close()
            raise

    def step(self) -> float:
        """Seconds of a step."""
        return self._pool.submit(_step).result()

    def peak(self) -> Peak:
        """Of two more steps."""
        return self._pool.submit(_peak).result()

    def ask(self, function: Callable[[Case, Way], T]) -> T:
        """What a function of a module says of the way, where it is."""
        return self._pool.submit(_ask, function).result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


_here: dict[str, Any] = {}
"""In the process of a way: its case, itself and its memory."""


def _open(case: Case, mode: str, threads: int) -> Opened:
    if mode != "untuned":
        keep_freed_memory()
        if torch.cuda.is_available():
            tune_gpu()
    torch.set_num_threads(threads)
    if absent := missing(case, mode):
        return Opened(absent)
    way = open_way(case, mode)
    memory, results = Memory(way.device), []
    try:
        first_seconds = timed(lambda: results.append(way.run()), way.device)
    except Exception as error:
        if mode != "compiled":
            raise
        # What compiles needs a compiler, headers and more; what it says without them is of any kind.
        return Opened(f"torch.compile: {next(iter(str(error).splitlines()), type(error).__name__)}")
    for _ in range(WARMUP - 1):
        way.run()
    _here.update(case=case, way=way, memory=memory)
    (result,) = results
    return Opened("", way.layout, first_seconds, float(result.mean()))


def _step() -> float:
    return timed(_here["way"].run, _here["way"].device)


def _peak() -> Peak:
    memory: Memory = _here["memory"]
    memory.restart()
    for _ in range(2):
        _here["way"].run()
    growth = memory.peak()
    return Peak(memory.before + growth, growth, memory.kind.replace("growth of ", "peak of "))


def _ask(function: Callable[[Case, Way], T]) -> T:
    return function(_here["case"], _here["way"])


def interleaved(ways: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Seconds that each way says it took, one turn of all of them after another.

    Every other turn goes backwards: none always follows the same one.
    """
    assert repeats >= 1, repeats
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats):
        for name in sorted(ways, reverse=bool(turn % 2)):
            seconds[name].append(ways[name]())
    return seconds


def ratios(above: list[float], below: list[float]) -> Spread:
    """Of the times of the same turns."""
    return Spread.of([a / b for a, b in zip(above, below, strict=True)])
