"""Each dvc.yaml is current, and each stage declares what it runs and nothing of its neighbours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from reprolib import models
from reprolib.errors import UserError
from reprolib.evaluation.run import reduced
from reprolib.runs.experiment import Contrast, Schedule, active_profile, experiments, find, profiles, select
from reprolib.papers.cells import load
from reprolib.pipeline import PARTS, REPORTS, all_stages, build, prune, render, switch
from reprolib.runs.provenance import modules
from reprolib.report.catalogue import notebooks


def files(root: Path, name: str) -> dict[Path, str]:
    """The pipeline's files of a name, such as dvc.yaml, by path relative to `root`."""
    found = (*root.glob(name), *(root / PARTS).glob(f"*/{name}"))
    return {path.relative_to(root): path.read_text() for path in found}


def test_every_dvc_yaml_is_current(project: Path) -> None:
    assert files(project, "dvc.yaml") == render(active_profile(project), project), "run `reprolib profile NAME`"


def test_every_lock_belongs_to_the_stages_beside_it(project: Path) -> None:
    built = [build(name, project) for name in profiles(project)]
    for lock, text in files(project, "dvc.lock").items():
        own = {name for by_file in built for name in by_file.get(lock.with_suffix(".yaml"), {})}
        assert set(yaml.safe_load(text)["stages"]) <= own, lock


def test_a_system_has_a_file_of_its_own(project: Path) -> None:
    for profile in profiles(project):
        by_file, stages = build(profile, project), all_stages(profile, project)
        assert sum(map(len, by_file.values())) == len(stages), "two stages of one name"
        for system in {e.system for e in experiments(profile, project).values()}:
            wanted = {f"{profile}-{work}-{system}" for work in ("train", "evaluate")}
            assert set(by_file[PARTS / system / "dvc.yaml"]) == wanted & set(stages)
    assert not {"data", "segmenter"} & set(models.names())


def test_the_reports_need_every_stage(project: Path) -> None:
    """`dvc repro` starts from the root's dvc.yaml alone."""
    for profile in profiles(project):
        stages = all_stages(profile, project)
        maker = {next(iter(out)) if isinstance(out, dict) else out: n for n, s in stages.items() for out in s["outs"]}
        needed, waiting = set(), list(build(profile, project)[REPORTS])
        while waiting:
            needed.add(name := waiting.pop())
            waiting += {maker[d] for d in stages[name]["deps"] if d in maker} - needed
        assert needed == set(stages)


def test_there_and_back_to_another_profile_gives_the_same_bytes(project: Path, tmp_path: Path) -> None:
    for folder in ("profiles", "expected", PARTS):
        shutil.copytree(project / folder, tmp_path / folder)
    for file in ("params.yaml", "dvc.yaml", "dvc.lock"):
        shutil.copy(project / file, tmp_path)

    def everything() -> dict[Path, bytes]:
        return {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    switch(profile := active_profile(tmp_path), tmp_path)
    before = everything()
    switch(other := "samples" if profile != "samples" else "mini", tmp_path)
    assert active_profile(tmp_path) == other and files(tmp_path, "dvc.yaml") == render(other, tmp_path)
    assert files(tmp_path, "dvc.lock") == files(project, "dvc.lock")
    switch(profile, tmp_path)
    assert everything() == before


def test_a_system_is_a_dependency_of_its_own_stages_only(project: Path) -> None:
    stages = all_stages("mini", project)
    aod = {n for n, s in stages.items() if "reprolib/models/dehazing/aodnet.py" in s["deps"]}
    assert aod == {"mini-train-aodnet", "mini-evaluate-aodnet", "mini-protocols"}
    assert "reprolib/models/layers/deformable.py" not in stages["mini-train-aodnet"]["deps"]
    assert "reprolib/models/layers/deformable.py" in stages["mini-train-aecrnet"]["deps"]
    assert not any("cli.py" in d for s in stages.values() for d in s["deps"])


def test_no_stage_writes_what_another_writes(project: Path) -> None:
    stages = all_stages("mini", project).values()
    outs = [next(iter(o)) if isinstance(o, dict) else o for s in stages for o in s["outs"]]
    assert len(outs) == len(set(outs))


def test_import_graph_sees_nested_imports() -> None:
    names = {p.name for p in modules("reprolib.evaluation.dehazing")}
    assert {"quality.py", "paired.py", "weights.py", "inference.py"} <= names
    assert not {"aecrnet.py", "loop.py", "unpaired.py"} & names


def test_one_task_s_code_is_no_part_of_the_other_s(project: Path) -> None:
    stages = all_stages("mini", project)
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


LOCK = """schema: '2.0'
stages:
"""
ENTRY = """    cmd: x
    params:
      profiles/tiny.yaml:
        experiments.a:
          learning_rate: 1e-05
          contrast:
            rate: 1:1
"""


def test_no_lock_keeps_a_stage_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "tiny.yaml").write_text("experiments: {a: {system: dcp, dataset: haze-dense}}\n")
    (tmp_path / "params.yaml").write_text("profile: tiny\n")
    known = {"": "tiny-ledger", "data": "vgg16", "dcp": "tiny-evaluate-dcp"}
    for folder, stages in {"": ["tiny-ledger", "tiny-evaluate-dcp"], "data": ["vgg16"], "gone": ["tiny-evaluate-gone"],
                           "dcp": ["tiny-evaluate-gone", "tiny-evaluate-dcp", "small-evaluate-dcp"]}.items():
        lock = tmp_path / (PARTS / folder if folder else "") / "dvc.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.write_text(LOCK + "".join(f"  {stage}:\n{ENTRY}" for stage in stages))
    prune(tmp_path)
    kept = {PARTS / folder / "dvc.lock" if folder else Path("dvc.lock"): f"{LOCK}  {stage}:\n{ENTRY}"
            for folder, stage in known.items()}
    assert files(tmp_path, "dvc.lock") == kept, "each in its own file, to the byte"
    assert not (tmp_path / PARTS / "gone").exists()
    (tmp_path / PARTS / "aodnet").mkdir()
    (tmp_path / PARTS / "aodnet" / "dvc.yaml").write_text("stages: {}\n")
    switch("tiny", tmp_path)
    assert files(tmp_path, "dvc.lock") == kept
    assert files(tmp_path, "dvc.yaml") == render("tiny", tmp_path)
    assert {path.name for path in (tmp_path / PARTS).iterdir()} == {"data", "dcp"}
