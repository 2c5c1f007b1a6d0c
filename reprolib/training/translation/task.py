"""Training a translator: unpaired pictures of two domains in, a one-sided network from the first to the second out."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from reprolib import models
from reprolib.data.unpaired import Domains, open_domains
from reprolib.data.unpaired_batches import UnpairedBatches
from reprolib.errors import UserError
from reprolib.metrics.distance import PictureSet, distances
from reprolib.models.inference import to_uint8, translate
from reprolib.runs.code import METHODS
from reprolib.runs.run import Experiment, Optimiser


class TranslationTask:
    """One method (its networks, losses and optimisers) on one pair of domains."""

    def __init__(self, experiment: Experiment, fabric: Fabric, validation: Domains):
        self.system, self.validation = models.get(experiment.system), validation
        _refuse_other_optimisers(experiment, self.system)
        self.distance, self.fabric = experiment.distance, fabric
        self.network = self.system.build(**experiment.network).to(fabric.device)
        method: Any = import_module(f"{METHODS}.{self.system.method}")
        options = {**self.system.options, **experiment.method}
        self.method = method.Method(self.network, fabric, experiment.learning_rate, **options)
        self.networks = {"network": self.network}
        self.optimisers, self.extras = self.method.optimisers, self.method.extras

    def begin(self, batches: UnpairedBatches) -> None:
        prepare = getattr(self.method, "prepare", None)
        if prepare is not None:
            prepare(batches)

    def step(self, fabric: Fabric, batch: tuple[Tensor, Tensor], step: int,
             generator: torch.Generator) -> dict[str, Tensor]:
        self.network.train()
        terms: dict[str, Tensor] = self.method.step(*batch, generator)
        return terms

    def validate(self) -> float:
        """Minus the Frechet distance between translated and real pictures of the validation split."""
        fakes = [to_uint8(translate(self.network, picture, self.system.multiple)) for picture in self.validation.a]
        real = PictureSet(list(self.validation.b), "real", kept=True)
        return -distances(real, PictureSet(fakes, "translated"), self.distance).frechet.value

    def observe(self) -> dict[str, float]:
        return {}

    def weights(self) -> dict[str, Tensor]:
        """What translation and figures need; discriminators stay in the resumable state."""
        return self.system.part(self.network, *self.system.inference, *self.system.kept).state_dict()


def _refuse_other_optimisers(experiment: Experiment, system: models.System) -> None:
    """A method brings its own, several that belong together; a setting must not be ignored without a word."""
    if experiment.optimiser not in (Optimiser(), Optimiser(**system.recipe["optimiser"])):
        raise UserError(f"the optimisers of '{system.name}' are its method's own and cannot be set",
                        where=f"optimiser of experiment '{experiment.name}'", fix="take it out; learning_rate counts")


def open_run(experiment: Experiment, fabric: Fabric,
             data_root: Path | None = None) -> tuple[TranslationTask, UnpairedBatches]:
    """The task and the batches of a run.

    Raises:
        UserError: missing data or wrong settings.
    """
    domains = open_domains(experiment.dataset, "train", root=data_root)
    load = experiment.load or experiment.crop
    calm = round(experiment.schedule.start * experiment.steps) if experiment.calm_decay else None
    batches = UnpairedBatches(domains, load, experiment.crop, experiment.batch, experiment.steps, experiment.seed,
                              augment=experiment.augment, calm_from=calm)
    return TranslationTask(experiment, fabric, open_domains(experiment.dataset, "val", root=data_root)), batches
