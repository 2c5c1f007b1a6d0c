"""How much work a step is: multiply-accumulates, bytes that its operators touch, and how fast its convolutions run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

CONVOLUTIONS = ("aten::convolution", "aten::convolution_backward")
"""Operators of the two directions; on every device they call the ones that do the work."""


@dataclass(frozen=True)
class Work:
    """Of one step, forward and backward."""

    macs: int
    """Multiply-accumulates of convolutions and matrix products, as `metrics.cost.macs` counts them."""
    bytes: int
    """What operators read and write if no cache keeps anything between them, and each does it once."""


class _Bytes(TorchDispatchMode):
    """Adds up the operands and results of all operators that are more than a view."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        returned = function._schema.returns
        view = bool(returned) and returned[0].alias_info is not None and not returned[0].alias_info.is_write
        if not view:
            self.total += sum(leaf.numel() * leaf.element_size() for leaf in tree_leaves((args, kwargs, result))
                              if isinstance(leaf, Tensor))
        return result


def work_of(step: Callable[[], object]) -> Work:
    """Count the work of one step by taking it twice."""
    counter, touched = FlopCounterMode(display=False), _Bytes()
    with counter:
        step()
    with touched:
        step()
    return Work(counter.get_total_flops() // 2, touched.total)


def convolution_rate(step: Callable[[], object], device: torch.device) -> float:
    """Floating-point operations a second of a step's convolutions, within the time that they take; 0 without any."""
    counter = FlopCounterMode(display=False)
    with counter:
        step()
    counts = counter.get_flop_counts().get("Global", {})
    flops = sum(count for operator, count in counts.items() if "convolution" in str(operator))
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as record:
        step()
    averages = [event for event in record.key_averages() if event.key in CONVOLUTIONS]
    micro = sum(event.device_time_total if on_gpu else event.cpu_time_total for event in averages)
    return flops / (micro * 1e-6) if micro else 0.0
