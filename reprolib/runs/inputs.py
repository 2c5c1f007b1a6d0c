"""profiles/NAME/inputs.json: what the stages of a profile read, as digests, for DVC to compare.

The pipeline's first stage writes it each time, within seconds. It is JSON since DVC reads it again for each stage, and
its parser for YAML takes a hundred times longer. A stage depends on its own entry, so that a reworded
message trains nothing, a changed layer trains its system and what reads it, and `git diff` shows which system's code or
data moved. Data that are not on this machine keep the digest that they were last seen with, so that their stages and
the records in Git stand. Where the pictures that a run made are not here either, its measuring is told, and runs again
once the data have come.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reprolib import models
from reprolib.data.identity import dataset_identity, file_identity, identify, is_here, lacking
from reprolib.data.registry import get_dataset
from reprolib.files import read_yaml, write_text
from reprolib.runs.digests import code_digest, measuring_digest, resource_digest, training_digest
from reprolib.runs.places import Places
from reprolib.runs.profile import Profile, TaskRun, read_profile
from reprolib.runs.run import DehazingRun, TranslationRun
from reprolib.runs.standing import COSTS, PUBLISHED, WEIGHTS, inputs_file, made_from, remember

Inputs = dict[str, Any]

ABSENT = "absent"
"""Stands for data that were never seen here."""

NOT_HERE = ", not here"
"""Follows the digest of data that a stage would need now."""

DRAWING = ("notebooks", "figures", "tables", "claims", "dcp", "learning", "offsets", "printed", "protocols", "ratio",
           "scene", "similarity")
"""Modules of `reprolib.report` that a profile's notebooks call, directly or through others."""

LOSS_READS = {"perceptual": "vgg16", "perceptual_plain": "vgg16-torchvision", "features": "vgg19"}
"""Terms of a dehazer's loss that compare features."""


def write(profile: str, root: Path = Path()) -> Path:
    """Write the file anew.

    Raises:
        UserError: no such profile, or a mistake in it.
    """
    path = inputs_file(profile, root)
    before = read_yaml(path) if path.is_file() else {}  # JSON is YAML
    settings = read_profile(profile, root)
    made = made_from(profile, _all_datasets(settings), root)  # first: what changes meanwhile is noticed next time
    write_text(path, json.dumps(inputs(settings, before, root), indent=1, sort_keys=True) + "\n")
    remember(profile, made, root)
    return path


def inputs(profile: Profile, before: Mapping[str, Any], root: Path = Path()) -> Inputs:
    """Digests by stage and system; `before` is what the file held, for data that are not here."""
    seen = {name: _identity(name, before) for name in _all_datasets(profile)}
    systems = profile.systems
    return {
        "data": seen,
        "train": {s: _training(profile.of_system(s), seen, root) for s in systems},
        "measure": {s: _measuring(profile.of_system(s), seen, root) for s in systems},
        "segmenter": {"code": code_digest("reprolib.training.segmentation"),
                      "data": {d: seen[d] for d in labelled(profile)},
                      "read_by": {s: labelled(profile, s) for s in systems}},  # a new system, too, needs its entry
        "ledger": {"code": code_digest("reprolib.results.ledger", "reprolib.report.ledger"),
                   "read": resource_digest("papers/**/*"),
                   "kept": _files(root, f"profiles/{profile.name}/expected.json", COSTS,
                                  "results/published/records/*/*.json")},
        "plots": {"code": code_digest("reprolib.report.plots")},
        "protocols": {"code": code_digest("reprolib.evaluation.protocols", *(models.module_of(s) for s in systems)),
                      "data": _tested(profile.runs.values(), seen, root)},
        "notebooks": {"code": code_digest(*(f"reprolib.report.{name}" for name in DRAWING)),
                      "kept": _files(root, *PUBLISHED)},
        "summary": {"code": code_digest("reprolib.report.summary")},
    }


def measured_from(run: TaskRun, root: Path = Path()) -> Inputs:
    """What measuring one run reads, beside its checkpoint; records name the training data, too."""
    seen = {name: _identity(name, {}) for name in dict.fromkeys((run.dataset, run.measured_on))}
    return {**_measuring([run], seen, root), "named": seen}


def labelled(profile: Profile, system: str | None = None) -> list[str]:
    """Datasets of label maps that translators of a profile, or one of them, are measured on; each needs a segmenter."""
    runs = profile.runs.values() if system is None else profile.of_system(system)
    return sorted({r.measured_on for r in runs
                   if isinstance(r, TranslationRun) and get_dataset(r.measured_on).label_maps})


def reads(run: TaskRun) -> tuple[str, ...]:
    """Extractors whose weights training or measuring a run reads."""
    names: set[str] = set()
    if isinstance(run, DehazingRun):
        names |= {LOSS_READS[term] for term in run.loss if term in LOSS_READS}
        names |= {run.contrast.features} if run.contrast else set()
    else:
        names.add(run.distance)
    return tuple(sorted(names))


def _training(runs: list[TaskRun], seen: Mapping[str, str], root: Path) -> Inputs:
    if not models.get(runs[0].system).trained:
        return {"code": "nothing is trained"}
    return {"runs": {r.id: r.fingerprint for r in runs if not r.weights_of}, "code": training_digest(runs[0]),
            "data": {r.dataset: seen[r.dataset] for r in runs}, "weights": _weights(runs, root)}


def _measuring(runs: list[TaskRun], seen: Mapping[str, str], root: Path) -> Inputs:
    return {"code": {r.id: measuring_digest(r) for r in runs},
            "data": _tested(runs, seen, root),
            "weights": _weights([r for r in runs if isinstance(r, TranslationRun)], root)}


def _tested(runs: Iterable[TaskRun], seen: Mapping[str, str], root: Path) -> Inputs:
    """Digests of what runs are measured on."""
    runs = list(runs)
    missing = lacking(run.measured_on for run in runs if not _any_in(Places(run, root).pictures))
    return {run.measured_on: seen[run.measured_on] + NOT_HERE * (run.measured_on in missing) for run in runs}


def _any_in(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _weights(runs: Iterable[TaskRun], root: Path) -> Inputs:
    names = sorted({name for run in runs for name in reads(run)})
    return {name: _file(root / WEIGHTS[name]) if name in WEIGHTS else "by its library" for name in names}


def _file(path: Path) -> str:
    return file_identity(path).digest if path.is_file() else ABSENT


def _files(root: Path, *patterns: str) -> str:
    found = sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()})
    return identify((path.relative_to(root).as_posix(), path) for path in found).digest


def _all_datasets(profile: Profile) -> list[str]:
    return sorted({name for run in profile.runs.values() for name in (run.dataset, run.measured_on)})


def _identity(name: str, before: Mapping[str, Any]) -> str:
    """Digests of the manifest, and those of its parts, and of every file of a dataset that is here."""
    if not is_here(name):
        return str((before.get("data") or {}).get(name, ABSENT))
    manifests = [resource_digest(f"data/manifests/{one}.yaml") for one in (name, *get_dataset(name).parts)]
    return "-".join([*manifests, dataset_identity(name).digest])

