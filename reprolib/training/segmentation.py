"""Training the network that scores label-to-photo translation, on the real pairs of a dataset.

Recipe: drn's (Yu et al., CVPR 2017, released code) at the size of CUT's evaluation. Negative log-likelihood with void
left out, SGD with momentum, random crops and flips. What the paper leaves open is chosen so: crops of 112, which is
drn's 896 of 1024 scaled to 128; and as many steps as 250 epochs of 2975 photos have in batches of 32.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from reprolib import distributed
from reprolib.data.batches import StepBatches
from reprolib.data.content import check_label_maps
from reprolib.data.copies import without
from reprolib.data.identity import dataset_identity, file_identity
from reprolib.data.labels import VOID
from reprolib.data.unpaired import Domains, open_domains
from reprolib.errors import UserError, unknown
from reprolib.files import write_yaml
from reprolib.metrics.miou import miou
from reprolib.metrics.segmentation import confusion_of, resize, true_labels
from reprolib.models.segmentation.drn import DRND22, MULTIPLE, import_base
from reprolib.models.weights import load_weights
from reprolib.runs.concurrent import side_by_side
from reprolib.runs.digests import code_digest
from reprolib.runs.inputs import labelled
from reprolib.runs.places import profile_folder
from reprolib.runs.profile import checked, read_profile
from reprolib.runs.run import SegmenterRun
from reprolib.training.checkpoint import Origin, Stateful
from reprolib.training.loop import Task
from reprolib.training.optimisation import build_optimiser, take_step
from reprolib.training.run import Trained, train_task

PUBLISHED: Mapping[str, Any] = {
    "network": {"width": 16, "size": [128, 256]}, "crop": 112, "batch": 32, "steps": 250 * (2975 // 32),
    "learning_rate": 0.01, "optimiser": {"kind": "sgd", "momentum": 0.9, "weight_decay": 1e-4},
    "schedule": {"kind": "step", "every": 0.4, "factor": 0.1},  # 100 of 250 epochs
    "validate_every": 10 * (2975 // 32),
}
"""Settings of `SegmenterRun`."""

CHANGEABLE = ("network", "crop", "batch", "steps", "learning_rate", "precision", "validate_every", "save_every", "seed",
              "imagenet")
"""What a profile's `segmenter` may change of them; the rest is the recipe."""


class LabelledBatches(StepBatches):
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
        super().__init__(steps, seed)
        self.crop, self.batch = crop, batch
        self.photos_NHW3 = np.stack([resize(photo, size, Image.Resampling.BICUBIC) for photo in domains.b])
        self.labels_NHW = np.stack([true_labels(label, size)[0] for label in domains.a])

    def draw(self, step: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
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

    def __init__(self, run: SegmenterRun, fabric: Fabric, validation: Domains):
        _require_aligned(validation)
        self.network = DRND22(**{**run.network, "size": tuple(run.network["size"])}).to(fabric.device)
        self.photos, self.labels = list(validation.b), list(validation.a)
        trained = [p for p in self.network.parameters() if p.requires_grad]
        self.networks: Mapping[str, nn.Module] = {"network": self.network}
        self.optimisers: Mapping[str, Optimizer] = {
            "network": build_optimiser(run.optimiser, run.learning_rate, trained)}
        self.extras: Mapping[str, Stateful] = {}

    def begin(self, batches: LabelledBatches) -> None:
        """Nothing has to be known before the first step."""

    def step(self, fabric: Fabric, batch: tuple[Tensor, Tensor], step: int,
             generator: torch.Generator) -> dict[str, Tensor]:
        photos_B3HW, labels_BHW = batch
        self.network.train()
        with fabric.autocast():
            loss = nll(self.network(photos_B3HW).float(), labels_BHW)
        self.optimisers["network"].zero_grad()
        fabric.backward(loss)
        take_step(self.optimisers["network"])
        return {"loss": loss.detach()}

    def validate(self, pictures: int | None = None) -> float:
        """Mean IoU in percent over the validation photos."""
        return miou(confusion_of(self.network, self.photos[:pictures], self.labels[:pictures]))

    def observe(self) -> dict[str, float]:
        return {}

    def weights(self) -> dict[str, Tensor]:
        return self.network.state_dict()


def nll(log_probabilities_BCHW: Tensor, labels_BHW: Tensor) -> Tensor:
    """Mean negative log-likelihood of the labelled pixels; 0 where all are void (a plain mean would be NaN)."""
    total = F.nll_loss(log_probabilities_BCHW, labels_BHW, ignore_index=VOID, reduction="sum")
    return total / (labels_BHW != VOID).sum().clamp(min=1)


def segmenter_run(dataset: str, profile: str, settings: Mapping[str, Any]) -> SegmenterRun:
    """The published recipe with a profile's changes (`CHANGEABLE`); those of the network merge key by key.

    Raises:
        UserError: another setting, or one that does not fit.
    """
    for key in settings:
        if key not in CHANGEABLE:
            raise unknown(f"setting of the segmenter in profile '{profile}':", key, CHANGEABLE)
    network = {**PUBLISHED["network"], **settings.get("network", {})}
    whole = {**PUBLISHED, **settings, "network": network}
    return checked(SegmenterRun, {**whole, "name": f"segmenter-{dataset}", "profile": profile, "dataset": dataset,
                                  "own": True}, f"profile '{profile}', segmenter")


def train_segmenters(profile: str, *, root: Path = Path(), accelerator: str = "auto",
                     imagenet: Path | None = None) -> list[Trained]:
    """A segmenter for each dataset of label maps that a profile measures on; finished ones stay.

    On a CPU each is trained by one thread, as all runs of the pipeline are: its scores must not depend on the cores.
    Writes profiles/NAME/segmenter.yaml, too: whose measuring reads which weights, for the pipeline.

    Raises:
        UserError: as `train_segmenter`.
    """
    known = read_profile(profile, root)
    work = partial(train_segmenter, root=root, accelerator=accelerator, imagenet=imagenet)
    names = labelled(known)
    runs = [segmenter_run(name, profile, known.segmenter) for name in names]
    found = dict(zip(names, side_by_side(work, runs, accelerator=accelerator, always=True), strict=True))
    (root / "checkpoints" / profile / "segmenter").mkdir(parents=True, exist_ok=True)
    digests = {name: file_identity(trained.folder / "last.safetensors").digest for name, trained in found.items()}
    reading = {s: {r.measured_on: digests[r.measured_on] for r in known.of_system(s) if r.measured_on in digests}
               for s in known.systems}
    write_yaml(profile_folder(profile, root) / "segmenter.yaml", {s: read or "none" for s, read in reading.items()},
               "Written by the stage `segmenter`: the segmenters that measuring a system reads.")
    return list(found.values())


def train_segmenter(run: SegmenterRun, *, root: Path = Path(), data_root: Path | None = None,
                    imagenet: Path | None = None, accelerator: str = "auto", workers: int = 0) -> Trained:
    """Train the segmenter of a dataset of label maps (A) and photos (B); goes on where a killed run stopped.

    Args:
        imagenet: the released ImageNet classifier (drn_d_22-*.pth) to start from, instead of the run's `imagenet`;
            with neither training starts from noise, and more of it is needed.

    Raises:
        UserError: missing data or wrong settings; label maps that are none; or several processes, which batch
            normalisation does not allow.
    """
    distributed.require_one_process("the segmenter has batch normalisation")
    imagenet = imagenet or (root / run.imagenet if run.imagenet else None)
    if imagenet is not None and not imagenet.is_file():
        raise UserError("no ImageNet classifier to start from", where=imagenet,
                        fix="put drn's drn_d_22-*.pth there, or take `imagenet` out of the profile's segmenter")
    check_label_maps(run.dataset, open_domains(run.dataset, "train", root=data_root))
    data = {f"{run.dataset}/{split}": dataset_identity(run.dataset, split, data_root) for split in ("train", "val")}
    if imagenet is not None:
        data["init"] = file_identity(imagenet)

    def open_run(fabric: Fabric, /) -> tuple[Task, LabelledBatches]:
        domains, validation = (without(open_domains(run.dataset, split, root=data_root), origin.leaks)
                               for split in ("train", "val"))
        batches = LabelledBatches(domains, tuple(run.network["size"]), run.crop, run.batch, run.steps, run.seed)
        task = SegmentationTask(run, fabric, validation)
        if imagenet is not None:
            load_weights(task.network.base, imagenet, import_base)
        return task, batches

    origin = Origin.apart(run, code_digest("reprolib.training.segmentation"), data, data_root)
    return train_task(origin, open_run, resume=True, root=root, accelerator=accelerator, workers=workers, again=False)


def _require_aligned(domains: Domains) -> None:
    if not domains.aligned:
        raise UserError("photos and label maps without a common order cannot train a segmenter",
                        where=domains.b.files[0].parent, fix="choose an aligned dataset, such as cityscapes")
