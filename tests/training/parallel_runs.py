"""Trains the small runs that `test_parallel` compares; started once by itself and once by torchrun.

Usage: parallel_runs.py DATA OUT NAMES [STEP]; with STEP, process 1 is killed in that step.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib import parallel
from reprolib.experiment import Contrast, Experiment
from reprolib.training import dehazing
from reprolib.training.run import train
from reprolib.training.translation import gan
from reprolib.training.translation.task import TranslationTask


def pairs(**changes: Any) -> dict[str, Any]:
    return {"system": "aecrnet", "dataset": "haze-homogeneous", "network": {"width": 8}, "batch": 4, "crop": 16,
            "learning_rate": 1e-3, **changes}


def domains(system: str, **method: Any) -> dict[str, Any]:
    size = {} if system == "munit" else {"blocks": 1}
    crop = 64 if system == "munit" else 32
    return {"system": system, "dataset": "horse2zebra", "network": {"width": 4, **size}, "method": method, "batch": 4,
            "crop": crop, "learning_rate": 2e-4}


RUNS: dict[str, dict[str, Any]] = {
    "cr-batch": pairs(contrast=Contrast(rate="1:3"), clip=0.1),
    "cr-image": pairs(contrast=Contrast(rate="3:2", reduction="image")),
    "cr-own": pairs(contrast=Contrast(pool="local")),
    "transmission": pairs(system="dehazenet", network={}, loss={"transmission": 1.0}),
    "cut-bank": domains("cut", patches=16, negatives="both", bank=100),
    "cut-minibatch": domains("cut", patches=16, negatives="minibatch"),
    "cyclegan": domains("cyclegan"),
    "distancegan": domains("distancegan"),
    "munit": domains("munit"),
    "cr-local": pairs(contrast=Contrast(rate="1:2", pool="local")),
    "cr-too-local": pairs(contrast=Contrast(rate="1:3", pool="local")),
    "odd": pairs(batch=3),
    "drit": domains("drit"),
}


class Taps(nn.Module):
    """Five random feature maps in place of a VGG's."""

    def __init__(self, name: str):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.kernels = [torch.randn(3, 3, 3, 3, generator=generator) / 3 for _ in range(5)]

    def forward(self, x_B3HW: Tensor) -> list[Tensor]:
        found = []
        for kernel in self.kernels:
            x_B3HW = F.conv2d(x_B3HW, kernel, padding=1).tanh()
            found.append(x_B3HW)
        return found


def main(data: Path, out: Path, name: str, stop: int | None) -> None:
    task: Any = TranslationTask if RUNS[name]["dataset"] == "horse2zebra" else dehazing.DehazingTask
    step = task.step

    def killed(self: Any, fabric: Any, batch: Any, number: int, generator: Any) -> Any:
        if number == stop and parallel.rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, fabric, batch, number, generator)

    task.step = killed
    experiment = Experiment(name=name, profile="test", **{"steps": 5, "validate_every": 2, "save_every": 2,
                                                          **RUNS[name]})
    try:
        train(experiment, resume=True, data_root=data / experiment.dataset, root=out, accelerator="cpu")
    except Exception as error:
        (out / f"{name}-{parallel.rank()}.txt").write_text(f"{type(error).__name__}: {error}")
    finally:
        task.step = step


if __name__ == "__main__":
    torch.set_num_threads(1)
    dehazing.load_features = Taps  # type: ignore[assignment,misc]
    gan.ImagePool.__init__.__defaults__ = (5,)  # full after two steps, so that later ones draw
    TranslationTask.validate = lambda self: float(next(iter(self.network.parameters())).mean())  # type: ignore[method-assign]
    for wanted in sys.argv[3].split(","):
        main(Path(sys.argv[1]), Path(sys.argv[2]), wanted, int(sys.argv[4]) if len(sys.argv) > 4 else None)
