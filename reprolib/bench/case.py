"""What is timed: a system at a size, and the callables that take one step of it, our way and the plain way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from reprolib import models
from reprolib.bench.reference import PlainDehazing, PlainTranslation, plain_restore, without_autocast
from reprolib.contrast.features import load_features
from reprolib.contrast.samples import Rate
from reprolib.errors import UserError, unknown
from reprolib.models.inference import restore, translate
from reprolib.models.objective import Contrast
from reprolib.models.translation.cut import CUT, CUTObjective
from reprolib.runs.environment import cpu_name
from reprolib.runs.run import DehazingRun, TranslationRun

TASKS = ("train", "evaluate")
PICTURE = (460, 620)
"""Height and width of a test picture of SOTS."""
MODES = {
    "ours": "the training code",
    "direct": "the training code with direct sums where Winograd's filtering would be taken",
    "plain": "PyTorch's own pieces in the published arrangement (reprolib.bench.reference)",
    "untuned": "plain, with malloc as Python starts it",
    "compiled": "plain, its networks through torch.compile",
    "bf16": "plain, in bfloat16 by autocast",
}
"""Ways to do what a case asks for. All but 'untuned' run with malloc's settings of `reprolib.runtime`."""
PLAIN = ("plain", "untuned", "compiled", "bf16")
BETA = 0.1
"""Weight of CR (AECR-Net)."""


@dataclass(frozen=True)
class Case:
    """One configuration. Batches are random pictures: what a step costs does not depend on what is in them."""

    system: str
    task: str = "train"
    """'train': one optimisation step; 'evaluate': one whole picture."""
    precision: str = "32-true"
    batch: int = 8
    crop: int | None = 64
    """None for whole pictures."""
    network: Mapping[str, Any] = field(default_factory=dict)
    """Options of the network that differ from its published size."""
    rate: str = "1:1"
    """Dehazing: positives:negatives of CR."""
    accelerator: str = "auto"

    @property
    def run(self) -> DehazingRun | TranslationRun:
        """A run that takes such steps."""
        shared: dict[str, Any] = {
            "name": "bench", "profile": "bench", "system": self.system, "dataset": "random", "batch": self.batch,
            "network": dict(self.network), "crop": self.crop or 1, "precision": self.precision}
        if models.get(self.system).task == "translation":
            return TranslationRun(**shared)
        return DehazingRun(**shared, contrast=Contrast(weight=BETA, rate=self.rate))


SIZES = {("dehazing", "cpu"): (8, 64), ("dehazing", "cuda"): (16, 240),
         ("translation", "cpu"): (1, 256), ("translation", "cuda"): (1, 256)}
"""Batch and crop by default: those of the papers, but for dehazers on a CPU."""


def cases(system: str, task: str = "train", precisions: Sequence[str] | None = None, batch: int | None = None,
          crop: int | None = None, width: int | None = None, rate: str = "1:1",
          accelerator: str = "auto") -> list[Case]:
    """The configurations that a command asks for, one for each precision.

    Without precisions: both where bf16 is fast, only float32 where the processor has no units for it.
    """
    device = Fabric(accelerator=accelerator, devices=1).device.type
    if task == "train":
        usual_batch, usual_crop = SIZES[models.get(system).task, device]
        batch, crop = batch or usual_batch, crop or usual_crop
    else:
        batch, crop = 1, None  # whole pictures come one by one
    if not precisions:
        precisions = ["32-true", "bf16-mixed"] if device == "cuda" or "amx_bf16" in cpu_name() else ["32-true"]
    network = {} if width is None else {"width": width}
    return [Case(system, task, precision, batch, crop, network, rate, accelerator) for precision in precisions]


Step = Callable[[], "Tensor | np.ndarray"]
"""Takes a step and gives the loss, or the picture."""


@dataclass(frozen=True)
class Way:
    """One way to do what a case asks for."""

    run: Step
    device: torch.device
    network: nn.Module
    """What the way trains or applies."""
    layout: str
    """Of the network's weights in memory: 'channels_last' or 'contiguous'."""


def missing(case: Case, mode: str) -> str:
    """Why a way is not taken here, in words; empty if it is."""
    device = Fabric(accelerator=case.accelerator, devices=1).device
    if mode == "bf16" and device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "the processor does not compute in bfloat16"
    if mode == "direct" and (case.task == "evaluate" or models.get(case.system).task == "translation"
                             or case.precision != "32-true" or device.type != "cpu"):
        return "nothing is filtered"
    return ""


def open_way(case: Case, mode: str) -> Way:
    """The networks of a case and the step that is timed.

    Raises:
        UserError: an unknown task or system, or one that has no such step.
    """
    if case.task not in TASKS:
        raise unknown("task", case.task, TASKS)
    assert mode in MODES, mode
    system = models.get(case.system)
    if not system.trained:
        raise UserError(f"'{case.system}' has no network to time", fix="name a system that is trained")
    if mode in PLAIN and case.task == "train" and system.task == "translation" and \
            not isinstance(system.objective, CUTObjective):
        raise UserError(f"no plain step of '{case.system}' is written down", fix="name a dehazer, cut or fastcut")
    torch.manual_seed(0)
    # The plain ways have their own type whatever the case asks for.
    precision: Any = "32-true" if mode in PLAIN else case.precision
    fabric = Fabric(accelerator=case.accelerator, devices=1, precision=precision)
    if mode in PLAIN:
        run, network = _plain(case, mode, fabric.device)
    else:
        run, network = (_evaluation if case.task == "evaluate" else _training)(case, mode, fabric)
    return Way(run, fabric.device, network, _layout(network))


def _training(case: Case, mode: str, fabric: Fabric) -> tuple[Step, nn.Module]:
    generator, batch = torch.Generator().manual_seed(0), random_batch(case, fabric.device)
    run = case.run
    task = open_task(run, fabric)
    if mode == "direct":
        assert isinstance(run, DehazingRun) and run.contrast is not None
        features = load_features(run.contrast.features, winograd=False).to(fabric.device)
        task.contrast.features = features.to(memory_format=task.memory_format)
    return (lambda: task.step(fabric, batch, 0, generator)["loss"]), task.network


def _evaluation(case: Case, mode: str, fabric: Fabric) -> tuple[Step, nn.Module]:
    system, picture = models.get(case.system), random_picture()
    network = system.build(**case.network).to(fabric.device)
    apply = translate if system.task == "translation" else restore

    def run() -> np.ndarray:
        with fabric.autocast():
            return apply(network, picture, system.multiple)

    return run, network


def _plain(case: Case, mode: str, device: torch.device) -> tuple[Step, nn.Module]:
    system, run = models.get(case.system), case.run
    network, half = plain_network(case).to(device), mode == "bf16"
    if half:
        without_autocast(network)
    if case.task == "evaluate":
        picture, low = random_picture(), -1.0 if system.task == "translation" else 0.0
        if mode == "compiled":
            network.compile()
        return (lambda: plain_restore(network, picture, system.multiple, low, half)), network
    generator, batch = torch.Generator().manual_seed(0), random_batch(case, device)
    step: PlainDehazing | PlainTranslation
    if isinstance(run, DehazingRun):
        assert run.contrast is not None
        features = load_features(run.contrast.features, winograd=False).to(device)
        step = PlainDehazing(network, features, Rate.parse(case.rate), BETA, half=half)
    else:
        objective = system.objective
        assert isinstance(objective, CUTObjective) and isinstance(network, CUT)
        step = PlainTranslation(network, lambda_x=objective.lambda_x, lambda_y=objective.lambda_y,
                                flip=objective.flip, half=half)
    if mode == "compiled":
        step.compile()
    return (lambda: step.step(*batch, generator)), network


def open_task(run: DehazingRun | TranslationRun, fabric: Fabric) -> Any:
    """The task of a run without its data, which no step looks at."""
    nothing: Any = ()
    if isinstance(run, DehazingRun):
        from reprolib.training.dehazing.task import DehazingTask

        return DehazingTask(run, fabric, nothing)
    from reprolib.training.translation.task import TranslationTask

    return TranslationTask(run, fabric, nothing)


def plain_network(case: Case) -> nn.Module:
    """A system's network in the contiguous layout, with torchvision's deformable convolution where it has any."""
    operator = {"operator": "torchvision"} if case.system == "aecrnet" else {}
    return models.get(case.system).build(**case.network, **operator)


def random_picture() -> np.ndarray:
    """uint8 RGB, HW3."""
    return np.random.default_rng(0).integers(256, size=(*PICTURE, 3), dtype=np.uint8)


def random_batch(case: Case, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Two batches of pictures, in the range of the system's task."""
    generator = torch.Generator().manual_seed(1)
    assert case.crop is not None
    pictures = torch.rand(2, case.batch, 3, case.crop, case.crop, generator=generator)
    if models.get(case.system).task == "translation":
        pictures = pictures * 2 - 1
    first, second = pictures.to(device)
    return first, second


def _layout(network: nn.Module) -> str:
    """That of most weights that can have either."""
    maps = [p for p in network.parameters() if p.dim() == 4 and min(p.shape[1:]) > 1]
    last = sum(p.is_contiguous(memory_format=torch.channels_last) for p in maps)
    return "channels_last" if 2 * last > len(maps) else "contiguous"
