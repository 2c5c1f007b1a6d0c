"""The small runs that `test_parallel` compares; a script, so that torchrun can start it: DATA OUT NAME..."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib import distributed
from reprolib.errors import UserError
from reprolib.models.objective import Contrast
from reprolib.runs.run import DehazingRun, TranslationRun
from reprolib.training.dehazing import task as dehazing
from reprolib.training.optimisation import take_step
from reprolib.training.run import train
from reprolib.training.translation import gan
from reprolib.training.translation.task import TranslationTask


def pairs(**changes: Any) -> dict[str, Any]:
    return {"system": "aecrnet", "dataset": "haze-homogeneous", "network": {"width": 8}, "batch": 4, "crop": 16,
            "learning_rate": 1e-3, **changes}


def domains(system: str, **objective: Any) -> dict[str, Any]:
    return {"system": system, "dataset": "horse2zebra", "network": {"width": 4, "blocks": 1}, "objective": objective,
            "batch": 4, "crop": 32, "learning_rate": 2e-4}


RUNS: dict[str, dict[str, Any]] = {
    "cr-batch": pairs(contrast=Contrast(rate="1:3"), clip=0.1),
    "cr-image": pairs(contrast=Contrast(rate="3:2", reduction="image")),
    "cr-own": pairs(contrast=Contrast(pool="local")),
    "transmission": pairs(system="dehazenet", network={}, loss={"transmission": 1.0}),
    "cut-bank": domains("cut", patches=16, negatives="both", bank=100),
    "cut-minibatch": domains("cut", patches=16, negatives="minibatch"),
    "cyclegan": domains("cyclegan"),
    "distancegan": domains("distancegan"),
    "selfdistance": {**domains("selfdistance"), "batch": 2},  # one picture a process
    "munit": {**domains("munit"), "network": {"width": 4}, "batch": 2, "crop": 64, "steps": 3},
    "stopped": domains("cyclegan"),
    "cr-local": pairs(contrast=Contrast(rate="1:2", pool="local")),
    "cr-too-local": pairs(contrast=Contrast(rate="1:3", pool="local")),
    "odd": pairs(batch=3),
    "drit": {**domains("drit"), "network": {"width": 4}},
}


STOPPED = ("stopped", 3)
"""This run stops in this step in two processes, one after its state was saved."""

EXACT = ("munit", "cut-minibatch")
"""In double precision: Adam makes whole steps of gradients that are nothing but rounding, which MUNIT and CUT feel."""


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


STAND_INS: tuple[tuple[Any, str, Any], ...] = (
    (dehazing, "load_features", Taps),
    (gan.ImagePool.__init__, "__defaults__", (5,)),  # full after two steps, so that later ones draw
    (TranslationTask, "validate", lambda self, pictures=None: next(iter(self.network.parameters())).mean().item()),
)


class Stop(Exception):
    pass


def train_one(data: Path, out: Path, name: str) -> None:
    """One run; what it raises is left in a file, so that the next ones follow."""
    task: Any = TranslationTask if RUNS[name]["dataset"] == "horse2zebra" else dehazing.DehazingTask
    step = task.step

    def prepared(self: Any, fabric: Any, batch: Any, number: int, generator: Any) -> Any:
        if (name, number) == STOPPED and distributed.count() > 1:
            raise Stop
        return step(self, fabric, tuple(side.to(torch.get_default_dtype()) for side in batch), number, generator)

    settings = {"steps": 5, "validate_every": 2, "save_every": 2, **RUNS[name]}
    kind: Any = TranslationRun if task is TranslationTask else DehazingRun
    run = kind(name=name, profile="test", **settings)
    task.step = prepared
    torch.set_default_dtype(torch.float64 if name in EXACT else torch.float32)
    try:
        train(run, resume=True, data_root=data / run.dataset, root=out, accelerator="cpu")
    except (UserError, Stop) as error:
        (out / f"{name}-{distributed.rank()}.txt").write_text(f"{type(error).__name__}: {error}")
    finally:
        task.step = step
        torch.set_default_dtype(torch.float32)


def weigh(everything: Tensor) -> Tensor:
    """A loss that is no mean over rows."""
    return everything[0] * everything[3] + everything.square().sum()


def check_collectives() -> None:
    """Values and gradients of `reprolib.distributed` in two processes."""
    x = torch.arange(1.0, 5)[distributed.rows(4)].requires_grad_()
    assert torch.equal(distributed.gather(x), torch.arange(1.0, 5))
    weigh(distributed.gather_with_gradient(x)).backward()
    assert x.grad is not None and torch.equal(x.grad / 2, torch.tensor([6.0, 4, 6, 9])[distributed.rows(4)])

    x.grad = None
    mean, square = distributed.means([x.mean(0, keepdim=True), x.square().mean()])
    assert mean.tolist() == [2.5] and square.item() == 7.5
    (mean.square() * square).sum().backward()  # of m^2 q by x_i: 2 m q / 4 + m^2 2 x_i / 4
    assert torch.allclose(x.grad / 2, 2 * 2.5 * 7.5 / 4 + 2.5**2 * x.detach() / 2)

    weight = nn.Parameter(torch.ones(2))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    for clip in (None, 2.5):  # the norm is limited after averaging: (2, 4) has 4.47
        weight.data.fill_(0)
        weight.grad = torch.tensor([1.0, 3.0]) if distributed.rank() else torch.tensor([3.0, 5.0])
        take_step(optimiser, clip)
        shrunk = 1.0 if clip is None else clip / 20**0.5
        assert torch.allclose(weight, -shrunk * torch.tensor([2.0, 4.0]))

    linear = nn.Linear(3, 2).to(torch.float64)
    linear.weight.data.fill_(distributed.rank())
    distributed.share_weights({"linear": linear})
    assert not linear.weight.any()

    def fail() -> None:
        raise UserError("no such folder", where="here", fix="make it")

    assert distributed.on_first(distributed.rank) == 0
    try:
        distributed.on_first(fail)
        raise AssertionError("nothing was raised")
    except UserError as error:
        assert (error.what, str(error)) == ("no such folder", "no such folder (here): make it")
    sample = distributed.draw(torch.rand, (2, 3), torch.Generator().manual_seed(1))
    assert torch.equal(sample, torch.rand(4, 3, generator=torch.Generator().manual_seed(1))[distributed.rows(4)])


if __name__ == "__main__":
    torch.set_num_threads(1)
    for place, name, value in STAND_INS:
        setattr(place, name, value)
    for wanted in sys.argv[3:]:
        train_one(Path(sys.argv[1]), Path(sys.argv[2]), wanted)
    check_collectives()
