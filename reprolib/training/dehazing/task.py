"""Training a dehazer: a weighted sum of terms and, if asked for, a contrastive one (AECR-Net, slides' minimisation)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import ConcatDataset, Dataset

from reprolib import models
from reprolib.contrast.features import load_features
from reprolib.contrast.losses import LAYER_WEIGHTS, ContrastiveRegularisation
from reprolib.contrast.samples import Rate
from reprolib.data.copies import Copy, without
from reprolib.data.haze_batches import HazeBatches
from reprolib.data.mixture import MixedBatches
from reprolib.data.paired import Pair, PairedFolder, open_split
from reprolib.data.paired_batches import CropBatches
from reprolib.data.registry import get_dataset
from reprolib.data.scenes import FixedHaze, open_scenes
from reprolib.errors import UserError, located
from reprolib.metrics.protocols import measure
from reprolib.models.inference import restore
from reprolib.runs.run import DehazingRun
from reprolib.training.checkpoint import Stateful
from reprolib.training.dehazing.terms import Distillation, Restoration, build_terms
from reprolib.training.optimisation import build_optimiser, take_step
from reprolib.training.start import start_from

TEACHING = 1 / 3
"""Share of a distilled run's steps that goes to the teacher first: 30 of 90 epochs, as users report KDDN's schedule."""


Batches = CropBatches | HazeBatches | MixedBatches
"""Pairs from disk, clear pictures under haze drawn at every step, or several datasets of either kind."""


@runtime_checkable
class Mixing(Protocol):
    """A network whose mixing factors are worth a look (AECR-Net)."""

    def mixing_factors(self) -> dict[str, float]: ...


class DehazingTask:
    """min of the terms' weighted sum + beta * CR(phi(I), J, I) over pairs of hazy I and clear J (slides' equation).

    With distillation (KDDN) the first third of the steps trains the teacher on the clear pictures alone, and the rest
    the student. The teacher is a second network of the run, so that a resumed run finds it as it was; it is not kept.

    Args:
        init: weights of the network to start from, ours or published.
    """

    def __init__(self, run: DehazingRun, fabric: Fabric, validation: Iterable[Pair], init: Path | None = None):
        # what is trained
        self.run = run
        self.system = models.get(run.system)
        self.network: nn.Module = self.system.build(**run.network)
        if not any(p.requires_grad for p in self.network.parameters()):
            fix = f"run `reprolib evaluate {run.system}`"
            raise UserError(f"'{run.system}' has nothing to train", fix=fix)
        if init is not None:
            start_from(self.network, self.system, init)
        # on what, and in which layout
        self.device = fabric.device
        self.memory_format = torch.channels_last if run.channels_last else torch.contiguous_format
        # what is minimised
        self.terms = build_terms(run)
        for term in self.terms.values():
            self._settle(term)
        distillation = self.terms.get("distillation")
        self.distillation = distillation if isinstance(distillation, Distillation) else None
        self.contrast: ContrastiveRegularisation | None = None
        # how it is scored on the way
        self.validation = validation
        # what the loop saves
        self.networks: dict[str, nn.Module] = {"network": self.network}
        if self.distillation:
            self.networks["teacher"] = self.distillation.teacher
        self.optimisers: dict[str, Optimizer] = {}
        self.extras: dict[str, Stateful] = {}
        for name, network in self.networks.items():
            self._settle(network)
            self.optimisers[name] = build_optimiser(run.optimiser, run.learning_rate, network.parameters())
        if run.contrast:
            features = load_features(run.contrast.features)
            rate = Rate.parse(run.contrast.rate)
            self.contrast = ContrastiveRegularisation(features, rate, run.contrast.reduction, run.contrast.pool,
                                                      run.contrast.layer_weights or LAYER_WEIGHTS)
            self._settle(self.contrast)

    def _settle(self, module: nn.Module) -> None:
        """On the device of the run, in its memory layout."""
        module.to(self.device).to(memory_format=self.memory_format)

    def step(self, fabric: Fabric, batch: tuple[Tensor, Tensor], step: int,
             generator: torch.Generator) -> dict[str, Tensor]:
        hazy_B3HW, clear_B3HW = (x.contiguous(memory_format=self.memory_format) for x in batch)
        if self.distillation and step < TEACHING * self.run.steps:
            with fabric.autocast():
                teaching = self.distillation.reconstruction(clear_B3HW)
            self._descend(fabric, "teacher", teaching)
            return {"loss": teaching.detach(), "teacher": teaching.detach()}
        self.network.train()
        with fabric.autocast():
            total, logged = self._loss(hazy_B3HW, clear_B3HW, step, generator)
        self._descend(fabric, "network", total)
        return {"loss": total.detach(), **logged}

    def _loss(self, hazy_B3HW: Tensor, clear_B3HW: Tensor, step: int,
              generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, and its terms without their weights."""
        restoration = Restoration(self.network, hazy_B3HW, clear_B3HW, generator, self.system.multiple,
                          with_features=self.distillation is not None)
        found = {name: term(restoration) for name, term in self.terms.items()}
        total = torch.stack([self.run.loss[name] * value for name, value in found.items()]).sum()
        logged = {name: value.detach() for name, value in found.items()}
        settings = self.run.contrast
        if self.contrast is not None and settings and step >= settings.start * self.run.steps:
            cr, logs = self.contrast(restoration.restored_B3HW, clear_B3HW, hazy_B3HW, generator=generator)
            total = total + settings.weight * cr
            logged |= {"cr": cr.detach(), **{f"cr_{k}": v for k, v in logs.items()}}
        return total, logged

    def _descend(self, fabric: Fabric, name: str, loss: Tensor) -> None:
        """One step of one network's optimiser."""
        self.optimisers[name].zero_grad()
        fabric.backward(loss)
        take_step(self.optimisers[name], self.run.clip)

    def begin(self, batches: Batches) -> None:
        """Nothing has to be known before the first step."""

    def validate(self, pictures: int | None = None) -> float:
        """Mean PSNR in dB over the validation split."""
        scores = []
        for pair in itertools.islice(self.validation, pictures):
            with located(pair.name):
                restored = restore(self.network, pair.hazy, self.system.multiple)
            scores.append(measure(restored, pair.clear / 255.0, metrics=("psnr",))["psnr"])
        return sum(scores) / len(scores)

    def observe(self) -> dict[str, float]:
        return self.network.mixing_factors() if isinstance(self.network, Mixing) else {}

    def weights(self) -> dict[str, Tensor]:
        return self.network.state_dict()


def open_run(run: DehazingRun, fabric: Fabric, data_root: Path | None = None,
             init: Path | None = None, leaks: Sequence[Copy] = ()) -> tuple[DehazingTask, Batches]:
    """The task and the batches of a run.

    Args:
        leaks: pictures to leave out (`reprolib.data.leakage`).

    Raises:
        UserError: missing data or wrong settings.
    """
    batches, validation = _open_data(run, data_root, leaks)
    return DehazingTask(run, fabric, validation, init), batches


def _open_data(run: DehazingRun, root: Path | None, leaks: Sequence[Copy]) -> tuple[Batches, Iterable[Pair]]:
    """What is trained on, and what is validated on; of a mixture, all that its parts validate on."""
    parts = get_dataset(run.dataset).parts
    if not parts:
        return _open_one(run, run.dataset, root, leaks)
    opened = [_open_one(run, part, root, leaks) for part in parts]
    validation: ConcatDataset[Pair] = ConcatDataset([cast(Dataset[Pair], pairs) for _, pairs in opened])
    batches = MixedBatches([b for b, _ in opened], tuple(parts.values()), run.steps, run.seed)
    return batches, cast(Iterable[Pair], validation)


def _open_one(run: DehazingRun, name: str, root: Path | None,
              leaks: Sequence[Copy]) -> tuple[CropBatches | HazeBatches, PairedFolder | FixedHaze]:
    shape = (run.crop, run.batch, run.steps, run.seed, run.augment)
    if get_dataset(name).kind == "scenes":
        scenes, held_out = (without(open_scenes(name, split, root), leaks) for split in ("train", "val"))
        return HazeBatches(scenes, *shape), FixedHaze(held_out)
    pairs, validation = (without(open_split(name, split, root), leaks) for split in ("train", "val"))
    return CropBatches(pairs, *shape), validation
