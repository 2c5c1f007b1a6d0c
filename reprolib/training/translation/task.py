"""Training a translator: unpaired pictures of two domains in, a one-sided network from the first to the second out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from reprolib import models
from reprolib.data.unpaired import Domains, open_domains
from reprolib.data.unpaired_batches import UnpairedBatches
from reprolib.metrics.distance import PictureSet, distances
from reprolib.models.inference import to_uint8, translate
from reprolib.runs.profile import build_objective
from reprolib.runs.run import TranslationRun
from reprolib.training.checkpoint import Stateful
from reprolib.training.translation.method import build_method


class TranslationTask:
    """One method (its networks, losses and optimisers) on one pair of domains."""

    def __init__(self, run: TranslationRun, fabric: Fabric, validation: Domains):
        self.system, self.validation = models.get(run.system), validation
        self.distance, self.rounding, self.fabric = run.distance, run.rounding, fabric
        self.network = self.system.build(**run.network).to(fabric.device)
        self.method = build_method(self.network, fabric, run.learning_rate, build_objective(run))
        self.networks: Mapping[str, nn.Module] = {"network": self.network}
        self.optimisers: Mapping[str, Optimizer] = self.method.optimisers
        self.extras: Mapping[str, Stateful] = self.method.extras

    def begin(self, batches: UnpairedBatches) -> None:
        if hasattr(self.method, "prepare"):
            self.method.prepare(batches)

    def step(self, fabric: Fabric, batch: tuple[Tensor, Tensor], step: int,
             generator: torch.Generator) -> dict[str, Tensor]:
        self.network.train()
        terms: dict[str, Tensor] = self.method.step(*batch, generator)
        return terms

    def validate(self) -> float:
        """Minus the Frechet distance between translated and real pictures of the validation split."""
        fakes = [to_uint8(translate(self.network, picture, self.system.multiple), self.rounding)
                 for picture in self.validation.a]
        real = PictureSet(list(self.validation.b), "real", kept=True)
        return -distances(real, PictureSet(fakes, "translated"), self.distance).frechet.value

    def observe(self) -> dict[str, float]:
        return {}

    def weights(self) -> dict[str, Tensor]:
        """What translation and figures need; discriminators stay in the resumable state."""
        return self.system.part(self.network, *self.system.inference, *self.system.kept).state_dict()


def open_run(run: TranslationRun, fabric: Fabric,
             data_root: Path | None = None) -> tuple[TranslationTask, UnpairedBatches]:
    """The task and the batches of a run.

    Raises:
        UserError: missing data or wrong settings.
    """
    domains = open_domains(run.dataset, "train", root=data_root)
    calm = round(run.schedule.start * run.steps) if run.augment_until_decay else None
    batches = UnpairedBatches(domains, run.load or run.crop, run.crop, run.batch, run.steps, run.seed,
                              augment=run.augment, calm_from=calm, resample=run.resample)
    return TranslationTask(run, fabric, open_domains(run.dataset, "val", root=data_root)), batches
