"""Every stage of every profile, from the first digest to the last page, on tiny pictures laid out as the real ones are.

Networks and steps are shrunk by the profile alone; commands are those of the profile's own dvc.yaml. A mistake that a
person would meet after days of training shows here.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pytest
import torch
from cells import run_cells
from PIL import Image

from reprolib import models
from reprolib.commands.main import run as command
from reprolib.contrast.features import VGGFeatures
from reprolib.data.images import write_png
from reprolib.data.registry import Dataset, datasets
from reprolib.files import read_yaml, write_yaml
from reprolib.models.weights import save_weights
from reprolib.report import notebooks
from reprolib.runs import concurrent
from reprolib.runs.profile import profiles

PROJECT = Path(__file__).parents[2]
SIZE = (72, 64)
SHRUNK = {
    "dehazing": {"steps": 2, "batch": 10, "crop": 16, "validate_every": 2, "save_every": 2, "precision": "32-true"},
    "translation": {"steps": 2, "batch": 2, "load": 64, "crop": 64, "validate_every": 2, "save_every": 2,
                    "precision": "32-true", "distance": "vgg16"}}
SMALL = {"width": 4, "growth": 2, "blocks": 2, "content_depth": 1}
"""Options that a network may have, at a size that takes no time."""
FEW = {"aecrnet": 5, "cut": 3}
"""Runs of a system that are kept; one of any other."""
SPENT = ("steps", "batch", "crop", "load", "validate_every", "save_every", "precision", "distance", "seeds", "recipe")


def shrink(content: dict[str, Any]) -> dict[str, Any]:
    """A profile of the same systems, with a few of their runs, of which each takes a moment."""
    for task, settings in SHRUNK.items():
        if any(models.get(system).task == task for system in content["systems"]):
            known = content.setdefault("defaults", {})
            known[task] = {**drop(known.get(task) or {}), **settings}
    for system, settings in content["systems"].items():
        options = {k: v for k, v in SMALL.items() if k in models.defaults(system)}
        options |= {"width": 8} if system in ("munit", "drit", "kddn", "ffanet") else {}
        options |= {"blocks": 3} if system == "kddn" else {}
        settings = drop(settings) | {"network": {**settings.get("network", {}), **options}}
        if system in ("cut", "fastcut"):
            settings["objective"] = {**settings.get("objective", {}), "patches": 16}
        if system == "dcp":
            settings["steps"] = 0
        if system == "msbdn":
            settings["crop"] = 32  # its smallest
        if system in ("distancegan", "selfdistance"):
            settings["steps"] = 4  # the spread of distances needs several batches
        settings["loss"] = {k: v for k, v in settings.get("loss", {}).items() if k != "features"} or None
        settings = {k: v for k, v in settings.items() if (k, v) != ("loss", None)}
        few = list(settings["runs"].items())[: FEW.get(system, 1)]
        settings["runs"] = {name: small_run(run) for name, run in few}
        content["systems"][system] = settings
    if "segmenter" in content:
        content["segmenter"] = {"network": {"width": 4, "size": [64, 64]}, "crop": 64, "batch": 2, "steps": 2,
                                "validate_every": 2}
    return content


def drop(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in SPENT}


def small_run(run: dict[str, Any]) -> dict[str, Any]:
    run = drop(run)
    if "network" in run:
        run["network"] = {k: v for k, v in run["network"].items() if k not in SMALL}
    if "objective" in run:
        run["objective"] = {**run["objective"], **({"bank": 64} if "bank" in run["objective"] else {})}
    if isinstance(run.get("contrast"), dict):
        run["contrast"] = {**run["contrast"], "features": "vgg16"}
    return run


def embedded(dataset: Dataset, folder: Path) -> None:
    """Tiny pictures where an embedded dataset is made: a batch, and a few to look at."""
    for place, split in enumerate(dataset.splits):
        for i in range(12 if split == "train" else 3):
            seed = 1000 * place + i + sum(map(ord, dataset.name)) * 10_000
            clear = layouts.landscape(seed, SIZE)
            if dataset.kind == "scenes":
                write_png(folder / split / "clear" / f"{i}.png", clear)
                depth = np.linspace(255, 40, SIZE[1]).astype(np.uint8)
                write_png(folder / split / "depth" / f"{i}.png", np.broadcast_to(depth[:, None, None], clear.shape))
            elif dataset.task == "dehazing":
                write_png(folder / split / "clear" / f"{i}.png", clear)
                write_png(folder / split / "hazy" / f"{i}_1.png", layouts.under_haze(clear, 2, 0.9))
            elif dataset.source:
                label = layouts.labels.encode(layouts.street(seed, SIZE))
                write_png(folder / split / f"{i}.png", np.concatenate([clear, label], axis=1))
            else:
                write_png(folder / f"{split}A" / f"{i}.png", clear)
                write_png(folder / f"{split}B" / f"{i}.png", layouts.landscape(seed + 500, SIZE))


def scenes(folder: Path) -> None:
    """Pictures with depths, in millimetres, under which haze is drawn while training."""
    for scene in (*range(1, 13), *range(1351, 1354)):
        width, height = SIZE[0] + 20, SIZE[1] + 20  # with NYU's border
        write_png(folder / "images" / f"{scene}.png", layouts.landscape(50_000 + scene, (width, height)))
        depth = np.linspace(4000, 1000, height)[:, None].repeat(width, 1).astype(np.uint16)
        (folder / "depths").mkdir(exist_ok=True)
        Image.fromarray(depth).save(folder / "depths" / f"{scene}.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with all datasets, tiny, and random extractors."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("notebooks", "results"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns(*profiles(PROJECT)))
    layouts.install(folder, n=12, size=SIZE)
    for dataset in datasets().values():
        if dataset.embedded:
            embedded(dataset, folder / "data" / dataset.name)
    scenes(folder / "data" / "reside-its-like")
    torch.manual_seed(0)
    for name in ("vgg16", "vgg19"):
        save_weights(VGGFeatures(name, taps=((1, 2), (2, 2), (3, 3), (4, 3), (5, 1))).state_dict(),
                     folder / "weights" / f"{name}.safetensors")
    yield folder


def in_this_process(source: Path, output: Path, parameters: dict[str, Any], name: str) -> None:
    run_cells(source, parameters)
    output.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, output)


@pytest.mark.parametrize("profile", profiles(PROJECT))
def test_every_stage_runs(profile: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    monkeypatch.setattr(concurrent, "_shared", lambda: True)  # one after another, here
    monkeypatch.setattr(notebooks, "execute", in_this_process)
    target = place / "profiles" / profile
    target.mkdir(parents=True)
    shutil.copy(PROJECT / "profiles" / profile / "dvc.yaml", target)
    content = shrink(read_yaml(PROJECT / "profiles" / profile / "params.yaml"))
    write_yaml(target / "params.yaml", content)
    stages = read_yaml(target / "dvc.yaml")["stages"]
    for name, stage in stages.items():
        for key in content["systems"] if "foreach" in stage else [""]:
            words = stage.get("do", stage)["cmd"].replace("${this}", profile).replace("${key}", key).split()
            assert words[0] == "reprolib"
            assert command(words[1:]) == 0, f"{name} {key}"
    entries = json.loads((place / "results" / profile / "ledger.json").read_text())
    runs = [run for settings in content["systems"].values() for run in settings["runs"].values()]
    measured = [e for e in entries if e["record"] and e["evidence"] == "trained here"]  # often collapsed
    assert measured or all(run.get("rows") == [] for run in runs)
    made = {path.stem for path in (place / "results" / profile / "notebooks").glob("*.ipynb")}
    assert {e["table"] for e in measured} <= made, "a table that has a number has a notebook"
    assert (place / "results" / profile / "README.md").is_file()
