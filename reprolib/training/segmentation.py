"""Training the segmenter that judges label-to-photo translation, on the real pairs of a dataset.

Recipe: drn's (Yu et al., CVPR 2017, released code) at the size of CUT's evaluation. Negative log-likelihood with void
left out, SGD with momentum, random crops and flips. What the paper leaves open is chosen so: crops of 112, which is
drn's 896 of 1024 scaled to 128; and as many steps as 250 epochs of 2975 photos have in batches of 32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from reprolib import distributed
from reprolib.data.labels import VOID
from reprolib.data.unpaired import Domains, open_domains
from reprolib.errors import UserError, unknown
from reprolib.runs.experiment import Experiment, Optimiser, Schedule, read_profile
from reprolib.metrics.miou import miou
from reprolib.metrics.segmentation import confusion_of, resize, true_labels
from reprolib.models.segmentation.drn import DRND22, MULTIPLE, NAME, import_base
from reprolib.runs.provenance import code_hash
from reprolib.training.loop import Progressed, Stateful, Task
from reprolib.training.run import forget, run
from reprolib.models.weights import load_weights

PUBLISHED: Mapping[str, Any] = {
    "network": {"width": 16, "size": (128, 256)}, "crop": 112, "batch": 32, "steps": 250 * (2975 // 32),
    "learning_rate": 0.01, "optimiser": Optimiser(kind="sgd", momentum=0.9, weight_decay=1e-4),
    "schedule": Schedule(kind="step", every=0.4, factor=0.1),  # 100 of 250 epochs
    "validate_every": 10 * (2975 // 32),
}
"""Settings of `Experiment`."""

CHANGEABLE = ("network", "crop", "batch", "steps", "learning_rate", "precision", "validate_every", "save_every", "seed")
"""What a profile's `segmenter` may change of them; the rest is the recipe."""


class LabelledBatches(Dataset[tuple[Tensor, Tensor]]):
    """Crops of photos with their labels as a pure function of (seed, step): float32 B3HW in [0, 1] and int64 BHW.

    Pictures are drawn without repetition within a batch, cropped at random and flipped with p 0.5. All are kept at the
    segmenter's size (Cityscapes: 300 MB).

    Raises:
        UserError: photos and label maps do not belong together, or a batch or crop that does not fit.
    """

    def __init__(self, domains: Domains, size: tuple[int, int], crop: int, batch: int, steps: int, seed: int):
        _require_aligned(domains)
        if not 0 < crop <= min(size) or crop % MULTIPLE:
            raise UserError(f"a crop of {crop} from pictures of {size[1]}x{size[0]}",
                            fix=f"give a multiple of {MULTIPLE} that fits")
        if not 0 < batch <= len(domains.b):
            raise UserError(f"a batch of {batch} from {len(domains.b)} pictures", fix="lower batch, or add pictures")
        self.crop, self.batch, self.steps, self.seed = crop, batch, steps, seed
        self.photos_NHW3 = np.stack([resize(photo, size, Image.Resampling.BICUBIC) for photo in domains.b])
        self.labels_NHW = np.stack([true_labels(label, size)[0] for label in domains.a])

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of {self.steps}")
        random = np.random.default_rng([self.seed, step])
        crops = [self._crop(i, random) for i in random.choice(len(self.photos_NHW3), self.batch, replace=False)]
        photos_BHW3, labels_BHW = (np.stack([crop[side] for crop in crops]) for side in (0, 1))
        photos_B3HW = torch.from_numpy(np.ascontiguousarray(photos_BHW3.transpose(0, 3, 1, 2))).float() / 255
        return photos_B3HW, torch.from_numpy(labels_BHW).long()

    def _crop(self, index: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        height, width = self.labels_NHW.shape[1:]
        top, left = random.integers(height - self.crop + 1), random.integers(width - self.crop + 1)
        columns = slice(left, left + self.crop)
        photo, label = (side[index, top : top + self.crop, columns] for side in (self.photos_NHW3, self.labels_NHW))
        return (photo[:, ::-1], label[:, ::-1]) if random.random() < 0.5 else (photo, label)


class SegmentationTask:
    """min of the negative log-likelihood of the labels, void left out."""

    def __init__(self, experiment: Experiment, fabric: Fabric, validation: Domains):
        _require_aligned(validation)
        self.network = DRND22(**experiment.network)
        self.photos, self.labels = list(validation.b), list(validation.a)
        settings = experiment.optimiser
        trained = [p for p in self.network.parameters() if p.requires_grad]
        optimiser = torch.optim.SGD(trained, experiment.learning_rate, settings.momentum,
                                    weight_decay=settings.weight_decay)
        self.wrapped, self.optimiser = fabric.setup(self.network, optimiser)
        self.networks: Mapping[str, nn.Module] = {"network": self.network}
        self.optimisers: Mapping[str, torch.optim.Optimizer] = {"network": optimiser}
        self.extras: Mapping[str, Stateful] = {}

    def begin(self, batches: LabelledBatches) -> None:
        """Nothing has to be known before the first step."""

    def step(self, fabric: Fabric, batch: tuple[Tensor, Tensor], step: int,
             generator: torch.Generator) -> dict[str, Tensor]:
        photos_B3HW, labels_BHW = batch
        self.network.train()
        loss = nll(self.wrapped(photos_B3HW), labels_BHW)
        self.optimiser.zero_grad()
        fabric.backward(loss)
        self.optimiser.step()
        return {"loss": loss.detach()}

    def validate(self) -> float:
        """Mean IoU in percent over the validation photos."""
        return miou(confusion_of(self.network, self.photos, self.labels))

    def observe(self) -> dict[str, float]:
        return {}

    def weights(self) -> dict[str, Tensor]:
        return self.network.state_dict()


def nll(log_probabilities_BCHW: Tensor, labels_BHW: Tensor) -> Tensor:
    """Mean negative log-likelihood of the labelled pixels; 0 where all are void (a plain mean would be NaN)."""
    total = F.nll_loss(log_probabilities_BCHW, labels_BHW, ignore_index=VOID, reduction="sum")
    return total / (labels_BHW != VOID).sum().clamp(min=1)


def segmenter_experiment(dataset: str, profile: str, settings: Mapping[str, Any]) -> Experiment:
    """The published recipe with a profile's changes (`CHANGEABLE`); those of the network merge key by key.

    Raises:
        UserError: another setting.
    """
    for key in settings:
        if key not in CHANGEABLE:
            raise unknown(f"setting of the segmenter in profile '{profile}':", key, CHANGEABLE)
    network = {**PUBLISHED["network"], **settings.get("network", {})}
    network["size"] = tuple(network["size"])
    return Experiment(name=f"segmenter-{dataset}", profile=profile, system=NAME, dataset=dataset,
                      **{**PUBLISHED, **settings, "network": network})


def train_segmenter(dataset: str, profile: str, settings: Mapping[str, Any] | None = None, *, resume: bool = False,
                    root: Path = Path(), data_root: Path | None = None, imagenet: Path | None = None,
                    accelerator: str = "auto", workers: int = 0) -> Progressed:
    """Train the segmenter of a dataset of label maps (A) and photos (B); weights go to
    checkpoints/<profile>/segmenter-<dataset>/.

    Args:
        settings: changes of `PUBLISHED`; by default the profile's `segmenter`.
        resume: go on where a killed run stopped.
        imagenet: the released ImageNet classifier (drn_d_22-*.pth) to start from, as the published recipe does;
            without it training starts from noise, and more of it is needed.

    Raises:
        UserError: missing data or wrong settings; or several processes, which batch normalisation does not allow.
    """
    distributed.require_one_process("the segmenter has batch normalisation")
    if settings is None:
        settings = read_profile(profile, root).get("segmenter") or {}
    experiment = segmenter_experiment(dataset, profile, settings)

    def open_run(experiment: Experiment, fabric: Fabric, data_root: Path | None) -> tuple[Task, LabelledBatches]:
        batches = LabelledBatches(open_domains(dataset, "train", root=data_root), experiment.network["size"],
                                  experiment.crop, experiment.batch, experiment.steps, experiment.seed)
        task = SegmentationTask(experiment, fabric, open_domains(dataset, "val", root=data_root))
        if imagenet is not None:
            load_weights(task.network.base, imagenet, import_base)
        return task, batches

    at = run(experiment, open_run, code_hash("reprolib.training.segmentation"), resume=resume, data_root=data_root,
             root=root, accelerator=accelerator, workers=workers)
    forget(experiment, root)
    return at


def _require_aligned(domains: Domains) -> None:
    if not domains.aligned:
        raise UserError("photos and label maps without a common order cannot train a segmenter",
                        where=domains.b.files[0].parent, fix="choose an aligned dataset, such as cityscapes")
