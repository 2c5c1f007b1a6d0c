"""Memory and threads: settings of the process that make the same computation several times faster on a CPU.

The command line calls `tune()`; a program that uses this package as a library calls it in one line, before it imports
torch, and gets the same speed. Nothing is set by importing. What each setting gains was measured on two cores of a
virtual machine with AECR-Net's full-size training step (64x64, batch 8): 1.38 s with all of them, 5.72 s without.

    import reprolib.runtime
    reprolib.runtime.tune()
    import torch
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterable
from importlib import import_module


def tune() -> None:
    """Set what cannot be changed later; a variable that is set already stays. Call it before torch is imported."""
    # How long GNU OpenMP's threads spin before they sleep. Its default never sleeps soon enough: with one other busy
    # process on two cores, a training step of small layers takes 25 times longer. Sleeping at once costs a factor of 2
    # on an idle machine; this bound costs neither. Read when torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
    # NumPy's own threads would compete with torch's, for matrices that are small. Read when NumPy is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Have glibc keep what is freed for what is allocated next (mallopt(3)); nothing on other systems.

    A training step frees and allocates the same large tensors again and again. By default each goes back to the
    system, and touching its pages anew costs more than the arithmetic: this is a factor of 2 to 4. Works at any time,
    and in every process that this one forks, too.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        trim_threshold, mmap_threshold, most = -1, -3, 2**31 - 1
        mallopt(trim_threshold, most)
        mallopt(mmap_threshold, most)


def preload(modules: Iterable[str]) -> None:
    """Import modules now, before this process is copied and each copy would have to.

    Nothing that they make is garbage, but the collector would go through all of it again and again: it rests
    meanwhile (torch and its companions load in 3 instead of 4 seconds), and never looks at these objects again.
    """
    gc.disable()
    try:
        for name in dict.fromkeys(modules):
            import_module(name)
    finally:
        gc.enable()
    gc.freeze()
