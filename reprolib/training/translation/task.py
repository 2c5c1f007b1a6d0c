"""Training a translator: unpaired pictures of two domains in, networks from the first to the second, and back, out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from reprolib import models
from reprolib.data.channels import GREY, RGB
from reprolib.data.copies import Copy, without
from reprolib.data.held_out import VAL_EVERY
from reprolib.data.unpaired import Domains, open_domains
from reprolib.data.unpaired_batches import UnpairedBatches
from reprolib.metrics.distance import PictureSet, distances
from reprolib.models.inference import channels_of, to_uint8, translate
from reprolib.progress import say
from reprolib.runs.profile import build_objective
from reprolib.runs.run import TranslationRun
from reprolib.training.checkpoint import Stateful
from reprolib.training.start import start_from
from reprolib.training.translation.method import Method, build_method

FEWEST = 2
"""Pictures of each domain that a distance between sets needs."""


class TranslationTask:
    """One method (its networks, losses and optimisers) on one pair of domains.

    Args:
        init: weights of the translating networks to start from, ours or published.
    """

    def __init__(self, run: TranslationRun, fabric: Fabric, validation: Domains, init: Path | None = None):
        # what is trained
        self.system = models.get(run.system)
        self.network: nn.Module = self.system.build(**run.network).to(fabric.device)
        if init is not None:
            start_from(self.network, self.system, init)
        objective = build_objective(run)
        self.method: Method = build_method(self.network, fabric, run.learning_rate, objective)
        self.saved = self.system.saved if objective.both_ways else (*self.system.inference, *self.system.kept)
        # how it is scored on the way
        self.validation = validation
        self.distance, self.rounding = run.distance, run.rounding
        # what the loop saves
        self.networks: Mapping[str, nn.Module] = {"network": self.network}
        self.optimisers: Mapping[str, Optimizer] = self.method.optimisers
        self.extras: Mapping[str, Stateful] = self.method.extras

    def begin(self, batches: UnpairedBatches) -> None:
        self.method.prepare(batches)

    def step(self, fabric: Fabric, batch: tuple[Tensor, Tensor], step: int,
             generator: torch.Generator) -> dict[str, Tensor]:
        self.network.train()
        return self.method.step(*batch, generator)

    @property
    def can_validate(self) -> bool:
        """Whether there are enough pictures for a distance between sets, and of a kind that it can see."""
        counts = len(self.validation.a), len(self.validation.b)
        return min(counts) >= FEWEST and channels_of(self.network) in (GREY, RGB)

    def validate(self, pictures: int | None = None) -> float:
        """Minus the Frechet distance between translated and real pictures of the validation split; NaN if these are
        too few."""
        if not self.can_validate:
            return math.nan
        sources, targets = (itertools.islice(side, pictures) for side in (self.validation.a, self.validation.b))
        fakes = [to_uint8(translate(self.network, picture, self.system.multiple), self.rounding)
                 for picture in sources]
        real = PictureSet(list(targets), "real", kept=pictures is None)
        return -distances(real, PictureSet(fakes, "translated"), self.distance).frechet.value

    def observe(self) -> dict[str, float]:
        return {}

    def weights(self) -> dict[str, Tensor]:
        """What translation, both ways where both are trained, and figures need."""
        return self.system.part(self.network, *self.saved).state_dict()


def open_run(run: TranslationRun, fabric: Fabric, data_root: Path | None = None,
             init: Path | None = None, leaks: Sequence[Copy] = ()) -> tuple[TranslationTask, UnpairedBatches]:
    """The task and the batches of a run.

    Args:
        leaks: pictures to leave out (`reprolib.data.leakage`).

    Raises:
        UserError: missing data, or wrong settings.
    """
    domains, validation = (without(open_domains(run.dataset, split, root=data_root), leaks).in_channels(run.channels)
                           for split in ("train", "val"))
    calm = round(run.schedule.start * run.steps) if run.augment_until_decay else None
    batches = UnpairedBatches(domains, run.load or run.crop, run.crop, run.batch, run.steps, run.seed,
                              augment=run.augment, calm_from=calm, resample=run.resample)
    task = TranslationTask(run, fabric, validation, init)
    if run.channels not in (GREY, RGB):
        say(f"pictures of {run.channels} channels cannot be compared: the best weights of '{run.id}' will be the last")
    elif not task.can_validate:
        counts = " and ".join(f"{len(side)} of {name}" for name, side in (("A", validation.a), ("B", validation.b)))
        say(f"too few pictures to validate on ({counts}): the best weights of '{run.id}' will be the last. "
            f"{FEWEST * VAL_EVERY} pictures of each domain, or folders valA and valB with {FEWEST}, would do")
    return task, batches
