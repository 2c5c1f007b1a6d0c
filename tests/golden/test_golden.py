"""Loss curves of two tiny runs, kept for each kind of device: a refactoring must not change what training does.

Networks, pictures and draws are synthetic, so that no data and no weights are needed. What may differ between machines,
numbers of threads and memory layouts is the order of sums, which training amplifies from step to step. Between 1 and 2
threads and between the two layouts AECR-Net's curve (float32) moved by 2e-6 in the first ten steps and by 1.4e-3 in all
of them. CUT is run in float64, where its curve did not move in 7 digits: in float32 Adam makes whole steps out of the
noise in gradients that are zero (biases before a normalisation), and after 30 steps no two orders of sums agree.

`PYTHONPATH=tests python tests/golden/test_golden.py` writes the curves anew: do that only for a change that is meant to
change the loss, and say so in the commit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from extractors import random_vgg
from lightning_fabric import Fabric
from torch import Tensor, nn

from reprolib.models.objective import Contrast
from reprolib.runs.run import DehazingRun, TranslationRun
from reprolib.training.dehazing import task as dehazing
from reprolib.training.translation.task import TranslationTask

CURVES = Path(__file__).parent
STEPS, FIRST = 100, 10
TOLERANCE = {"aecrnet": (5e-5, 2e-2), "cut": (1e-6, 1e-3)}
"""Relative to the curve, in the first ten steps and in all: over ten times what reordering was seen to do."""


def pictures(step: int, batch: int, side: int) -> tuple[Tensor, Tensor]:
    """Smooth clear pictures in [0, 1], and the same under grey haze."""
    generator = torch.Generator().manual_seed(step)
    coarse = torch.rand(batch, 3, 4, 4, generator=generator)
    clear = nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return 0.6 * clear + 0.35, clear


def curve(system: str, device: str) -> list[float]:
    """Losses of all steps."""
    torch.manual_seed(0)
    fabric = Fabric(accelerator=device, devices=1)
    task: Any
    shared: dict[str, Any] = {"name": "golden", "profile": "golden", "system": system, "dataset": "synthetic"}
    if system == "aecrnet":
        run = DehazingRun(**shared, network={"width": 8, "blocks": 2}, contrast=Contrast(rate="1:2"),
                          learning_rate=1e-3)
        task = dehazing.DehazingTask(run, fabric, ())
    else:
        translation = TranslationRun(**shared, network={"width": 4, "blocks": 2}, objective={"patches": 16},
                                     learning_rate=5e-5)
        task = TranslationTask(translation, fabric, ())  # type: ignore[arg-type]
        task.network.double()
    losses = []
    for step in range(STEPS):
        batch = pictures(step, 2, 16 if system == "aecrnet" else 24)
        if system == "cut":
            batch = (batch[0].double() * 2 - 1, batch[1].double().flip(0) * 2 - 1)
        batch = fabric.to_device(batch)
        losses.append(task.step(fabric, batch, step, torch.Generator().manual_seed(step))["loss"])
    return [round(loss, 7) for loss in torch.stack(losses).tolist()]


@pytest.mark.parametrize("system", sorted(TOLERANCE))
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_loss_curve(device: str, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = CURVES / f"{device}.json"
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    if not kept.is_file():
        pytest.skip(f"no curves for {device}: run this file there to keep some")
    monkeypatch.setattr(dehazing, "load_features", random_vgg)
    found, wanted = torch.tensor(curve(system, device)), torch.tensor(json.loads(kept.read_text())[system])
    early, late = TOLERANCE[system]
    torch.testing.assert_close(found[:FIRST], wanted[:FIRST], rtol=early, atol=0)
    torch.testing.assert_close(found, wanted, rtol=late, atol=0)


if __name__ == "__main__":
    dehazing.load_features = random_vgg  # type: ignore[assignment]
    place = "cuda" if torch.cuda.is_available() else "cpu"
    content = {name: curve(name, place) for name in sorted(TOLERANCE)}
    (CURVES / f"{place}.json").write_text(json.dumps(content) + "\n")
