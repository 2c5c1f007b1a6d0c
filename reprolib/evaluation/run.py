"""Measuring one experiment, whatever its task."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from reprolib import models
from reprolib.runs.code import EVALUATION, current_hash
from reprolib.data.notes import note_of
from reprolib.evaluation.networks import device
from reprolib.runs.experiment import Experiment
from reprolib.runs.provenance import environment
from reprolib.evaluation.record import Record


def evaluate_experiment(experiment: Experiment, root: Path = Path(), kept: Path | None = None) -> list[Record]:
    """Measure an experiment on the test split of its dataset; writes records, per-image numbers and pictures.

    Args:
        kept: a folder for the records alone, if they are not the pipeline's own.
    """
    module: Any = import_module(EVALUATION[models.get(experiment.system).task])
    records: list[Record] = module.measure_experiment(experiment, root, kept)
    return records


def common_fields(experiment: Experiment, params_built: int) -> Mapping[str, Any]:
    """What every record of an experiment holds, whatever was measured."""
    system = models.get(experiment.system)
    trained = system.trained
    origins = dict.fromkeys([experiment.measured_on, *([experiment.dataset] if trained else [])])
    return {
        "profile": experiment.profile, "experiment": experiment.name, "system": experiment.system,
        "rows": experiment.rows, "dataset": experiment.measured_on, "seed": experiment.seed,
        "reduced": bool(reduced(experiment)), "network": dict(experiment.network),
        "method": dict(experiment.method),
        "params": models.full_size_count(experiment.system), "params_built": params_built,
        "precision": experiment.precision, "recipe": experiment.recipe,
        "steps": experiment.steps if trained else 0, "batch": experiment.batch if trained else 0,
        "crop": experiment.crop if trained else 0,
        "features": experiment.contrast.features if experiment.contrast and trained else None,
        "note": "; ".join(filter(None, (experiment.note, *map(note_of, origins)))),
        "code_hash": current_hash(experiment), "environment": environment(str(device())),
    }


REDUCING = ("width", "blocks", "growth", "content_depth")
"""Options that make a network smaller than published; others are the ablations of the tables."""


def reduced(experiment: Experiment) -> dict[str, Any]:
    """The options of an experiment that make its network smaller than published."""
    return {k: v for k, v in experiment.network.items() if k in REDUCING}
