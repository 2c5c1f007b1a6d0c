"""dvc.yaml is current, and each stage declares what it runs and nothing of its neighbours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from reprolib.errors import UserError
from reprolib.experiment import Contrast, Schedule, active_profile, experiments, find, profiles, select
from reprolib.paper.cells import load
from reprolib.pipeline import build, render
from reprolib.provenance import modules
from reprolib.report.catalogue import notebooks


def test_dvc_yaml_is_current(project: Path) -> None:
    assert (project / "dvc.yaml").read_text() == render(active_profile(project), project), "run `reprolib profile NAME`"


def test_a_system_is_a_dependency_of_its_own_stages_only(project: Path) -> None:
    stages = build("mini", project)["stages"]
    aod = {n for n, s in stages.items() if "reprolib/models/dehazing/aodnet.py" in s["deps"]}
    assert aod == {"mini-train-aodnet", "mini-evaluate-aodnet", "mini-protocols"}
    assert "reprolib/models/layers/deformable.py" not in stages["mini-train-aodnet"]["deps"]
    assert "reprolib/models/layers/deformable.py" in stages["mini-train-aecrnet"]["deps"]
    assert not any("cli.py" in d for s in stages.values() for d in s["deps"])


def test_no_stage_writes_what_another_writes(project: Path) -> None:
    stages = build("mini", project)["stages"].values()
    outs = [next(iter(o)) if isinstance(o, dict) else o for s in stages for o in s["outs"]]
    assert len(outs) == len(set(outs))


def test_import_graph_sees_nested_imports() -> None:
    names = {p.name for p in modules("reprolib.evaluation.dehazing")}
    assert {"quality.py", "paired.py", "weights.py", "inference.py"} <= names
    assert not {"aecrnet.py", "loop.py", "unpaired.py"} & names


def test_one_task_s_code_is_no_part_of_the_other_s(project: Path) -> None:
    stages = build("mini", project)["stages"]
    for name, foreign in (("mini-train-aecrnet", ("unpaired", "translation", "patchnce")),
                          ("mini-train-cut", ("/paired.py", "terms", "models/dehazing"))):
        assert not [d for d in stages[name]["deps"] if any(word in d for word in foreign)], name


def test_every_row_of_the_papers_has_an_experiment(project: Path) -> None:
    rows = {r for e in experiments("mini", project).values() for r in e.rows}
    printed = {c.row for c in load() if c.value is not None}
    assert printed <= rows
    assert {f"negatives/{n}" for n in ("internal", "external", "both")} <= rows


def test_every_notebook_is_there_and_takes_its_parameters(project: Path) -> None:
    for notebook in notebooks(list(experiments("mini", project).values())).values():
        cells = json.loads((project / "notebooks" / f"{notebook.source}.ipynb").read_text())["cells"]
        (parameters,) = (c for c in cells if "parameters" in c["metadata"].get("tags", []))
        for name in ("profile", "root", *notebook.parameters):
            assert f"{name} = " in "".join(parameters["source"]), (notebook.name, name)


def test_every_row_of_tables_2_and_4_has_an_experiment(project: Path) -> None:
    rows = {r for e in experiments("mini", project).values() for r in e.rows}
    assert {f"table4/{r}" for r in ("1:1", "1:r", "r:1", "r:r")} <= rows
    assert len([r for r in rows if r.startswith("table2/")]) == 7


def test_a_system_stands_for_all_its_experiments(project: Path) -> None:
    named = [e.name for e in select("mini", ["fdu", "aodnet", "aodnet-dense"], root=project)]
    assert named == ["fdu-homogeneous", "aodnet-homogeneous", "aodnet-dense", "aodnet-nonhomogeneous"]
    (one,) = select("mini", ["aodnet"], "haze-dense", root=project, steps=7)
    assert (one.name, one.steps) == ("aodnet-dense", 7)
    with pytest.raises(UserError, match="no dataset given"):
        select("mini", ["gcanet"], root=project)


def test_experiments_merge_and_complain(project: Path) -> None:
    e = find("mini", "base", root=project)
    assert e.network == {"width": 16, "blocks": 3, "dfe": False, "mix": "none"} and e.contrast is None
    assert find("mini", "aecrnet", "haze-dense", root=project).name == "aecrnet-dense"
    assert e.fingerprint != find("mini", "base", root=project, seed=1).fingerprint
    for words, call in (
        ("did you mean 'aecrnet'", lambda: find("mini", "aecrne", "haze-dense", root=project)),
        ("no dataset given", lambda: find("mini", "aecrnet", root=project)),
        ("did you mean 'mini'", lambda: find("minni", "aecrnet", root=project)),
    ):
        with pytest.raises(UserError, match=words):
            call()


def test_a_published_recipe_goes_over_the_defaults_and_under_the_experiment(project: Path) -> None:
    paper = experiments("paper", project)
    assert paper["aecrnet-sots"].contrast == Contrast(weight=0.1, rate="1:1", features="vgg19")
    assert paper["base"].contrast is None
    assert paper["cr-star"].contrast == Contrast(weight=0.1, rate="1:0", features="vgg19")
    grid = paper["griddehazenet-sots"]
    assert (grid.batch, dict(grid.loss), grid.augment) == (18, {"smooth_l1": 1.0, "perceptual": 0.04}, False)
    assert paper["cut-horse2zebra"].schedule == Schedule(kind="linear", start=0.5)
    assert find("mini", "ffanet", "haze-dense", root=project, recipe="published", steps=7).learning_rate == 1e-4
    assert find("mini", "ffanet", "haze-dense", root=project).learning_rate == 2e-3


def test_profiles_are_read(project: Path) -> None:
    for name in profiles(project):
        assert yaml.safe_load((project / "profiles" / f"{name}.yaml").read_text())["experiments"]
        assert experiments(name, project)
