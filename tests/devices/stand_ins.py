"""Devices that no machine has to have: PyTorch's meta device, and a CUDA device whose tensors have no values.

Both know shapes, types and devices and nothing else, so that whatever asks for a value on the device raises. What stays
on the CPU, such as random draws, is real.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from reprolib import models
from reprolib.contrast.features import TAPS, VGGFeatures
from reprolib.runs.profile import TaskRun, read_profile
from reprolib.runs.run import DehazingRun, SegmenterRun, TranslationRun
from reprolib.training import segmentation
from reprolib.training.dehazing import task as dehazing
from reprolib.training.dehazing import terms
from reprolib.training.translation.distance import DistanceMethod, Statistics
from reprolib.training.translation.task import TranslationTask

STEPS = 30


class Device:
    """What a task asks of Fabric."""

    def __init__(self, name: str, bf16: bool = False):
        self.device, self.bf16 = torch.device(name), bf16

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def backward(self, loss: Tensor) -> None:
        if self.device.type == "meta":
            loss.backward()  # fake CUDA tensors have none: autograd asks the driver for a stream


def kinds(reduced: bool = True) -> dict[str, TaskRun]:
    """Runs of `paper` and `mini` that have every system, rate and kind of negatives, and systems that no profile has.

    Args:
        reduced: with mini's networks; crops and batches are mini's in any case.
    """
    small = {run.system: run for run in read_profile("mini").runs.values()}
    found: dict[str, TaskRun] = {}
    seen: set[str] = set()
    for run in (run for profile in ("paper", "mini") for run in read_profile(profile).runs.values()):
        traits = {run.system}
        if isinstance(run, DehazingRun):
            traits |= {run.contrast.rate} if run.contrast else set()
        else:
            traits |= {str(run.objective.get("negatives"))}
        mini = small.get(run.system)
        if traits <= seen or mini is None or not models.get(run.system).trained:
            continue
        seen |= traits
        if isinstance(run, TranslationRun) and "patches" in models.objective_defaults(run.system):
            run = run.changed(objective={**run.objective, "patches": 16})
        network = {**run.network, **(mini.network if reduced else {})}
        found[run.name] = run.changed(network=network, batch=mini.batch, crop=mini.crop, steps=STEPS)
    for name in set(models.names("dehazing")) - seen:
        if models.get(name).trained:
            found[name] = DehazingRun(name=name, profile="", system=name, dataset="", batch=2, crop=32, steps=STEPS)
    return found


def batch_of(run: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    first = torch.rand(run.batch, 3, run.crop, run.crop, device=device)
    if isinstance(run, SegmenterRun):
        return first, torch.zeros(run.batch, run.crop, run.crop, dtype=torch.long, device=device)
    return first, torch.rand(run.batch, 3, run.crop, run.crop, device=device)


def open_task(run: Any, fabric: Any) -> Any:
    """The task of a run without any data."""
    if isinstance(run, SegmenterRun):
        nothing: Any = SimpleNamespace(a=[], b=[], aligned=True)
        return segmentation.SegmentationTask(run, fabric, nothing)
    if models.get(run.system).task == "dehazing":
        return dehazing.DehazingTask(run, fabric, ())  # type: ignore[arg-type]
    task = TranslationTask(run, fabric, SimpleNamespace(a=[], b=[]))  # type: ignore[arg-type]
    if isinstance(task.method, DistanceMethod):
        task.method.statistics = Statistics(0.5, 0.1, 0.5, 0.1)
    return task


def chosen_steps(run: Any) -> list[int]:
    """Each kind of step that a run has: a teacher's, or the content discriminator's; with keys in a bank; with CR."""
    if run.system == "drit":
        return [0, 1, 2]
    if isinstance(run, TranslationRun):
        return [0, 1] if "bank" in str(run.objective.get("negatives")) else [0]
    return [0, STEPS - 1] if "distillation" in getattr(run, "loss", ()) else [STEPS - 1]


@contextmanager
def meta_without_autocast() -> Iterator[None]:
    """Autocast knows no meta device and refuses even to be off there."""
    real, enabled = torch.autocast, torch.is_autocast_enabled

    def autocast(device: str, *args: Any, **kwargs: Any) -> AbstractContextManager[Any]:
        return nullcontext() if device == "meta" else real(device, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "autocast", autocast)
        patch.setattr(torch, "is_autocast_enabled", lambda device: device != "meta" and enabled(device))
        yield


@contextmanager
def untrained_extractors() -> Iterator[None]:
    """Extractors with random weights, so that no file is needed."""
    def build(name: str, weights: object = None, normalisation: str | None = None, taps: Any = TAPS,
              **_: object) -> VGGFeatures:
        return VGGFeatures(name, normalisation, taps)

    with pytest.MonkeyPatch.context() as patch:
        for module in (dehazing, terms):
            patch.setattr(module, "load_features", build)
        yield


class Copies(TorchDispatchMode):
    """Notes every copy between devices for which the host would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.ops.aten._to_copy.default:
            to = torch.device(kwargs.get("device") or args[0].device)
            if to.type != args[0].device.type and not kwargs.get("non_blocking"):
                self.waited.append(f"{tuple(args[0].shape)} from {args[0].device} to {to}")
        if function is torch.ops.aten.copy_.default and args[0].device.type != args[1].device.type and \
                not (args[2:] or (kwargs.get("non_blocking"),))[0]:
            self.waited.append(f"copy_ of {tuple(args[0].shape)} from {args[1].device} to {args[0].device}")
        return function(*args, **kwargs)


class FakeCUDA(FakeTensorMode):
    """Fake tensors on a CUDA device, real ones on the CPU.

    Notes which operations of `WIDE` see fewer than 32 bits: exponentials, norms, and sums that end in a loss. (Means
    over a map inside a network may: kernels add up in float32, and only the result is rounded.)
    """

    WIDE = ("var_mean", "std_mean", "_softmax", "_log_softmax", "log_softmax", "nll_loss_forward", "exp",
            "linalg_vector_norm", "embedding_bag", "_embedding_bag", "mse_loss", "smooth_l1_loss",
            "binary_cross_entropy_with_logits", "native_group_norm", "rsqrt")

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self.narrow: set[str] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        if not any(isinstance(x, FakeTensor) for x in leaves) and \
                torch.device(kwargs.get("device") or "cpu").type != "cuda":
            return function(*args, **kwargs)
        name = function.overloadpacket.__name__
        result = super().__torch_dispatch__(function, types, args, kwargs)
        half = any(x.dtype in (torch.bfloat16, torch.float16) for x in leaves if isinstance(x, Tensor))
        if half and (name in self.WIDE or (name in ("sum", "mean") and result.dim() < 2)):
            self.narrow.add(name)
        return result


@contextmanager
def fake_cuda() -> Iterator[FakeCUDA]:
    """What a machine with a GPU would say of itself, as far as types and devices go."""
    def move(self: nn.Module, function: Any, recurse: bool = True) -> nn.Module:
        """nn.Module swaps parameters for fake ones, which it cannot."""
        for child in self.children():
            child._apply(function)
        for name, parameter in self._parameters.items():
            if parameter is not None:
                self._parameters[name] = nn.Parameter(function(parameter.detach()), parameter.requires_grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = function(buffer)
        return self

    with pytest.MonkeyPatch.context() as patch, FakeCUDA() as mode:
        patch.setattr(nn.Module, "_apply", move)
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
        patch.setattr(Tensor, "pin_memory", lambda self: self)
        yield mode
