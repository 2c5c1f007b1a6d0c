"""The stages of the pipeline, written from a profile and the import graph.

Each stage depends on exactly the modules that it runs, found in the source (`provenance.modules`), on its own part of
the profile and on what earlier stages made. So a change re-runs what it can affect and nothing else. All experiments
of a system share a stage, which runs them side by side (`reprolib.jobs`).

The root's dvc.yaml has the reports; pipeline/*/dvc.yaml have what these need, one file a system. DVC rewrites the whole
of a dvc.lock after every stage of its dvc.yaml: with one lock for all 48 stages of `mini` that took 4 to 5 seconds each
time, more than 3 minutes of the pipeline.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from reprolib import models
from reprolib.code import evaluation_entries, training_entries
from reprolib.data.registry import datasets, get_dataset
from reprolib.experiment import Experiment, experiments, profiles, read_profile
from reprolib.files import write_text
from reprolib.provenance import PACKAGE, modules
from reprolib.report.catalogue import LEDGER_FILES, PROTOCOL_TABLES, Stage, protocol_runs, report_stages

Entry = dict[str, Any]
Stages = dict[str, Entry]

HEADER = "# Written by `reprolib profile {profile}` from profiles/{profile}.yaml; edit that, not this.\n"
REPORTS = Path("dvc.yaml")
"""The file that `dvc repro` starts from; it runs what this one needs from the others."""
PARTS = Path("pipeline")
"""Has a folder for each of the other files."""
VGG16 = "weights/vgg16.safetensors"
UNUSED = "motorcycle"
"""A dataset that no report needs: its stage stands with the reports, where `dvc repro` runs it all the same."""


def build(profile: str, root: Path = Path()) -> dict[Path, Stages]:
    """The stages of a profile by the file, relative to the project, that they stand in."""
    runs = list(experiments(profile, root).values())
    changed = set(read_profile(profile, root).get("systems") or {})
    used = {d for e in runs for d in (e.dataset, e.measured_on)}
    prepared = [n for n in datasets() if get_dataset(n).embedded and n in used and n != UNUSED]
    vgg16 = _entry("reprolib data prepare vgg16", code("reprolib.data.vgg16"), outs=[VGG16])
    files = {_part("data"): {"vgg16": vgg16} | {f"prepare-{name}": _prepare(name) for name in sorted(prepared)}}
    judged = sorted({e.measured_on for e in runs if _is_labelled(e)})
    if judged:
        files[_part("segmenter")] = {f"{profile}-segmenter-{name}": _segmenter(profile, name) for name in judged}
    for system in dict.fromkeys(e.system for e in runs):
        group = [e for e in runs if e.system == system]
        stages = files[_part(system)] = {}
        if models.get(system).trained:
            stages[f"{profile}-train-{system}"] = _train(profile, system, group, system in changed)
        stages[f"{profile}-evaluate-{system}"] = _evaluate(profile, system, group, system in changed)
    files[REPORTS] = {f"prepare-{UNUSED}": _prepare(UNUSED)} | _reports(profile, runs, bool(changed), root)
    return files


def all_stages(profile: str, root: Path = Path()) -> Stages:
    """The stages of a profile by name, of whichever file."""
    return {name: entry for stages in build(profile, root).values() for name, entry in stages.items()}


def _part(name: str) -> Path:
    return PARTS / name / "dvc.yaml"


def _prepare(dataset: str) -> Entry:
    deps = [*code("reprolib.data.prepare"), _manifest(dataset), *_lists()]
    return _entry(f"reprolib data prepare {dataset}", deps, outs=[f"data/{dataset}"])


def _train(profile: str, system: str, group: list[Experiment], changed: bool) -> Entry:
    deps = [*code(*(name for e in group for name in training_entries(e))),
            *(p for e in group for p in _data(e.dataset))]
    if any(map(_trains_with_vgg16, group)):
        deps.append(VGG16)
    # Kept while the stage runs again: an unfinished run goes on, and its best weights so far must still be there.
    return _entry(f"reprolib train {system} --profile {profile} --resume", deps, params=_params(group, changed),
                  kept=[f"checkpoints/{profile}/{e.name}" for e in group],
                  small=[f"results/{profile}/cost/{e.name}.json" for e in group])


def _evaluate(profile: str, system: str, group: list[Experiment], changed: bool) -> Entry:
    deps = [*code(*(name for e in group for name in evaluation_entries(e))),
            *(p for e in group for p in _data(e.measured_on))]
    if models.get(system).trained:
        deps += [f"checkpoints/{profile}/{e.name}" for e in group]
    if any(map(_is_judged_by_vgg16, group)):
        deps.append(VGG16)
    deps += [f"checkpoints/{profile}/segmenter-{e.measured_on}" for e in group if _is_labelled(e)]
    results = f"results/{profile}"
    small = [f"{results}/records/{e.name}.json" for e in group]
    if models.get(system).task == "dehazing":
        small += [f"{results}/images/{e.name}.csv" for e in group]
    return _entry(f"reprolib evaluate {system} --profile {profile}", deps, params=_params(group, changed),
                  outs=[f"outputs/{profile}/{e.name}" for e in group], small=small)


def _segmenter(profile: str, dataset: str) -> Entry:
    """The judge of label-to-photo translation, trained on the real pairs."""
    return _entry(f"reprolib train-segmenter {dataset} --profile {profile}",
                  [*code("reprolib.training.segmentation"), *_data(dataset)],
                  params=[{f"profiles/{profile}.yaml": ["segmenter"]}],
                  kept=[f"checkpoints/{profile}/segmenter-{dataset}"],
                  small=[f"results/{profile}/cost/segmenter-{dataset}.json"])


def _reports(profile: str, runs: list[Experiment], changed: bool, root: Path) -> Stages:
    """Everything that is drawn from records and trains nothing."""
    results = f"results/{profile}"
    translators = [e for e in runs if any(row.startswith("cut/") for row in e.rows)]
    stages: Stages = {}
    if translators:
        systems = sorted({models.module_of(e.system) for e in translators})
        methods = sorted({m for e in translators for m in training_entries(e)})
        stages[f"{profile}-cost"] = _entry(
            f"reprolib report cost --profile {profile}",
            [*code("reprolib.report.cost", *systems, *methods), *(p for e in translators for p in _data(e.dataset))],
            params=[{f"profiles/{profile}.yaml": ["systems", "cost"] if changed else ["cost"]}],
            small=[f"{results}/cost/translation.json"])
    stages[f"{profile}-ledger"] = _entry(
        f"reprolib report ledger --profile {profile}",
        [*code("reprolib.report.stages"), "reprolib/paper/cells.csv", "reprolib/paper/params.csv",
         *(f"{results}/records/{e.name}.json" for e in runs),
         *([f"{results}/cost/translation.json"] if translators else []),
         *(expected.as_posix() for expected in [Path("expected") / f"{profile}.json"] if (root / expected).is_file())],
        small=[f"{results}/{name}" for name in LEDGER_FILES])
    measured = protocol_runs(runs)
    if measured:
        stages[f"{profile}-protocols"] = _entry(
            f"reprolib report protocols --profile {profile}",
            [*code("reprolib.report.protocols", *(models.module_of(e.system) for e in measured)),
             *(p for e in measured for p in _data(e.measured_on)),
             *(f"checkpoints/{profile}/{e.name}" for e in measured if models.get(e.system).trained)],
            small=[f"{results}/{name}" for name in PROTOCOL_TABLES])
    for stage in report_stages(runs):
        stages[f"{profile}-{stage.name}"] = _report(profile, stage)
    stages[f"{profile}-summary"] = _entry(
        f"reprolib report summary --profile {profile}",
        [*code("reprolib.report.summary"), f"{results}/ledger.json",
         *(f"{results}/cost/{e.name}.json" for e in runs if models.get(e.system).trained)],
        small=[f"{results}/README.md"])
    return stages


def _report(profile: str, stage: Stage) -> Entry:
    needs = [path.format(profile=profile) for path in stage.needs]
    sources = [f"notebooks/{source}.ipynb" for source in stage.sources]
    return _entry(f"reprolib report {stage.command} --profile {profile}", [*code(*stage.modules), *sources, *needs],
                  small=[path.format(profile=profile) for path in stage.makes])


def code(*entries: str) -> list[str]:
    """Paths of the modules that `entries` need, relative to the project."""
    return [path.relative_to(PACKAGE.parent).as_posix() for path in modules(*entries)]


def _data(dataset: str) -> list[str]:
    """What stands for a dataset among dependencies: its folder, or the manifest of one that lies anywhere."""
    return [f"data/{dataset}"] if get_dataset(dataset).embedded else [_manifest(dataset)]


def _manifest(dataset: str) -> str:
    return f"reprolib/data/manifests/{dataset}.yaml"


def _lists() -> list[str]:
    """Which photos are used for what."""
    return sorted(f"reprolib/data/{path.name}" for path in (PACKAGE / "data").glob("*.yaml"))


def _trains_with_vgg16(e: Experiment) -> bool:
    perceptual = any(name in e.loss for name in ("perceptual", "distillation"))
    return (e.contrast is not None and e.contrast.features == "vgg16") or perceptual or _is_judged_by_vgg16(e)


def _is_judged_by_vgg16(e: Experiment) -> bool:
    return models.get(e.system).task == "translation" and e.distance == "vgg16"


def _is_labelled(e: Experiment) -> bool:
    """Whether what is translated to is judged by a segmenter."""
    return models.get(e.system).task == "translation" and get_dataset(e.measured_on).column == "cityscapes"


def _params(group: list[Experiment], changed: bool) -> list[dict[str, list[str]]]:
    """The parts of the profile that a system's experiments are merged from; `changed`: it has one for the system."""
    profile, system = group[0].profile, group[0].system
    keys = ["defaults", *(f"experiments.{e.name}" for e in group), *([f"systems.{system}"] if changed else [])]
    return [{f"profiles/{profile}.yaml": keys}]


def _entry(cmd: str, deps: list[str], *, outs: list[str] | None = None, kept: list[str] | None = None,
           small: list[str] | None = None, params: list[dict[str, list[str]]] | None = None) -> Entry:
    """One stage; `outs` and `kept` go to DVC's cache (kept ones are not deleted first), `small` ones to Git."""
    stage: Entry = {"cmd": cmd, "deps": sorted(set(deps))}
    if params:
        stage["params"] = params
    stage["outs"] = [*(outs or []), *({path: {"persist": True}} for path in kept or []),
                     *({path: {"cache": False}} for path in small or [])]
    return stage


def render(profile: str, root: Path = Path()) -> dict[Path, str]:
    """The text of each file; all paths in it are relative to the project."""
    texts = {}
    for file, stages in build(profile, root).items():
        if file != REPORTS:
            stages = {name: {"wdir": "../..", **entry} for name, entry in stages.items()}
        texts[file] = HEADER.format(profile=profile) + yaml.safe_dump({"stages": stages}, sort_keys=False, width=120)
    return texts


def on_disk(name: str, root: Path = Path()) -> list[Path]:
    """The files called `name`, dvc.yaml or dvc.lock, that are there: the root's, then the parts'."""
    return [*root.glob(name), *(root / PARTS).glob(f"*/{name}")]


def switch(profile: str, root: Path = Path()) -> None:
    """Make `profile` the one that `dvc repro` rebuilds."""
    texts = render(profile, root)
    params = root / "params.yaml"
    comment = "".join(line for line in params.read_text().splitlines(keepends=True) if line.startswith("#"))
    write_text(params, f"{comment}profile: {profile}\n")
    for path in on_disk("dvc.yaml", root):
        if path.relative_to(root) not in texts:
            path.unlink()
    for file, text in texts.items():
        write_text(root / file, text)
    prune(root)


def prune(root: Path = Path()) -> None:
    """Take stages that no profile has any more, or has in another file, out of each dvc.lock.

    What stays keeps its bytes: PyYAML would read a rate of 1:1, which DVC writes without quotes, as the number 61.
    """
    known: dict[Path, set[str]] = {}
    for profile in profiles(root):
        for file, stages in build(profile, root).items():
            known.setdefault(file.with_suffix(".lock"), set()).update(stages)
    for path in on_disk("dvc.lock", root):
        head, *entries = re.split(r"^(?=  \S)", path.read_text(), flags=re.MULTILINE)
        names = known.get(path.relative_to(root), set())
        kept = [entry for entry in entries if entry.partition(":")[0].strip() in names]
        if not kept:
            path.unlink()
        elif len(kept) < len(entries):
            write_text(path, head + "".join(kept))
    for folder in (root / PARTS).glob("*/"):
        if not any(folder.iterdir()):
            folder.rmdir()
