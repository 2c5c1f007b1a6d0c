"""The datasets: one manifest each in manifests/, and where they lie on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from reprolib.errors import UserError, unknown

REGISTERED = Path(".reprolib/datasets.json")
"""Folders that `reprolib data register` has checked, by dataset."""


@dataclass(frozen=True)
class Dataset:
    """What a dataset must look like. Adding one is adding a manifest."""

    name: str
    title: str
    task: str
    licence: str
    citation: str
    embedded: bool = False
    """Made from pictures inside Python packages, by `reprolib data prepare`."""
    column: str | None = None
    """Column of Table 1 that it is (or, if embedded, stands in for): sots, dense-haze or nh-haze."""
    note: str = ""
    """What every number measured on it must say."""
    splits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By split: `pairs` (how many), and for real data `ids`, the first and last scene."""
    centre_crop: bool = False
    """Clear pictures carry a border: cut them to the hazy size about the centre, never resize."""
    hint: str = ""
    """Where it comes from and which release it must be."""


@cache
def datasets() -> dict[str, Dataset]:
    """All datasets by name."""
    folder = Path(__file__).parent / "manifests"
    found = (Dataset(name=p.stem, **yaml.safe_load(p.read_text())) for p in sorted(folder.glob("*.yaml")))
    return {d.name: d for d in found}


def get_dataset(name: str) -> Dataset:
    """The dataset of that name.

    Raises:
        UserError: unknown, with the nearest name.
    """
    if name not in datasets():
        raise unknown("dataset", name, datasets())
    return datasets()[name]


def registered() -> dict[str, str]:
    """Folders of registered datasets."""
    return dict(json.loads(REGISTERED.read_text())) if REGISTERED.is_file() else {}


def locate(name: str, root: Path | None = None) -> Path:
    """Folder of a dataset: `root` if given, else registered, else $REPROLIB_DATA/data/NAME, else data/NAME.

    Raises:
        UserError: it is nowhere, with the command that gets it.
    """
    dataset = get_dataset(name)
    if root is not None:
        if not root.is_dir():
            raise UserError("no such folder", where=root, fix=f"give the folder that holds {name}")
        return root
    places = [Path(p) for p in [registered().get(name)] if p]
    if os.environ.get("REPROLIB_DATA"):
        places.append(Path(os.environ["REPROLIB_DATA"]) / "data" / name)
    places.append(Path("data") / name)
    for place in places:
        if place.is_dir():
            return place
    fix = f"run `reprolib data prepare {name}`" if dataset.embedded else f"run `reprolib data register {name} PATH`"
    raise UserError(f"dataset '{name}' is not on this machine", where=places[-1], fix=fix)
