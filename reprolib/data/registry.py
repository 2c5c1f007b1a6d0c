"""The datasets: one manifest each in manifests/, and where they lie on this machine."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from reprolib.errors import UserError, unknown
from reprolib.files import read_yaml

REGISTERED = Path(".reprolib/datasets.json")
"""Folders that `reprolib data register` has checked, by dataset."""

SYNTHESISED = "synthesised.json"
"""In a folder that `reprolib data make` has written: how, and what numbers that come from it must say."""

ALL = "all"
"""The split of own pictures that has them all."""

OWN = tuple(re.compile(f"{one}=(?P<{one}>.+),{other}=(?P<{other}>.+)", re.DOTALL)
            for one, other in (("hazy", "clear"), ("clear", "hazy"), ("a", "b"), ("b", "a")))
"""How they are named."""


@dataclass(frozen=True)
class Dataset:
    """What a dataset must look like. Adding one is adding a manifest."""

    name: str
    title: str
    task: str
    licence: str
    citation: str
    kind: str = "pairs"
    """Dehazing: 'pairs' of hazy and clear pictures; 'scenes', clear pictures with their depth, for training alone: haze
    is drawn over them anew at every step; 'mixture', several datasets to train on together (`parts`)."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Of a mixture: its datasets, and the share of the steps that takes its batch from each."""
    haze: Mapping[str, Any] = field(default_factory=dict)
    """Of scenes: the ranges that haze is drawn from (`reprolib.data.haze.Haze`), where they are not those of ITS."""
    embedded: bool = False
    """Made from pictures inside Python packages, by `reprolib data prepare`."""
    note: str = ""
    """What every number measured on it must say."""
    splits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By split: `pairs` (how many) and, where a folder holds several splits, `ids` (the first and last scene).
    Unpaired: `a` and `b` (how many pictures) and, where a release has other folders than trainA and so on, `at`.
    Empty if it is taken out of the training split."""
    pairing: str = ""
    """Which clear picture belongs to a hazy one, in words."""
    source: str | None = None
    """Aligned pairs: the half of a file that is translated from, 'left' or 'right'; None if domains are unpaired."""
    label_maps: bool = False
    """Side A holds label maps in Cityscapes' colours, so that what is made of them can be scored by a segmenter."""
    translated_at: int | None = None
    """Side that source pictures are resized to before they are translated and measured; None leaves them."""
    pairs: int | None = None
    """Hazy pictures of a real dehazing dataset, all splits together."""
    scenes: int | None = None
    """Clear pictures of a real dataset; None if the release does not fix it."""
    size: tuple[int, int] | None = None
    """Width and height of every file (dehazing: hazy picture); None if they differ."""
    border: int = 0
    """Pixels on each side by which the clear pictures may be larger: cut off about the centre, never resized."""
    hint: str = ""
    """Where it comes from and which release it must be."""
    download: Mapping[str, Any] = field(default_factory=dict)
    """Public addresses (`reprolib.data.download`); no part of what a number is bound to."""
    own: Mapping[str, Path] = field(default_factory=dict)
    """Folders of somebody's own pictures, by side: hazy and clear, or a and b. No manifest has it."""
    wrong_release: str = ""
    """What a folder with more pictures than this most likely is."""


@cache
def own_dataset(text: str) -> Dataset | None:
    """Folders of one's own as a dataset: 'hazy=DIR,clear=DIR' to dehaze, 'a=DIR,b=DIR' to translate; else None.

    Its name says where the folders are. To train, one picture in 20 is taken out for validation; to measure, all count.

    Raises:
        UserError: a folder that is not there.
    """
    found = next((match for pattern in OWN if (match := pattern.fullmatch(text))), None)
    if found is None:
        return None
    folders = {side: Path(place).absolute() for side, place in sorted(found.groupdict().items(), reverse=True)}
    for side, folder in folders.items():
        if not folder.is_dir():
            raise UserError("no such folder", where=folder, fix=f"give {side}=DIR of a folder of pictures")
    task = "dehazing" if "clear" in folders else "translation"
    order = ("hazy", "clear") if task == "dehazing" else ("a", "b")
    name = ",".join(f"{side}={folders[side]}" for side in order)
    return Dataset(name, "own pictures", task, "", "", note="own pictures",
                   splits={"train": {}, "val": {}, ALL: {}}, own={side: folders[side] for side in order},
                   hint="two folders of pictures")


@cache
def datasets() -> dict[str, Dataset]:
    """All datasets by name."""
    folder = Path(__file__).parent / "manifests"
    return {p.stem: _read_manifest(p) for p in sorted(folder.glob("*.yaml"), key=lambda p: p.stem)}


def _read_manifest(path: Path) -> Dataset:
    content = read_yaml(path)
    wrong = sorted(set(content) - {f.name for f in fields(Dataset)})
    if wrong:
        raise unknown("key of a manifest", wrong[0], (f.name for f in fields(Dataset)))
    if "size" in content:
        content["size"] = tuple(content["size"])
    return Dataset(name=path.stem, **content)


def get_dataset(name: str) -> Dataset:
    """The dataset of that name, or of the folders that it consists of (`own_dataset`).

    Raises:
        UserError: unknown, with the nearest name.
    """
    if own := own_dataset(name):
        return own
    if name not in datasets():
        raise unknown("dataset", name, datasets())
    return datasets()[name]


def registered() -> dict[str, str]:
    """Folders of registered datasets.

    Raises:
        UserError: the file that holds them is damaged.
    """
    if not REGISTERED.is_file():
        return {}
    try:
        content = json.loads(REGISTERED.read_text())
        return {str(name): str(place) for name, place in content.items()}
    except (ValueError, AttributeError) as error:
        raise UserError("not a list of registered datasets", where=REGISTERED,
                        fix="delete it and run `reprolib data register NAME PATH` again") from error


def data_home() -> Path | None:
    """The folder that $REPROLIB_DATA names, which holds data/NAME of every dataset; None if it is not set.

    Raises:
        UserError: there is no such folder, or no data/ in it: a mistyped place must not lead to other pictures.
    """
    named = os.environ.get("REPROLIB_DATA")
    if not named:
        return None
    if not (Path(named) / "data").is_dir():
        fault = "has no folder data/" if Path(named).is_dir() else "is no folder"
        raise UserError(f"the place that REPROLIB_DATA names {fault}", where=named,
                        fix="set it to the folder above data/NAME, or unset it")
    return Path(named)


def locate(name: str, root: Path | None = None) -> Path:
    """Folder of a dataset: `root` if given, else registered, else $REPROLIB_DATA/data/NAME, else data/NAME; of a
    mixture, that of its first part, if all are here.

    Raises:
        UserError: it is nowhere, with the command that gets it; its registered folder has gone; or REPROLIB_DATA names
            no place.
    """
    dataset = get_dataset(name)
    if dataset.own:
        return next(iter(dataset.own.values()))
    if dataset.parts:
        if root is not None:
            raise UserError(f"'{name}' has no folder of its own", where=root,
                            fix=f"register its parts: {', '.join(dataset.parts)}")
        return [locate(part) for part in dataset.parts][0]
    if root is not None:
        if not Path(root).is_dir():
            raise UserError("no such folder", where=root, fix=f"give the folder that holds {name}")
        return Path(root)
    home = data_home()
    if name in registered():
        place = Path(registered()[name])
        if not place.is_dir():
            raise UserError(f"the registered folder of '{name}' has gone", where=place,
                            fix=f"bring it back, or run `reprolib data register {name} PATH`")
        return place
    places = [Path("data") / name]
    if home is not None:
        places.insert(0, home / "data" / name)
    for place in places:
        if place.is_dir():
            return place
    fix = f"run `reprolib data prepare {name}`" if dataset.embedded else f"run `reprolib data register {name} PATH`"
    fix += f" or `reprolib data download {name}`" if dataset.download else ""
    raise UserError(f"dataset '{name}' is not on this machine", where=places[-1], fix=fix)
