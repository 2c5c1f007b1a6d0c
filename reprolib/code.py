"""Which modules an experiment runs. Tasks are found by name, so that one task's code is no part of the other's."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from importlib import import_module

from reprolib import models
from reprolib.experiment import Experiment
from reprolib.provenance import code_hash

TRAINING = {"dehazing": "reprolib.training.dehazing", "translation": "reprolib.training.translation.task"}
"""Module of each task; its `open_run(experiment, fabric, data_root)` gives the task and the batches of a run."""

EVALUATION = {"dehazing": "reprolib.evaluation.dehazing", "translation": "reprolib.evaluation.translation"}
"""Module of each task; its `measure_experiment(experiment, root, kept)` gives the records of a run."""

METHODS = "reprolib.training.translation"


def training_entries(experiment: Experiment) -> list[str]:
    """Dotted modules at which the code of a training run starts."""
    system = models.get(experiment.system)
    method = [f"{METHODS}.{system.method}"] if system.method else []
    return ["reprolib.training.run", TRAINING[system.task], models.module_of(experiment.system), *method]


def evaluation_entries(experiment: Experiment) -> list[str]:
    """Dotted modules at which the code of a measurement starts."""
    task = models.get(experiment.system).task
    return ["reprolib.evaluation.run", EVALUATION[task], models.module_of(experiment.system)]


def preload(entries: Iterable[str]) -> None:
    """Import modules now, before this process is copied and each copy would have to.

    Nothing that they make is garbage, but the collector would go through all of it again and again: it rests
    meanwhile (torch and its companions load in 3 instead of 4 seconds), and never looks at these objects again.
    """
    gc.disable()
    try:
        for name in dict.fromkeys(entries):
            import_module(name)
    finally:
        gc.enable()
    gc.freeze()


def training_hash(experiment: Experiment) -> str:
    """Hash of the code that trains an experiment."""
    return code_hash(*training_entries(experiment))


def current_hash(experiment: Experiment) -> str:
    """Hash of the code that trains and measures an experiment; untrained systems are only measured."""
    trained = experiment.steps > 0 and models.get(experiment.system).trained
    return code_hash(*evaluation_entries(experiment), *(training_entries(experiment) if trained else []))
