"""Memory and threads of a process, set by one call: `reprolib.runtime.tune()`.

The command line calls it first. Whoever uses the library calls it too, before torch is imported:

    import reprolib.runtime
    reprolib.runtime.tune()
    import torch

Nothing is set by importing. No setting changes a number; what each gains was measured on two cores of a virtual machine
(AECR-Net at full width, batch 8, crops of 64, one training step with CR):

* malloc keeps freed memory: 1.38 s instead of 5.72 s. May be set at any time.
* OpenMP's threads sleep after a bounded spin: up to 25 times faster steps of small layers while another process is
  busy, nothing lost on an idle machine. Read when torch is loaded.
* OpenBLAS has one thread: NumPy's own threads would compete with torch's for matrices that are small. Read when NumPy
  is loaded.

What the environment says already is left alone.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

THREADS = {
    # How long GNU OpenMP's threads spin before they sleep. The default never sleeps soon enough where cores are shared;
    # sleeping at once costs a factor of 2 on an idle machine; this bound costs neither.
    "GOMP_SPINCOUNT": ("30000", "torch"),
    "OPENBLAS_NUM_THREADS": ("1", "numpy"),
}
"""Environment variables: the value, and the library that reads it as it is loaded."""


def tune() -> None:
    """Set everything above; warns of what comes too late because its library is loaded already."""
    keep_freed_memory()
    for name, (value, reader) in THREADS.items():
        if name in os.environ:
            continue
        if reader in sys.modules:
            warnings.warn(f"{name} is read when {reader} is loaded: call reprolib.runtime.tune() before that",
                          RuntimeWarning, stacklevel=2)
        os.environ[name] = value  # for processes that this one starts, in any case


@contextmanager
def return_freed_memory() -> Iterator[None]:
    """Have glibc give back what is freed, as it does by default, for as long as this lasts; then `keep_freed_memory`.

    For few and large tensors: pages that are kept for others of their size were a tenth of the most memory that GCANet
    took of a 4K picture, and touching new ones costs little beside the arithmetic.
    """
    _set_malloc(128 * 1024)
    try:
        yield
    finally:
        keep_freed_memory()


def keep_freed_memory() -> None:
    """Have glibc keep what is freed for what is allocated next (mallopt(3)); nothing happens with another malloc.

    A training step frees and allocates the same large tensors again and again. By default each goes back to the
    system, and touching its pages anew costs more than the arithmetic. Processes that this one forks have it, too.
    """
    _set_malloc(2**31 - 1)


def _set_malloc(threshold: int) -> None:
    """From how many bytes on glibc's malloc takes memory from the system for itself, and gives it back."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3
        mallopt(trim_threshold, threshold)
        mallopt(mmap_threshold, threshold)


def tune_gpu() -> None:
    """Settings of CUDA's libraries for training; called once a run is known to compute on a GPU.

    * No TensorFloat-32: '32-true' means float32, so that a GPU and a CPU can be held against each other, and the
      covariances of FastDeconv lose no digits. Whoever wants speed takes 'bf16-mixed', which is faster still. PyTorch's
      own default would round the inputs of convolutions, though not of matrix products, to 10 bits.
    * cuDNN may time its algorithms for a shape and keep the fastest: crops have one shape over a run. Two runs may
      choose differently and then differ in rounding; that resuming is bit-identical is promised on a CPU only.
    """
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """What was made on the CPU, on the device of the run, without waiting.

    A copy from pageable memory would make the host wait until everything queued on the GPU is done.
    """
    if device.type == "cuda" and x.device.type == "cpu":
        x = x.pin_memory()
    return x.to(device, non_blocking=True)


def preload(modules: Iterable[str]) -> None:
    """Import modules now, before this process is copied and each copy would have to.

    Nothing that they make is garbage, but the collector would go through all of it again and again: it rests meanwhile
    (torch and its companions load in 3 instead of 4 seconds), and never looks at these objects again (gc.freeze),
    which also keeps their pages shared among the copies.
    """
    gc.disable()
    try:
        for name in dict.fromkeys(modules):
            import_module(name)
    finally:
        gc.enable()
    gc.freeze()
