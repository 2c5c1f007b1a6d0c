"""dvc.yaml, written from a profile and the import graph.

Each stage depends on exactly the modules that it runs, found in the source (`provenance.modules`), on its own part of
the profile and on what earlier stages made. So a change re-runs what it can affect and nothing else. All experiments
of a system share a stage, which runs them side by side (`reprolib.jobs`).
"""

from __future__ import annotations

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

HEADER = "# Written by `reprolib profile {profile}` from profiles/{profile}.yaml; edit that, not this.\n"
VGG16 = "weights/vgg16.safetensors"


def build(profile: str, root: Path = Path()) -> dict[str, Any]:
    """The contents of dvc.yaml for a profile."""
    runs = list(experiments(profile, root).values())
    stages = {"vgg16": _entry("reprolib data prepare vgg16", code("reprolib.data.vgg16"), outs=[VGG16])}
    used = {d for e in runs for d in (e.dataset, e.measured_on)}
    for name in sorted(n for n in datasets() if get_dataset(n).embedded and (n in used or n == "motorcycle")):
        deps = [*code("reprolib.data.prepare"), _manifest(name), *_lists()]
        stages[f"prepare-{name}"] = _entry(f"reprolib data prepare {name}", deps, outs=[f"data/{name}"])
    for dataset in sorted({e.measured_on for e in runs if _is_labelled(e)}):
        stages[f"{profile}-segmenter-{dataset}"] = _segmenter(profile, dataset)
    for system in dict.fromkeys(e.system for e in runs):
        group = [e for e in runs if e.system == system]
        if models.get(system).trained:
            stages[f"{profile}-train-{system}"] = _train(profile, system, group, root)
        stages[f"{profile}-evaluate-{system}"] = _evaluate(profile, system, group, root)
    return {"stages": stages | _reports(profile, runs, root)}


def _train(profile: str, system: str, group: list[Experiment], root: Path) -> Entry:
    deps = [*code(*(name for e in group for name in training_entries(e))),
            *(p for e in group for p in _data(e.dataset))]
    if any(map(_trains_with_vgg16, group)):
        deps.append(VGG16)
    # Kept while the stage runs again: an unfinished run goes on, and its best weights so far must still be there.
    return _entry(f"reprolib train {system} --profile {profile} --resume", deps, params=_params(group, root),
                  kept=[f"checkpoints/{profile}/{e.name}" for e in group],
                  small=[f"results/{profile}/cost/{e.name}.json" for e in group])


def _evaluate(profile: str, system: str, group: list[Experiment], root: Path) -> Entry:
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
    return _entry(f"reprolib evaluate {system} --profile {profile}", deps, params=_params(group, root),
                  outs=[f"outputs/{profile}/{e.name}" for e in group], small=small)


def _segmenter(profile: str, dataset: str) -> Entry:
    """The judge of label-to-photo translation, trained on the real pairs."""
    return _entry(f"reprolib train-segmenter {dataset} --profile {profile}",
                  [*code("reprolib.training.segmentation"), *_data(dataset)],
                  params=[{f"profiles/{profile}.yaml": ["segmenter"]}],
                  kept=[f"checkpoints/{profile}/segmenter-{dataset}"],
                  small=[f"results/{profile}/cost/segmenter-{dataset}.json"])


def _reports(profile: str, runs: list[Experiment], root: Path) -> dict[str, Entry]:
    """Everything that is drawn from records and trains nothing."""
    results = f"results/{profile}"
    translators = [e for e in runs if models.get(e.system).task == "translation"]
    stages: dict[str, Entry] = {}
    if translators:
        systems = sorted({models.module_of(e.system) for e in translators})
        methods = sorted({m for e in translators for m in training_entries(e)})
        stages[f"{profile}-cost"] = _entry(
            f"reprolib report cost --profile {profile}", code("reprolib.report.cost", *systems, *methods),
            params=[{f"profiles/{profile}.yaml": ["systems", "cost"]}], small=[f"{results}/cost/translation.json"])
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


def _params(group: list[Experiment], root: Path) -> list[dict[str, list[str]]]:
    """The parts of the profile that a system's experiments are merged from."""
    profile, system = group[0].profile, group[0].system
    keys = ["defaults", *(f"experiments.{e.name}" for e in group)]
    if system in (read_profile(profile, root).get("systems") or {}):
        keys.append(f"systems.{system}")
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


def render(profile: str, root: Path = Path()) -> str:
    """dvc.yaml as text."""
    return HEADER.format(profile=profile) + yaml.safe_dump(build(profile, root), sort_keys=False, width=120)


def switch(profile: str, root: Path = Path()) -> None:
    """Make `profile` the one that `dvc repro` rebuilds."""
    text = render(profile, root)
    params = root / "params.yaml"
    comment = "".join(line for line in params.read_text().splitlines(keepends=True) if line.startswith("#"))
    write_text(params, f"{comment}profile: {profile}\n")
    write_text(root / "dvc.yaml", text)
    prune(root)


def prune(root: Path = Path()) -> None:
    """Take stages that no profile has any more out of dvc.lock: DVC reads and writes all of it at every stage."""
    path = root / "dvc.lock"
    if not path.is_file():
        return
    lock = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # C: 20 times faster
    known = {stage for name in profiles(root) for stage in build(name, root)["stages"]}
    kept = {stage: content for stage, content in lock["stages"].items() if stage in known}
    if kept.keys() != lock["stages"].keys():
        write_text(path, yaml.safe_dump({**lock, "stages": kept}, sort_keys=False))
