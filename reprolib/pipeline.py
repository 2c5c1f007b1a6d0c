"""dvc.yaml, written from a profile and the import graph.

Each stage depends on exactly the modules that it runs, found in the source (`provenance.modules`), on its own part of
the profile and on what earlier stages made. So a change re-runs what it can affect and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from reprolib import models
from reprolib.data.registry import datasets, get_dataset
from reprolib.experiment import Experiment, experiments, read_profile
from reprolib.files import write_text
from reprolib.provenance import PACKAGE, modules

Stage = dict[str, Any]

HEADER = "# Written by `reprolib profile {profile}` from profiles/{profile}.yaml; edit that, not this.\n"


def build(profile: str, root: Path = Path()) -> dict[str, Any]:
    """The contents of dvc.yaml for a profile."""
    runs = list(experiments(profile, root).values())
    stages: dict[str, Stage] = {}
    if any(e.contrast and e.contrast.features == "vgg16" for e in runs):
        stages["vgg16"] = _stage("reprolib data prepare vgg16", code("reprolib.data.vgg16"), outs=["weights/vgg16.safetensors"])
    for name in sorted(datasets()):
        if get_dataset(name).embedded:
            stages[f"prepare-{name}"] = _stage(
                f"reprolib data prepare {name}",
                [*code("reprolib.data.prepare"), f"reprolib/data/manifests/{name}.yaml", "reprolib/data/photos.yaml"],
                outs=[f"data/{name}"],
            )
    for e in runs:
        if models.get(e.system).trained:
            stages[f"{profile}-train-{e.name}"] = _train(e, root)
        stages[f"{profile}-evaluate-{e.name}"] = _evaluate(e, root)
    return {"stages": stages | _reports(profile, runs)}


def _train(e: Experiment, root: Path) -> Stage:
    deps = [*code("reprolib.training.dehazing", models.module_of(e.system)), f"data/{e.dataset}"]
    if e.contrast and e.contrast.features == "vgg16":
        deps.append("weights/vgg16.safetensors")
    return _stage(
        f"reprolib train {e.name} --profile {e.profile} --resume", deps, params=_params(e, root),
        outs=[f"checkpoints/{e.profile}/{e.name}"], small=[f"results/{e.profile}/cost/{e.name}.json"],
    )


def _evaluate(e: Experiment, root: Path) -> Stage:
    deps = [*code("reprolib.evaluation", models.module_of(e.system)), f"data/{e.dataset}"]
    if models.get(e.system).trained:
        deps.append(f"checkpoints/{e.profile}/{e.name}")
    results = f"results/{e.profile}"
    return _stage(
        f"reprolib evaluate {e.name} --profile {e.profile}", deps, params=_params(e, root),
        outs=[f"outputs/{e.profile}/{e.name}"],
        small=[f"{results}/records/{e.name}.json", f"{results}/images/{e.name}.csv"],
    )


def _reports(profile: str, runs: list[Experiment]) -> dict[str, Stage]:
    """Everything that is drawn from records and trains nothing."""
    from reprolib.report.stages import NOTEBOOKS, PROTOCOL_SYSTEMS

    results = f"results/{profile}"
    records = [f"{results}/records/{e.name}.json" for e in runs]
    stages = {
        f"{profile}-ledger": _stage(
            f"reprolib report ledger --profile {profile}",
            [*code("reprolib.report.stages"), "reprolib/paper/cells.csv", "reprolib/paper/params.csv", *records],
            small=[f"{results}/ledger.{kind}" for kind in ("json", "csv", "md")]
            + [f"{results}/tables/{table}.{kind}" for table in ("table1", "table2", "table4", "cut") for kind in ("csv", "md")],
        ),
    }
    measured = [e for e in runs if e.dataset == "haze-homogeneous" and e.system in PROTOCOL_SYSTEMS and "table1/" + e.system in e.rows]
    stages[f"{profile}-protocols"] = _stage(
        f"reprolib report protocols --profile {profile}",
        [*code("reprolib.report.protocols", *(models.module_of(e.system) for e in measured)), "data/haze-homogeneous",
         *(f"checkpoints/{profile}/{e.name}" for e in measured if models.get(e.system).trained)],
        small=[f"{results}/tables/protocols.csv", f"{results}/tables/protocols.md"],
    )
    for name, notebook in NOTEBOOKS.items():
        needs = [path.format(profile=profile) for path in notebook.needs]
        stages[f"{profile}-notebook-{name}"] = _stage(
            f"reprolib report notebook {name} --profile {profile}",
            [*code("reprolib.report.notebooks", *notebook.modules), f"notebooks/{notebook.source}.ipynb", *needs],
            small=[f"{results}/notebooks/{name}.ipynb", *(f"{results}/figures/{f}.png" for f in notebook.figures)],
        )
    stages[f"{profile}-summary"] = _stage(
        f"reprolib report summary --profile {profile}",
        [*code("reprolib.report.summary"), f"{results}/ledger.json",
         *(f"{results}/cost/{e.name}.json" for e in runs if models.get(e.system).trained)],
        small=[f"{results}/README.md"],
    )
    return stages


def code(*entries: str) -> list[str]:
    """Paths of the modules that `entries` need, relative to the project."""
    return [path.relative_to(PACKAGE.parent).as_posix() for path in modules(*entries)]


def _params(e: Experiment, root: Path) -> list[dict[str, list[str]]]:
    """The parts of the profile that an experiment is merged from."""
    keys = ["defaults", f"experiments.{e.name}"]
    if e.system in (read_profile(e.profile, root).get("systems") or {}):
        keys.append(f"systems.{e.system}")
    return [{f"profiles/{e.profile}.yaml": keys}]


def _stage(cmd: str, deps: list[str], *, outs: list[str] | None = None, small: list[str] | None = None,
           params: list[dict[str, list[str]]] | None = None) -> Stage:
    """One stage; `outs` go to DVC's cache, `small` ones to Git."""
    stage: Stage = {"cmd": cmd, "deps": sorted(set(deps))}
    if params:
        stage["params"] = params
    stage["outs"] = [*(outs or []), *({path: {"cache": False}} for path in small or [])]
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
