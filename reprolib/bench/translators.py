"""What a step of each translator costs, all in one run, so that their ratios hold whatever the machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from reprolib import models
from reprolib.runs.experiment import Experiment, experiments, read_profile
from reprolib.files import write_text
from reprolib.bench.cost import step_cost
from reprolib.results.ledger import costs_file
from reprolib.progress import track
from reprolib.runs.provenance import environment
from reprolib.training.translation.task import open_run

REFERENCE = "cyclegan"
"""The system that ratios are taken to, as machines differ from the paper's GTX 1080 Ti."""


def write_costs(profile: str, root: Path = Path(), accelerator: str = "auto") -> None:
    """results/<profile>/cost/translation.json: seconds and GB of a step of every translator of the profile.

    The step is a whole optimisation step (of DRIT three) at the profile's `cost.crop`, data loading excluded. Its time
    is divided by the batch, which is 2 for the methods that need pairs of pictures (as their authors print it).
    """
    settings = read_profile(profile, root)["cost"]
    runs: dict[str, Experiment] = {}
    for e in experiments(profile, root).values():
        if models.get(e.system).task == "translation" and f"cut/{e.system}" in e.rows:
            runs.setdefault(e.system, e)
    rows = [_measure(e, settings, accelerator) for e in track(list(runs.values()), "timing a step of each translator")]
    reference = next(row for row in rows if row["system"] == REFERENCE)
    for row in rows:
        row |= {f"{key}_ratio": round(row[key] / reference[key], 3) for key in ("sec_per_iter", "memory")}
    network = ", ".join(sorted({f"{k} {v}" for e in runs.values() for k, v in e.network.items()})) or "full size"
    place = environment(str(Fabric(accelerator=accelerator, devices=1).device))
    device = place["device"] if place["device"] != "cpu" else f"{place['cpu']}, {place['threads']} threads"
    content = {"conditions": f"{device}; networks: {network}; pictures of {settings['crop']}x{settings['crop']}; "
                             f"memory is {rows[0]['memory_kind']}",
               "environment": place, "systems": rows}
    write_text(costs_file(profile, root), json.dumps(content, indent=1, sort_keys=True) + "\n")


def _measure(e: Experiment, settings: dict[str, Any], accelerator: str) -> dict[str, Any]:
    e = replace(e, crop=settings["crop"], load=None)
    torch.manual_seed(e.seed)
    fabric = Fabric(accelerator=accelerator, devices=1, precision=e.precision)  # type: ignore[arg-type]
    task, batches = open_run(e, fabric)
    task.begin(batches)
    batch = fabric.to_device(batches[0])
    generator = torch.Generator().manual_seed(0)

    def iteration() -> None:
        """What the authors count as one."""
        for _ in range(getattr(task.method, "steps_each", 1)):
            task.step(fabric, batch, 0, generator)

    cost = step_cost(iteration, fabric.device, settings["warmup"], settings["repeats"])
    return {"system": e.system, "sec_per_iter": round(cost["seconds"] / e.batch, 4),
            "iqr": round(cost["iqr"] / e.batch, 4), "memory": round(cost["peak_memory"] / 2**30, 4),
            "memory_kind": cost["memory_kind"], "batch": e.batch, "repeats": cost["repeats"]}
