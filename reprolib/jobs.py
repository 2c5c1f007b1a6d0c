"""Several independent pieces of work side by side, each in a process of its own.

Small networks do not fill two cores: an AECR-Net of width 16 trains 1.2 times faster on two threads than on one, two
of them side by side 1.8 times. And a process that has loaded its libraries is copied within milliseconds, where a new
one takes seconds to load them. On a CPU each piece has one thread, so that its floats do not depend on how many run.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar, cast

from reprolib.errors import UserError
from reprolib.progress import Lines, report_to

T = TypeVar("T")
R = TypeVar("R")

MOST = 4
"""Processes at once, if nothing else is asked for: each takes about 1 GB."""


def side_by_side(work: Callable[[T], R], items: Sequence[T], jobs: int | None = None,
                 accelerator: str = "auto") -> list[R]:
    """`work` of each item, in the order of the items.

    Args:
        work: a function that can be pickled; what it returns too.
        jobs: processes at once; by default one for each core, at most `MOST`. On a GPU, which one network fills, and
            under torchrun, whose processes share each piece, there is always one, this one. A single item also runs
            in this process, with all threads.
        accelerator: auto, cpu or cuda.

    Raises:
        UserError: from the first piece of work that fails, or if its process was killed; the others are stopped.
    """
    if len(items) < 2 or _on_gpu(accelerator) or _shared():
        return [work(item) for item in items]
    jobs = jobs or min(cores(), MOST)
    # A copy of this process where the system can make one safely.
    context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    waiting = list(enumerate(items))[::-1]
    running: dict[Connection, tuple[int, BaseProcess]] = {}
    results: dict[int, R] = {}
    try:
        with Lines() as lines:
            while waiting or running:
                while waiting and len(running) < jobs:
                    number, item = waiting.pop()
                    receiver, sender = context.Pipe(duplex=False)
                    process = context.Process(target=_child, args=(work, item, sender, os.getpid()))
                    process.start()
                    sender.close()
                    running[receiver] = number, process
                for receiver in cast("list[Connection]", wait(list(running))):
                    number, process = running[receiver]
                    kind, content = _receive(receiver, process)
                    if kind == "progress":
                        lines.show(*content)
                        continue
                    if kind == "error":
                        raise content
                    results[number] = content
                    process.join()
                    del running[receiver]
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()
    return [results[number] for number in range(len(items))]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _on_gpu(accelerator: str) -> bool:
    import torch

    return accelerator != "cpu" and torch.cuda.is_available()


def _shared() -> bool:
    from reprolib import parallel

    return parallel.launched() > 1


def _receive(receiver: Connection, process: BaseProcess) -> tuple[str, Any]:
    try:
        message: tuple[str, Any] = receiver.recv()
        return message
    except EOFError:
        process.join()
        raise UserError(f"a process of this run ended with code {process.exitcode}", where="perhaps out of memory",
                        fix="run fewer at once (--jobs 1); what was saved goes on with --resume") from None


def _child(work: Callable[[T], R], item: T, sender: Connection, parent: int) -> None:
    import torch

    def report(*line: object) -> None:
        if os.getppid() != parent:  # killed: whoever starts the work anew must not find us still writing
            os._exit(1)
        sender.send(("progress", line))

    torch.set_num_threads(1)
    report_to(report)
    try:
        sender.send(("result", work(item)))
    except UserError as error:
        sender.send(("error", error))
    except KeyboardInterrupt:  # the parent was interrupted as well, and says so
        os._exit(130)
    except Exception as error:
        traceback.print_exc()
        sender.send(("error", RuntimeError(f"{type(error).__name__}: {error}")))
