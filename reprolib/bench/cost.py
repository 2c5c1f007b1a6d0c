"""What a computation costs: time and memory of a step, multiply-accumulates of a forward pass, ceilings of a device.

A training step is measured as CUT's code does it: the device is idle before and after, batches lie ready, nothing is
logged. Where that code keeps a moving average that starts at 0.1 s, here are median and quartiles.
"""

from __future__ import annotations

import ctypes
import gc
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from reprolib.runs.environment import peak_resident

_RESET = Path("/proc/self/clear_refs")

CEILING_SIDE = {"cpu": 512, "cuda": 8192}
"""Side of the matrices that the ceiling is measured with: large enough to fill the device."""
COPIED_BYTES = {"cpu": 2**28, "cuda": 2**30}
"""Far beyond any cache."""
CEILING_REPEATS = 5


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        shares = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
        low, median, high = torch.tensor(values, dtype=torch.float64).quantile(shares).tolist()
        return cls(median, low, high)


def timed(step: Callable[[], object], device: torch.device) -> float:
    """Seconds of one step on an idle device."""
    _wait(device)
    started = time.perf_counter()
    step()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Memory:
    """What memory grows by from when this is made, and to which peak."""

    def __init__(self, device: torch.device):
        self.device = device
        self.restart()
        self.before = 0 if device.type == "cuda" else peak_resident()
        """Bytes that the process holds already; on a GPU everything counts as growth."""

    def restart(self) -> None:
        """Forget the peak so far."""
        gc.collect()
        if self.device.type == "cuda":
            self.kind = "tensors on the device, all of them"
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
            return
        _return_free_memory()
        try:
            _RESET.write_text("5")  # the kernel's mark of the peak falls back to what is resident now
            self.kind = "growth of the process's resident memory"
        except OSError:
            self.kind = "growth of the process's highest resident memory so far, a lower bound"

    def peak(self) -> int:
        """Bytes of `kind`."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return max(0, peak_resident() - self.before)


def _return_free_memory() -> None:
    """Give freed memory back to the system; otherwise a step could fill it again without growing the process."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(0)


def macs(module: nn.Module, *inputs: Tensor) -> int:
    """Multiply-accumulates of a forward pass in convolutions and matrix products, deformable convolutions included.

    One of them is two floating-point operations. Norms, activations, resampling by interpolation and the bilinear
    reads of a deformable convolution are left out, as usual; so are biases, which some counters add. A network on the
    meta device computes nothing.
    """
    was_training = module.training
    module.eval()
    counter = FlopCounterMode(display=False, custom_mapping=_deformable())
    with counter, torch.no_grad():
        module(*inputs)
    module.train(was_training)
    return counter.get_total_flops() // 2


def _deformable() -> dict[Any, Callable[..., int]]:
    """torchvision's deformable convolution, which the counter does not know; ours is a matrix product."""
    import torchvision.ops  # noqa: F401  # registers the operator

    def flops(_x: Any, weight: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        batch, channels, height, width = out_shape
        return 2 * batch * height * width * channels * math.prod(weight[1:])

    return {torch.ops.torchvision.deform_conv2d: flops}


def ceilings(device: torch.device | str) -> dict[str, float]:
    """What the device reaches at best, measured: the fastest of a few runs.

    Returns:
        'fp32_flops' and 'bf16_flops', floating-point operations a second of a square matrix product (float32 in
        PyTorch's current precision setting, by default without TF32), and 'copy_bytes', bytes a second that a copy
        within the device's memory reads and writes.
    """
    device = torch.device(device)
    side = CEILING_SIDE[device.type]
    found = {}
    for name, dtype in (("fp32_flops", torch.float32), ("bf16_flops", torch.bfloat16)):
        a = torch.randn(side, side, device=device).to(dtype)
        found[name] = 2 * side**3 / _fastest(partial(torch.mm, a, a, out=torch.empty_like(a)), device)
    source = torch.zeros(COPIED_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    found["copy_bytes"] = 2 * source.numel() / _fastest(partial(target.copy_, source), device)
    return found


def _fastest(run: Callable[[], object], device: torch.device) -> float:
    run()
    return min(timed(run, device) for _ in range(CEILING_REPEATS))
