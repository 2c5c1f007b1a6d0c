"""dvc.yaml is current, and each stage declares what it runs and nothing of its neighbours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from reprolib.errors import UserError
from reprolib.evaluation.run import reduced
from reprolib.experiment import Contrast, Schedule, active_profile, experiments, find, profiles, select
from reprolib.paper.cells import load
from reprolib.pipeline import build, prune, render
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


def test_lab_is_full_size_and_needs_no_download_of_weights(project: Path) -> None:
    mini, lab = experiments("mini", project), experiments("lab", project)
    assert list(lab) == list(mini)
    for e in lab.values():
        assert e.rows == mini[e.name].rows and e.recipe == "published" and not reduced(e), e.name
        assert e.steps <= 5000 and "features" not in e.loss and e.distance == "vgg16", e.name
        assert e.contrast is None or (e.contrast.features, e.contrast.start) == ("vgg16", 0.0), e.name


def test_the_lock_keeps_no_stage_that_is_gone(project: Path, tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "tiny.yaml").write_text("experiments: {a: {system: dcp, dataset: haze-dense}}\n")
    lock = tmp_path / "dvc.lock"
    entry = {"cmd": "x", "deps": [{"path": "a", "md5": "0", "size": 1}]}
    content = {"schema": "2.0", "stages": {"tiny-evaluate-dcp": entry, "tiny-evaluate-gone": entry}}
    lock.write_text(yaml.safe_dump(content))
    prune(tmp_path)
    assert yaml.safe_load(lock.read_text()) == {"schema": "2.0", "stages": {"tiny-evaluate-dcp": entry}}
    before = lock.read_bytes()
    prune(tmp_path)
    assert lock.read_bytes() == before
