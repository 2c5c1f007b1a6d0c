"""What a step of each translator costs at the papers' size, all measured in one go for the sake of their ratios.

Run by hand and kept in Git: durations have no place in a pipeline that is to give the same files again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from lightning_fabric import Fabric
from PIL import Image

from reprolib import models, papers
from reprolib.bench.case import open_task
from reprolib.bench.cost import Spread, timed
from reprolib.bench.tensors import TensorPeak
from reprolib.data.unpaired import Domains, ImageFolder
from reprolib.data.unpaired_batches import UnpairedBatches
from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.progress import track
from reprolib.results.costs import TIMED, Cost, read_costs
from reprolib.runs.environment import environment
from reprolib.runs.places import translator_costs
from reprolib.runs.profile import read_profile
from reprolib.runs.run import TranslationRun

PAIRS = 2
"""Batch of the methods that need two pictures in a batch; all others are timed with one picture, as the papers' table
is: what it prints for GcGAN is less than CUT's memory, and cannot be that of GcGAN's own batch of 8."""
WARMUP = 5
"""Steps before the first timed one, in which the peak is looked for: from the second on optimisers have their memory,
and FastCUT compares a flipped pair, which takes more, in some of them only."""
PICTURES = 8
"""Random ones of a domain; DistanceGAN looks at its batches before the first step."""


@dataclass(frozen=True)
class StepCost:
    """Of one translator."""

    system: str
    sec_per_iter: float
    """Seconds of a step divided by its batch, as their authors print it."""
    iqr: float
    """Seconds between the quartiles of `sec_per_iter`."""
    memory: float
    """GiB that tensors hold at their peak: networks, optimisers, and what the backward pass waits for."""
    batch: int
    """Pictures of a domain in a timed step."""
    memory_batch: int
    """The same, where memory was counted."""
    repeats: int


def write_costs(profile: str = "paper", crop: int = 256, repeats: int = 4, root: Path = Path(),
                accelerator: str = "auto", only_memory: bool = False) -> Path:
    """Time a step of every translator that stands in a table with costs, by the settings of a profile.

    Pictures are random: what a step costs does not depend on what is in them, and no data are needed. The step is what
    the authors count as one (DRIT takes three optimisation steps in it).

    Args:
        crop: side of the pictures.
        repeats: timed steps.
        only_memory: count it again, and keep the seconds that the file has: they want an idle machine, memory does not.

    Returns:
        The file that was written: conditions and a `StepCost` a system, with ratios to the first printed system.

    Raises:
        UserError: the profile has no such runs, or there are no seconds to keep.
    """
    runs, path = _runs(profile, root), translator_costs(profile, root)
    sizes = {f"{k} {v}" for run in runs for k, v in run.network.items() if not isinstance(v, bool)}
    network = ", ".join(sorted(sizes)) or "full size"
    place = environment(str(Fabric(accelerator=accelerator, devices=1).device))
    device = place["device"] if place["device"] != "cpu" else f"{place['cpu']}, {place['threads']} threads"
    conditions = f"{device}; networks: {network}; pictures of {crop}x{crop}; memory is that of tensors at their peak"
    before = read_costs(root) if only_memory else {}
    kept = {(system, cost.conditions) for system, cost in before.items()}
    if only_memory and kept != {(run.system, conditions) for run in runs}:
        raise UserError("no seconds of every translator under the same conditions to keep", where=path,
                        fix="leave out --only-memory")
    costs = [_measure(run, crop, repeats, accelerator, before.get(run.system))
             for run in track(runs, "a step of each translator")]
    reference = costs[0]
    rows = [{**asdict(cost), "sec_per_iter_ratio": round(cost.sec_per_iter / reference.sec_per_iter, 3),
             "memory_ratio": round(cost.memory / reference.memory, 3)} for cost in costs]
    content = {"conditions": conditions, "environment": place, "systems": rows}
    write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")
    return path


def _runs(profile: str, root: Path) -> list[TranslationRun]:
    """One run a system, in the table's order: on the column that costs are printed in, if the profile has it there."""
    costly = [(paper, table) for paper, table in papers.tables() if table.costs]
    columns = {(c.paper, c.column) for paper, table in costly for c in paper.cells if c.metric in table.costs}
    order = {row.id: row.system for _, table in costly for row in table.rows.values()}
    runs: dict[str, list[TranslationRun]] = {system: [] for system in order.values()}
    for run in read_profile(profile, root).runs.values():
        if isinstance(run, TranslationRun) and any(row in order for row in run.rows):
            runs[run.system].append(run)
    if not any(runs.values()):
        raise UserError(f"profile '{profile}' has no runs for a table with costs", fix="choose another profile")
    return [next((run for run in chosen if columns & set(papers.columns_of(run.measured_on))), chosen[0])
            for chosen in runs.values() if chosen]


def _measure(run: TranslationRun, crop: int, repeats: int, accelerator: str, before: Cost | None) -> StepCost:
    """A step's cost; its seconds are those of `before`, where there are any."""
    halves = getattr(models.get(run.system).objective, "pairs", "") == "halves"
    batch = PAIRS if run.batch == PAIRS and not halves else 1
    torch.manual_seed(run.seed)
    fabric = Fabric(accelerator=accelerator, devices=1, precision=run.precision)
    generator = torch.Generator().manual_seed(0)
    with TemporaryDirectory() as folder, TensorPeak() as memory:
        task = open_task(run.changed(crop=crop, load=None, batch=batch), fabric)
        batches = UnpairedBatches(_random_domains(Path(folder), crop), crop, crop, batch, PICTURES, run.seed)
        task.begin(batches)
        pictures = fabric.to_device(batches[0])

        def iteration() -> None:
            for _ in range(getattr(task.method, "steps_each", 1)):
                task.step(fabric, pictures, 0, generator)

        for _ in range(WARMUP):
            iteration()
    peak = round(memory.peak / 2**30, 4)
    if before:
        return StepCost(run.system, before.values[TIMED], before.quartiles[TIMED], peak, before.batch, batch,
                        before.repeats)
    seconds = Spread.of([timed(iteration, fabric.device) / batch for _ in range(repeats)])
    return StepCost(run.system, round(seconds.median, 4), round(seconds.high - seconds.low, 4), peak, batch, batch,
                    repeats)


def _random_domains(folder: Path, side: int) -> Domains:
    random = np.random.default_rng(0)
    files = [folder / f"{number}.png" for number in range(2 * PICTURES)]
    for path in files:
        Image.fromarray(random.integers(256, size=(side, side, 3), dtype=np.uint8)).save(path)
    return Domains(ImageFolder(files[:PICTURES]), ImageFolder(files[PICTURES:]))
