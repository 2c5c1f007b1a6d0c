"""What has to be looked at on a real GPU, a check at a time: `python tests/devices/lab.py CHECK [--accelerator cpu]`.

`lab.sh` calls these in order. Each writes one JSON file into the folder that `--to` names and ends with code 1 if what
it found is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from devices.stand_ins import STEPS, Device, batch_of, chosen_steps, kinds, open_task, untrained_extractors
from torch import Tensor

from reprolib.runtime import tune_gpu
from reprolib.training.translation.gan import ImagePool

Found = dict[str, Any]


class OnDevice(Device):
    """With backward passes."""

    def backward(self, loss: Tensor) -> None:
        loss.backward()


def equality(accelerator: str) -> Found:
    """A step of every system in float32 on the device beside the CPU: terms to 1e-4, gradients to 1e-3 of their norm;
    and nothing in it waits for the device."""
    found: Found = {}
    for name, run in kinds().items():
        here, there = (_step(run, device) for device in ("cpu", accelerator))
        terms = max(abs(there[0][k] - v) / max(abs(v), 1e-3) for k, v in here[0].items())
        gradients = float((there[1] - here[1]).norm() / here[1].norm())
        found[name] = {"terms": terms, "gradients": gradients, "good": terms < 1e-4 and gradients < 1e-3}
    return found


def _step(run: Any, accelerator: str) -> tuple[dict[str, float], Tensor]:
    torch.manual_seed(0)  # networks are drawn on the CPU, wherever they go
    device = OnDevice(accelerator)
    task = open_task(run, device)
    first, second = batch_of(SimpleNamespace(batch=run.batch, crop=run.crop), torch.device("cpu"))
    batch = first.to(device.device), second.to(device.device)
    if accelerator == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        for step in chosen_steps(run):
            terms = task.step(device, batch, step, torch.Generator().manual_seed(step))
    finally:
        if accelerator == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    gradients = [p.grad.flatten().cpu() for network in task.networks.values() for p in network.parameters()
                 if p.grad is not None]
    return {k: v.item() for k, v in terms.items()}, torch.cat(gradients)


def bf16(accelerator: str) -> Found:
    """Loss curves of thirty steps in bf16 beside float32: the last ten within 5 %."""
    found: Found = {}
    for name in ("aecrnet-sots", "griddehazenet-sots", "cut-labels"):
        run = kinds().get(name)
        if run is None:
            continue
        curves = []
        for half in (False, True):
            torch.manual_seed(0)
            device = OnDevice(accelerator, bf16=half)
            task = open_task(run, device)
            losses = []
            for step in range(STEPS):
                torch.manual_seed(step % 5)
                terms = task.step(device, batch_of(run, device.device), step, torch.Generator().manual_seed(step))
                losses.append(terms["loss"])
            curves.append(torch.stack(losses).float().cpu())
        gap = float((curves[1][-10:].mean() / curves[0][-10:].mean() - 1).abs())
        found[name] = {"float32": curves[0].tolist(), "bf16": curves[1].tolist(), "gap": gap, "good": gap < 0.05}
    return found


def resume(accelerator: str) -> Found:
    """A run that goes on from its state beside one that was not stopped; bit-identical only on a CPU."""
    found: Found = {}
    for name in ("aecrnet-sots", "cyclegan-cityscapes"):
        run = kinds()[name]
        whole, stopped = (_few_steps(run, accelerator, stop) for stop in (None, 2))
        gap = max(abs(a - b) / max(abs(a), 1e-3) for a, b in zip(whole, stopped, strict=True))
        found[name] = {"gap": gap, "bit_identical": gap == 0, "good": gap < (1e-9 if accelerator == "cpu" else 1e-3)}
    return found


def _few_steps(run: Any, accelerator: str, stop: int | None) -> list[float]:
    torch.manual_seed(0)
    device = OnDevice(accelerator)
    task = open_task(run, device)
    losses = []
    for step in range(4):
        if step == stop:
            saved = [{k: v.cpu().clone() for k, v in n.state_dict().items()} for n in task.networks.values()]
            moments = [optimiser.state_dict() for optimiser in task.optimisers.values()]
            extras = {name: extra.state_dict() for name, extra in task.extras.items()}
            torch.manual_seed(0)  # the same extractor
            task = open_task(run, device)
            for network, state in zip(task.networks.values(), saved, strict=True):
                network.load_state_dict(state)
            for optimiser, state in zip(task.optimisers.values(), moments, strict=True):
                optimiser.load_state_dict(state)
            for name, extra in task.extras.items():
                assert isinstance(extra, ImagePool)
                extra.load_state_dict(extras[name])
        generator = torch.Generator().manual_seed(step)
        batch = tuple(torch.rand(2, 3, run.crop, run.crop, generator=generator).to(device.device) for _ in range(2))
        losses.append(task.step(device, batch, step + STEPS - 4, generator)["loss"].item())
    return losses


def memory(accelerator: str) -> Found:
    """Peak memory and time of a full-size step: AECR-Net with CR at the paper's 16 crops of 240, CUT at 256."""
    found: Found = {}
    small = accelerator == "cpu"
    for name, crop, batch in (("aecrnet-sots", 240, 16), ("cut-cityscapes", 256, 1)):
        for half in (False, True):
            run = kinds(reduced=small)[name]
            run = run.changed(crop=32 if small else crop, batch=2 if small else batch)
            device = OnDevice(accelerator, bf16=half)
            torch.manual_seed(0)
            task = open_task(run, device)
            pictures = batch_of(run, device.device)
            seconds = []
            for step in range(3 if small else 12):
                begun = time.perf_counter()
                task.step(device, pictures, STEPS - 1, torch.Generator().manual_seed(step))["loss"].item()
                seconds.append(time.perf_counter() - begun)
            peak = torch.cuda.max_memory_allocated() if accelerator == "cuda" else 0
            if accelerator == "cuda":
                torch.cuda.reset_peak_memory_stats()
            found[f"{name}-{'bf16' if half else 'float32'}"] = {
                "step_seconds": sorted(seconds[2:])[len(seconds[2:]) // 2], "peak_mb": peak >> 20, "good": True}
    return found


CHECKS: dict[str, Callable[[str], Found]] = {f.__name__: f for f in (equality, bf16, resume, memory)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--accelerator", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--to", type=Path, default=Path("runs/lab"))
    given = parser.parse_args()
    if given.accelerator == "cuda":
        tune_gpu()
        torch.backends.cudnn.benchmark = False  # a few steps of each shape
    with untrained_extractors():
        found = CHECKS[given.check](given.accelerator)
    given.to.mkdir(parents=True, exist_ok=True)
    place = torch.cuda.get_device_name() if given.accelerator == "cuda" else "cpu"
    content = {"device": place, "torch": torch.__version__, "found": found}
    (given.to / f"{given.check}.json").write_text(json.dumps(content, indent=1) + "\n")
    wrong = [name for name, what in found.items() if not what["good"]]
    print(f"{given.check}: {len(found) - len(wrong)} good{f', wrong: {wrong}' if wrong else ''}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
