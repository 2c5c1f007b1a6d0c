"""A run is one frozen description: system, dataset, settings, seed. Apart from the machine it determines a training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from reprolib.models.objective import STRICT, Contrast

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Optimiser(BaseModel):
    """How gradients become steps."""

    model_config = ConfigDict(**STRICT, frozen=True)

    kind: Literal["adam", "adamw", "sgd"] = "adam"
    """'adamw' takes the decay off the weights themselves, 'adam' and 'sgd' add it to the gradient."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Of Adam and AdamW."""
    momentum: float = 0.9
    """Of SGD."""
    weight_decay: float = 0.0


class Schedule(BaseModel):
    """Factor on the learning rate over a run; all positions are shares of the run's steps."""

    model_config = ConfigDict(**STRICT, frozen=True)

    kind: Literal["cosine", "linear", "step", "constant"] = "cosine"
    """'cosine' to `end`; 'linear': 1 until `start`, then to `end`; 'step': times `factor` every `every`, or at each of
    `milestones`; 'constant'."""
    start: Share = 0.5
    end: Share = 0.0
    """Factor that is left after the last step."""
    every: Annotated[float, Field(gt=0, le=1)] = 0.5
    milestones: tuple[Share, ...] = ()
    """Where unequal parts are wanted (MSBDN); then `every` says nothing."""
    factor: float = 0.5
    warmup: Share = 0.0
    """The rate rises from 0 over this share first; short runs at high rates need it, the papers have none."""


class Run(BaseModel):
    """What all runs have; `DehazingRun`, `TranslationRun` and `SegmenterRun` say the rest."""

    model_config = ConfigDict(**STRICT, frozen=True)

    name: str
    profile: str
    system: str
    dataset: str
    test_dataset: str | None = None
    """Dataset that is measured on, where it is another one (trained on ITS, measured on SOTS)."""
    weights_of: str = ""
    """A run of the same profile whose checkpoint is measured here on another test set; nothing is trained for this."""
    rows: tuple[str, ...] = ()
    """Rows of the papers' tables that this run stands for."""
    note: str = ""
    """What a reader of its records has to know."""
    own: bool = False
    """A run of the pipeline, as its profile describes it; only such runs write into checkpoints/ and results/."""

    network: dict[str, Any] = Field(default_factory=dict)
    """Options of the network that differ from its published size."""
    recipe: Literal["common", "published"] = "common"
    """'common': the profile's settings for every system; 'published': the system's own (`System.recipe`) over them."""
    steps: Annotated[int, Field(ge=0)] = 1000
    batch: Positive = 16
    crop: Positive = 240
    augment: bool = True
    """Random flips, and in dehazing rotations."""
    schedule: Schedule = Schedule()
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    half: bool = False
    """Keep the checkpoint in half precision (float16), which costs below 0.01 dB; for networks that ship."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Fabric's names. '16-mixed' is not among them: its loss scale would be part of the state."""
    validate_every: Positive = 1000
    save_every: Positive = 100
    seed: Annotated[int, Field(ge=0)] = 0
    init: str = ""
    """Weights that it starts from, where these are not drawn from the seed: in a profile, the run of it whose last
    checkpoint these are; in what `--from FILE` makes, the file's digest."""
    extends: tuple[tuple[int, int], ...] = ()
    """Of a run that went on beyond its former end: (steps in all, steps done) as they were. The schedule of the steps
    done was that of the former total; of all later ones it is that of `steps`."""

    @property
    def id(self) -> str:
        """Folder name: the run's name, with its seed; with its fingerprint where it is not the pipeline's own."""
        return self._identified(self.name)

    @property
    def trained_as(self) -> str:
        """The id of the run whose checkpoint it measures: its own, unless `weights_of` says another."""
        return self._identified(self.weights_of or self.name)

    def _identified(self, name: str) -> str:
        if not self.own:
            return f"{name}-{self.fingerprint[:8]}"
        return name if self.seed == 0 else f"{name}-seed{self.seed}"

    @property
    def measured_on(self) -> str:
        """The dataset whose test split is measured."""
        return self.test_dataset or self.dataset

    @property
    def settings(self) -> dict[str, Any]:
        """All fields as JSON holds them."""
        return self.model_dump(mode="json")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """A run from what `settings` gave, a checkpoint's header for example."""
        return cls.model_validate_json(json.dumps(dict(settings)))

    @property
    def fingerprint(self) -> str:
        """Hash of what determines the training; two runs with the same one do the same computation."""
        settings = self.settings
        relevant = {key: value for key, value in settings.items()
                    if key not in APART and (value or key not in ("init", "extends"))}
        return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:16]

    def changed(self, **settings: Any) -> Self:
        """The same run with other settings, which is no longer the pipeline's own."""
        now = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**{**now, "own": False, **settings})


APART = ("name", "profile", "test_dataset", "weights_of", "rows", "note", "own", "recipe", "save_every", "half")
"""Settings that leave the training as it is: `recipe` says only where the others came from, `half` how it is kept."""


class DehazingRun(Run):
    """Training a dehazer on pairs."""

    loss: dict[str, float] = Field(default_factory=lambda: {"l1": 1.0})
    """Weights of the terms in `reprolib.training.dehazing.terms`."""
    contrast: Contrast | None = None
    """The contrastive term; None trains without one."""
    optimiser: Optimiser = Optimiser()
    clip: Annotated[float, Field(gt=0)] | None = None
    """Largest gradient norm; None leaves gradients alone, as the authors do."""
    channels_last: bool = True


class TranslationRun(Run):
    """Training a translator on two domains. Its optimisers are its method's own."""

    objective: dict[str, Any] = Field(default_factory=dict)
    """Weights and choices of the system's objective (`System.objective`) that differ from it."""
    load: Positive | None = None
    """Side that pictures are resized to before the crop; None is the crop's, so that nothing is cut."""
    augment_until_decay: bool = False
    """Stop resizing and cropping at random once a linear schedule decays (CUT's released code)."""
    resample: Literal["bicubic", "bilinear"] = "bicubic"
    """How pictures are resized to `load`."""
    rounding: Literal["nearest", "down"] = "nearest"
    """How translated values become levels of 0 to 255; 'down', as in the released code of CUT and CycleGAN, darkens
    pictures by half a level."""
    distance: Literal["vgg16", "inception"] = "vgg16"
    """Features of the Frechet distance: 'inception' (FID, needs a download) or 'vgg16' (not FID)."""

    @property
    def channels(self) -> int:
        """Of the pictures as its network takes them; 3 is RGB."""
        channels: int = self.network.get("channels", 3)
        return channels


class SegmenterRun(Run):
    """Training the network that scores label maps."""

    system: str = "segmenter"
    optimiser: Optimiser = Optimiser()
    imagenet: str | None = None
    """File of drn's released classifier, from which the published recipe starts; None starts from noise."""


RUNS: Mapping[str, type[DehazingRun] | type[TranslationRun]] = {"dehazing": DehazingRun, "translation": TranslationRun}
"""The type of run of each task."""
