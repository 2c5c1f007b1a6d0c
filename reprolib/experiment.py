"""An experiment is one frozen description of a run; a profile is a file of them.

`profiles/NAME.yaml` has three parts: `defaults` (shared by all runs), `systems` (what a system changes) and
`experiments` (the runs of the pipeline). They are merged in that order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from reprolib.errors import UserError, unknown


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


@dataclass(frozen=True)
class Experiment:
    """Everything that determines a run, apart from the machine."""

    name: str
    profile: str
    system: str
    dataset: str
    rows: tuple[str, ...] = ()
    """Rows of the paper's tables that this run stands for."""
    network: Mapping[str, Any] = field(default_factory=dict)
    """Options of the network that differ from its published size."""
    contrast: Contrast | None = None
    loss: str = "l1"
    steps: int = 1000
    batch: int = 16
    crop: int = 240
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


def _build(profile: str, name: str, content: Mapping[str, Any], settings: dict[str, Any]) -> Experiment:
    """Merge defaults, the system's settings and the experiment's own; nested mappings merge key by key."""
    merged: dict[str, Any] = {}
    of_system = (content.get("systems") or {}).get(settings.get("system"), {})
    for layer in (content.get("defaults", {}), of_system, settings):
        for key, value in layer.items():
            both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = {**merged[key], **value} if both else value
    known = {f.name for f in fields(Experiment)}
    for key in merged:
        if key not in known:
            raise unknown(f"setting in profile '{profile}', experiment '{name}':", key, known)
    contrast = merged.pop("contrast", None)
    if contrast is not None:
        wrong = set(contrast) - {f.name for f in fields(Contrast)}
        if wrong:
            raise unknown("setting of contrast", wrong.pop(), [f.name for f in fields(Contrast)])
    return Experiment(
        **{**merged, "name": name, "profile": profile, "rows": tuple(merged.get("rows", ()))},
        contrast=Contrast(**contrast) if contrast else None,
    )
