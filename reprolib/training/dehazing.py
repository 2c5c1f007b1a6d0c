"""Training a dehazer: a pixel loss and, if asked for, a contrastive term (AECR-Net, slides' minimisation)."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib import models
from reprolib.contrast.features import load_features
from reprolib.contrast.losses import ContrastiveRegularisation
from reprolib.contrast.samples import Rate
from reprolib.data.paired import CropBatches, PairedFolder, open_split
from reprolib.errors import UserError, unknown
from reprolib.experiment import Experiment
from reprolib.files import write_text
from reprolib.inference import restore
from reprolib.metrics.quality import measure
from reprolib.provenance import code_hash, environment
from reprolib.training.loop import Progressed, fit

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": F.l1_loss,
    "mse": F.mse_loss,
    "smooth_l1": F.smooth_l1_loss,
}


class DehazingTask:
    """min |J - phi(I)| + beta * CR(phi(I), J, I) over pairs of hazy I and clear J (slides' equation)."""

    def __init__(self, experiment: Experiment, fabric: Fabric, validation: PairedFolder):
        if experiment.loss not in LOSSES:
            raise unknown("loss", experiment.loss, LOSSES)
        self.experiment, self.validation = experiment, validation
        self.system = models.get(experiment.system)
        self.network = self.system.build(**experiment.network)
        if not any(p.requires_grad for p in self.network.parameters()):
            raise UserError(f"'{experiment.system}' has nothing to train", fix=f"run `reprolib evaluate {experiment.system}`")
        memory_format = torch.channels_last if experiment.channels_last else torch.contiguous_format
        self.network.to(memory_format=memory_format)
        self.memory_format = memory_format
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=experiment.learning_rate)
        self.wrapped, self.wrapped_optimiser = fabric.setup(self.network, self.optimiser)
        self.networks = {"network": self.network}
        self.optimisers = {"network": self.optimiser}
        self.contrast: nn.Module | None = None
        if experiment.contrast:
            features = load_features(experiment.contrast.features)
            rate = Rate.parse(experiment.contrast.rate)
            self.contrast = ContrastiveRegularisation(features, rate, experiment.contrast.reduction).to(fabric.device)
            self.contrast.to(memory_format=memory_format)

    def step(self, fabric: Fabric, batch: tuple[Tensor, Tensor], step: int,
             generator: torch.Generator) -> dict[str, Tensor]:
        hazy_BCHW, clear_BCHW = (x.contiguous(memory_format=self.memory_format) for x in batch)
        self.network.train()
        self.wrapped_optimiser.zero_grad()
        with fabric.autocast():
            restored_BCHW = self.wrapped(hazy_BCHW)
            pixel = LOSSES[self.experiment.loss](restored_BCHW.float(), clear_BCHW)
            terms = {self.experiment.loss: pixel.detach()}
            total = pixel
            settings = self.experiment.contrast
            if self.contrast is not None and settings and step >= settings.start * self.experiment.steps:
                cr, logs = self.contrast(restored_BCHW, clear_BCHW, hazy_BCHW, generator=generator)
                total = pixel + settings.weight * cr
                terms |= {"cr": cr.detach(), **{f"cr_{k}": v for k, v in logs.items()}}
        fabric.backward(total)
        if self.experiment.clip:
            fabric.clip_gradients(self.wrapped, self.wrapped_optimiser, max_norm=self.experiment.clip)
        self.wrapped_optimiser.step()
        return {"loss": total.detach(), **terms}

    def validate(self) -> float:
        """Mean PSNR in dB over the validation split."""
        scores = [
            measure(restore(self.network, pair.hazy, self.system.multiple), pair.clear / 255.0)["psnr"]
            for pair in self.validation
        ]
        return sum(scores) / len(scores)

    def observe(self) -> dict[str, float]:
        factors = getattr(self.network, "mixing_factors", None)
        return factors() if factors else {}

    def weights(self) -> dict[str, Tensor]:
        return self.network.state_dict()


def entries(experiment: Experiment) -> list[str]:
    """Dotted modules at which the code of this run starts, for provenance and for the pipeline."""
    return [__name__, models.module_of(experiment.system)]


def folder(experiment: Experiment, root: Path = Path()) -> Path:
    """Where the weights and the log of a run are kept."""
    return root / "checkpoints" / experiment.profile / experiment.id


def state_file(experiment: Experiment, root: Path = Path()) -> Path:
    """Where an unfinished run keeps its state; outside the pipeline's outputs, so that DVC never deletes it."""
    return root / "runs" / experiment.profile / f"{experiment.id}.pt"


def train(experiment: Experiment, *, resume: bool = False, data_root: Path | None = None, root: Path = Path(),
          accelerator: str = "auto", workers: int = 0) -> Progressed:
    """Train one experiment; writes checkpoints/, and what it cost to results/<profile>/cost/.

    Raises:
        UserError: missing data, wrong settings, a loss that is not finite, or a state that belongs to another run.
    """
    code = code_hash(*entries(experiment))
    state, keep = state_file(experiment, root), folder(experiment, root)
    if not resume:
        state.unlink(missing_ok=True)
    torch.manual_seed(experiment.seed)
    fabric = Fabric(accelerator=accelerator, devices=1, precision=experiment.precision)  # type: ignore[arg-type]
    training = open_split(experiment.dataset, "train", root=data_root)
    batches = CropBatches(training, experiment.crop, experiment.batch, experiment.steps, experiment.seed)
    task = DehazingTask(experiment, fabric, open_split(experiment.dataset, "val", root=data_root))
    at = fit(task, batches, experiment, fabric, state, keep, workers=workers, code=code)
    cost = {
        "seconds": round(at.seconds, 1),
        "steps": at.step,
        "steps_per_second": round(at.step / max(at.seconds, 1e-9), 2),
        "peak_memory_mb": _peak_memory(fabric.device),
        "best_validation_psnr": round(at.best, 4),
        "best_step": at.best_step,
        "environment": environment(str(fabric.device)),
    }
    path = root / "results" / experiment.profile / "cost" / f"{experiment.id}.json"
    write_text(path, json.dumps(cost, indent=1, sort_keys=True) + "\n")
    return at


def _peak_memory(device: torch.device) -> int:
    """Peak memory in MB: of the device on a GPU, resident on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
