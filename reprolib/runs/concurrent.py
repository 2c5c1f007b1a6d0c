"""Concurrent runs: independent pieces of work at once, each in a process of its own.

(*Workers* load the batches of one run; *distributed* processes share one run.) Small networks do not fill two cores: an
AECR-Net of width 16 trains 1.2 times faster on two threads than on one, two of them at once 1.8 times. On a CPU each
piece has one thread, so that its floats do not depend on how many run.

On Linux a process is a copy of this one (fork), made after the libraries are loaded (`reprolib.runtime.preload`). A
pool of fresh processes, such as joblib's loky, loads them in each: on two busy cores three copies answered after 0.3 s
with 3 MB of their own each, three of loky's after 40 s with 450 MB each. Nothing has run on torch's threads when the
copies are made, which is what makes fork safe here.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar, cast

from reprolib.errors import UserError
from reprolib.progress import Lines, report_to

T = TypeVar("T")
R = TypeVar("R")

PR_SET_PDEATHSIG = 1
"""Of Linux's prctl(2)."""

MOST = 4
"""Processes at once, if nothing else is asked for: each takes about 1 GB."""


def side_by_side(work: Callable[[T], R], items: Sequence[T], jobs: int | None = None,
                 accelerator: str = "auto", always: bool = False) -> list[R]:
    """`work` of each item, in the order of the items.

    Args:
        work: a function that can be pickled; what it returns too.
        jobs: processes at once; by default one more than there are cores, at most `MOST`: three runs that share two
            cores are done earlier than two runs and then a third alone. On a GPU, which one network fills, and under
            torchrun, whose processes share each piece, all is done in this process, one after another.
        accelerator: auto, cpu or cuda.
        always: a single item, too, gets a process of one thread; otherwise it runs in this one, with all threads.

    Raises:
        UserError: from the first piece of work that fails, or if its process was killed; the others are stopped. Or
            several `jobs` where there can be only one.
    """
    here = "under torchrun" if _shared() else "on a GPU" if _on_gpu(accelerator) else ""
    if here and (jobs or 1) > 1:
        raise UserError(f"runs go one after another {here}", where=f"--jobs {jobs}", fix="leave --jobs out")
    if not items or (len(items) == 1 and not always) or here:
        return [work(item) for item in items]
    jobs = jobs or min(cores() + 1, MOST)
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
                        error, trace = content
                        raise error from _Traceback(trace)
                    results[number] = content
                    process.join()
                    del running[receiver]
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()
    return [results[number] for number in range(len(items))]


class _Traceback(Exception):
    """Where in another process an error was raised, for whoever prints all of it."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _on_gpu(accelerator: str) -> bool:
    if accelerator == "cpu":
        return False
    import torch

    return torch.cuda.is_available()


def _shared() -> bool:
    """Whether torchrun started this process; torch is not asked, which some work does without."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def _receive(receiver: Connection, process: BaseProcess) -> tuple[str, Any]:
    try:
        message: tuple[str, Any] = receiver.recv()
        return message
    except EOFError:
        process.join()
        raise UserError(f"a process of this run ended with code {process.exitcode}", where="perhaps out of memory",
                        fix="run fewer at once (--jobs 1); what was saved goes on with --resume") from None


def end_with(parent: int) -> None:
    """Let the kernel end this process with its parent: whoever starts the work anew must not find it held."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # a system without it: `report` notices later
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _child(work: Callable[[T], R], item: T, sender: Connection, parent: int) -> None:
    def report(*line: object) -> None:
        if os.getppid() != parent:  # killed: whoever starts the work anew must not find us still writing
            os._exit(1)
        sender.send(("progress", line))

    end_with(parent)
    os.environ["OMP_NUM_THREADS"] = "1"  # for torch, and for processes of the work, if they load it later
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
    report_to(report)
    try:
        sender.send(("result", work(item)))
    except UserError as error:
        sender.send(("error", (error, "")))
    except KeyboardInterrupt:  # the parent was interrupted as well, and says so
        os._exit(130)
    except Exception as error:
        told = RuntimeError(f"{type(error).__name__}: {error}")  # the error itself may be one that cannot be pickled
        sender.send(("error", (told, traceback.format_exc())))
