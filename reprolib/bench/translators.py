"""What a step of each translator costs, all measured in one go, so that their ratios hold whatever the machine.

Run by hand and kept in Git: durations have no place in a pipeline that is to give the same files again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric

from reprolib import papers
from reprolib.bench.cost import step_cost
from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.progress import track
from reprolib.runs.environment import environment
from reprolib.runs.places import translator_costs
from reprolib.runs.profile import read_profile
from reprolib.runs.run import TranslationRun
from reprolib.training.translation.task import open_run


@dataclass(frozen=True)
class StepCost:
    """Of one translator."""

    system: str
    sec_per_iter: float
    """Seconds of a step divided by its batch, which is 2 for methods that need pairs of pictures, as their authors
    print it."""
    iqr: float
    """Seconds between the quartiles of `sec_per_iter`."""
    memory: float
    """GiB."""
    memory_kind: str
    batch: int
    repeats: int


def write_costs(profile: str, crop: int = 128, warmup: int = 1, repeats: int = 4, root: Path = Path(),
                accelerator: str = "auto") -> Path:
    """Time a step of every translator of a profile that stands in a table with costs.

    The step is what the authors count as one (DRIT takes three optimisation steps in it), data loading excluded.

    Args:
        crop: side of the pictures.
        warmup: steps before the first timed one.
        repeats: timed steps.

    Returns:
        The file that was written: conditions and a `StepCost` a system, with ratios to the first printed system.

    Raises:
        UserError: the profile has no such runs, or their data are not here.
    """
    runs: dict[str, TranslationRun] = {}
    order = {row.id: row.system for _, table in papers.tables() if table.costs for row in table.rows.values()}
    for run in read_profile(profile, root).runs.values():
        if isinstance(run, TranslationRun) and any(row in order for row in run.rows):
            runs.setdefault(run.system, run)
    if not runs:
        raise UserError(f"profile '{profile}' has no runs for a table with costs", fix="choose another profile")
    costs = [_measure(run, crop, warmup, repeats, accelerator)
             for run in track(list(runs.values()), "timing a step of each translator")]
    reference = next(cost for system in order.values() for cost in costs if cost.system == system)
    rows = [{**asdict(cost), "sec_per_iter_ratio": round(cost.sec_per_iter / reference.sec_per_iter, 3),
             "memory_ratio": round(cost.memory / reference.memory, 3)} for cost in costs]
    network = ", ".join(sorted({f"{k} {v}" for run in runs.values() for k, v in run.network.items()})) or "full size"
    place = environment(str(Fabric(accelerator=accelerator, devices=1).device))
    device = place["device"] if place["device"] != "cpu" else f"{place['cpu']}, {place['threads']} threads"
    content = {"conditions": f"{device}; networks: {network}; pictures of {crop}x{crop}; memory is "
                             f"{costs[0].memory_kind}", "environment": place, "systems": rows}
    path = translator_costs(profile, root)
    write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")
    return path


def _measure(run: TranslationRun, crop: int, warmup: int, repeats: int, accelerator: str) -> StepCost:
    torch.manual_seed(run.seed)
    fabric = Fabric(accelerator=accelerator, devices=1, precision=run.precision)
    task, batches = open_run(run.changed(crop=crop, load=None), fabric)
    task.begin(batches)
    batch = fabric.to_device(batches[0])
    generator = torch.Generator().manual_seed(0)

    def iteration() -> None:
        for _ in range(getattr(task.method, "steps_each", 1)):
            task.step(fabric, batch, 0, generator)

    cost = step_cost(iteration, fabric.device, warmup, repeats)
    return StepCost(run.system, round(cost["seconds"] / run.batch, 4), round(cost["iqr"] / run.batch, 4),
                    round(cost["peak_memory"] / 2**30, 4), cost["memory_kind"], run.batch, cost["repeats"])
