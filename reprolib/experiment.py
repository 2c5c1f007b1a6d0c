"""An experiment is one frozen description of a run; a profile is a file of them.

`profiles/NAME.yaml` has three parts: `defaults` (shared by all runs), `systems` (what a system changes) and
`experiments` (the runs of the pipeline). They are merged in that order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from reprolib.errors import UserError, unknown

T = TypeVar("T")


@dataclass(frozen=True)
class Contrast:
    """The contrastive term of an experiment: the slides' three axes and its weight."""

    weight: float = 0.1
    """beta; 0.1 in AECR-Net."""
    rate: str = "1:1"
    """positives:negatives per anchor; '1:0' is CR* (no negatives)."""
    features: str = "vgg16"
    """'vgg19' is the paper's; 'vgg16' comes out of a wheel and needs no download."""
    start: float = 0.0
    """Share of the steps after which the term joins; 0 is the paper's. Late starts save time on a CPU."""
    reduction: str = "batch"
    """'batch': ratio of batch means (the authors' code); 'image': mean of per-image ratios."""
    pool: str = "gathered"
    """Pictures that samples come from: 'gathered', the whole batch, as in one process; 'local', the rows of the own
    process, which sends no features between processes. In one process both are the same."""


@dataclass(frozen=True)
class Optimiser:
    """How gradients become steps."""

    kind: str = "adam"
    """'adam' or 'sgd'."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Of Adam."""
    momentum: float = 0.9
    """Of SGD."""
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """Factor on the learning rate over a run; all positions are shares of the run's steps."""

    kind: str = "cosine"
    """'cosine' to 0; 'constant'; 'linear': 1 until `start`, then to 0; 'step': times `factor` every `every`."""
    start: float = 0.5
    every: float = 0.5
    factor: float = 0.5
    warmup: float = 0.0
    """The rate rises from 0 over this share first; short runs at high rates need it, the papers have none."""


@dataclass(frozen=True)
class Experiment:
    """Everything that determines a run, apart from the machine."""

    name: str
    profile: str
    system: str
    dataset: str
    test_dataset: str | None = None
    """Dataset that is measured on, where it is another one (trained on ITS, measured on SOTS)."""
    rows: tuple[str, ...] = ()
    """Rows of the paper's tables that this run stands for."""
    note: str = ""
    """What a reader of its records has to know, such as that it is a short run."""
    network: Mapping[str, Any] = field(default_factory=dict)
    """Options of the network that differ from its published size."""
    contrast: Contrast | None = None
    recipe: str = "common"
    """'common': the profile's settings for every system; 'published': the system's own (`System.recipe`) over them."""
    loss: Mapping[str, float] = field(default_factory=lambda: {"l1": 1.0})
    """Dehazing: weights of the terms in `reprolib.training.terms`."""
    method: Mapping[str, Any] = field(default_factory=dict)
    """Translation: options of the method that differ from the system's (`System.options`)."""
    steps: int = 1000
    batch: int = 16
    crop: int = 240
    load: int | None = None
    """Translation: side that pictures are resized to before the crop; None is the crop's, so that nothing is cut."""
    calm_decay: bool = False
    """Translation: stop resizing and cropping at random once a linear schedule decays (CUT's released code)."""
    distance: str = "vgg16"
    """Translation: features of the Frechet distance, 'inception' (FID, needs a download) or 'vgg16' (not FID)."""
    augment: bool = True
    """Random flips, and in dehazing rotations."""
    optimiser: Optimiser = field(default_factory=Optimiser)
    schedule: Schedule = field(default_factory=Schedule)
    learning_rate: float = 2e-4
    clip: float | None = None
    """Largest gradient norm; None leaves gradients alone, as the authors do."""
    precision: str = "32-true"
    """Fabric's names: '32-true' or 'bf16-mixed'."""
    channels_last: bool = True
    validate_every: int = 1000
    save_every: int = 100
    seed: int = 0

    @property
    def id(self) -> str:
        """Folder name: the experiment's name, with the seed where it is not 0."""
        return self.name if self.seed == 0 else f"{self.name}-seed{self.seed}"

    @property
    def measured_on(self) -> str:
        """The dataset whose test split is measured."""
        return self.test_dataset or self.dataset

    def folder(self, root: Path = Path()) -> Path:
        """Where the weights and the log of the run are kept."""
        return root / "checkpoints" / self.profile / self.id

    @property
    def fingerprint(self) -> str:
        """Hash of every field; two runs with the same one do the same computation."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def profiles(root: Path = Path()) -> list[str]:
    """Names of the profiles in this project."""
    return sorted(p.stem for p in (root / "profiles").glob("*.yaml"))


def active_profile(root: Path = Path()) -> str:
    """The profile that `dvc repro` rebuilds, named in params.yaml.

    Raises:
        UserError: not in a project.
    """
    path = root / "params.yaml"
    if not path.is_file():
        raise UserError("not in a reprolib project", where=path.resolve().parent, fix="run from the checkout's root")
    return str(yaml.safe_load(path.read_text())["profile"])


def read_profile(name: str, root: Path = Path()) -> dict[str, Any]:
    """The contents of `profiles/NAME.yaml`."""
    if name not in profiles(root):
        raise unknown("profile", name, profiles(root))
    content: dict[str, Any] = yaml.safe_load((root / "profiles" / f"{name}.yaml").read_text())
    return content


def experiments(profile: str, root: Path = Path()) -> dict[str, Experiment]:
    """All experiments of a profile by name, in file order."""
    content = read_profile(profile, root)
    return {name: _build(profile, name, content, dict(settings)) for name, settings in content["experiments"].items()}


def find(profile: str, target: str, dataset: str | None = None, root: Path = Path(), **changes: Any) -> Experiment:
    """The experiment called `target`, or the plain run of the system `target` on `dataset`.

    Raises:
        UserError: neither an experiment of the profile nor a system; or a system without a dataset.
    """
    from reprolib import models

    content = read_profile(profile, root)
    named = content["experiments"]
    if target in named:
        settings = dict(named[target])
        if dataset and dataset != settings["dataset"]:
            settings |= {"dataset": dataset, "rows": []}
            target = f"{target}-on-{dataset}"
    elif target in models.names():
        if dataset is None:
            raise UserError(f"no dataset given for '{target}'", fix="add --dataset NAME (`reprolib data list`)")
        twin = [n for n, s in named.items() if s == {**s, "system": target, "dataset": dataset} and "network" not in s]
        settings = dict(named[twin[0]]) if twin else {"system": target, "dataset": dataset}
        target = twin[0] if twin else f"{target}-on-{dataset}"
    else:
        raise unknown("system or experiment", target, [*models.names(), *named])
    settings |= {k: v for k, v in changes.items() if v is not None}
    return _build(profile, target, content, settings)


def select(profile: str, targets: Iterable[str], dataset: str | None = None, root: Path = Path(),
           **changes: Any) -> list[Experiment]:
    """The experiments that `targets` name: as `find`, or all of a system's in the profile where no dataset is given.

    Raises:
        UserError: as `find`; a system without experiments in the profile counts as one without a dataset.
    """
    named = read_profile(profile, root)["experiments"]
    names: list[str] = []
    for target in targets:
        of_system = [name for name, settings in named.items() if settings["system"] == target]
        names += of_system if dataset is None and target not in named and of_system else [target]
    return [find(profile, name, dataset, root, **changes) for name in dict.fromkeys(names)]


def _build(profile: str, name: str, content: Mapping[str, Any], settings: dict[str, Any]) -> Experiment:
    """Merge defaults, the system's recipe if asked for, its settings in the profile and the experiment's own.

    Nested mappings merge key by key, except the loss, which is one choice.
    """
    of_system = (content.get("systems") or {}).get(settings.get("system"), {})
    layers = [content.get("defaults", {}), of_system, settings]
    if [layer["recipe"] for layer in layers if "recipe" in layer][-1:] == ["published"]:
        from reprolib import models

        layers.insert(1, models.get(settings["system"]).recipe)
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both = key != "loss" and isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = {**merged[key], **value} if both else value
    where = f"profile '{profile}', experiment '{name}'"
    for key, kind in NESTED.items():
        if merged.get(key) is not None:
            merged[key] = _checked(kind, merged[key], f"{where}, {key}")
    return _checked(Experiment, {**merged, "name": name, "profile": profile}, where)


NESTED: dict[str, type] = {"contrast": Contrast, "optimiser": Optimiser, "schedule": Schedule}
"""Settings that are dataclasses of their own."""


def _checked(kind: type[T], settings: Mapping[str, Any], where: str) -> T:
    """A dataclass from settings.

    Raises:
        UserError: a setting that it does not have, with the nearest name.
    """
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    for key in settings:
        if key not in known:
            raise unknown(f"setting in {where}:", key, known)
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
