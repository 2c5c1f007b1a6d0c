"""Reading a profile: layers of settings, and every mistake as one line with file, run, key and the nearest key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reprolib import models
from reprolib.errors import UserError
from reprolib.files import write_yaml
from reprolib.models.objective import Contrast
from reprolib.runs.inputs import inputs
from reprolib.runs.places import Places
from reprolib.runs.profile import build_objective, checked, find, profiles, read_profile, select
from reprolib.runs.run import DehazingRun, TranslationRun
from reprolib.training.run import originate

PROJECT = Path(__file__).parents[2]


def profile(root: Path, systems: dict[str, Any], defaults: dict[str, Any] | None = None) -> Path:
    write_yaml(root / "profiles/p/params.yaml", {"defaults": defaults or {}, "systems": systems})
    return root


def said(root: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_profile("p", root)
    text = str(caught.value)
    assert "\n" not in text and "profiles/p/params.yaml" in text
    return text


AODNET = {"runs": {"small": {"dataset": "nh-haze"}}}


def test_layers_merge_from_the_objective_to_the_run(tmp_path: Path) -> None:
    root = profile(tmp_path, {"aecrnet": {
        "network": {"width": 16}, "contrast": {"start": 0.5},
        "runs": {"ours": {"dataset": "nh-haze", "network": {"blocks": 2}},
                 "star": {"dataset": "sots-indoor", "contrast": {"rate": "1:0"}, "rows": []},
                 "none": {"dataset": "nh-haze", "contrast": None}}}},
        {"dehazing": {"steps": 7, "schedule": {"warmup": 0.1}}})
    runs = read_profile("p", root).runs
    ours, star, none = (runs[name] for name in ("ours", "star", "none"))
    assert isinstance(ours, DehazingRun) and isinstance(star, DehazingRun) and isinstance(none, DehazingRun)
    assert ours.network == {"width": 16, "blocks": 2} and ours.steps == 7 and ours.schedule.warmup == 0.1
    assert ours.contrast == Contrast(start=0.5), "what makes AECR-Net itself needs no word in a profile"
    assert star.contrast == Contrast(start=0.5, rate="1:0")
    assert none.contrast is None and none.rows == (), "without CR it stands for no row of AECR-Net"
    assert ours.rows == ("table1/aecrnet",)


def test_a_published_recipe_lies_below_the_profile(tmp_path: Path) -> None:
    root = profile(tmp_path, {"aodnet": {**AODNET, "recipe": "published", "steps": 5}}, {"dehazing": {"batch": 3}})
    run = read_profile("p", root).runs["small"]
    assert isinstance(run, DehazingRun)
    assert run.steps == 5 and run.batch == 8 and run.loss == {"mse": 1.0} and run.optimiser.kind == "sgd"


def test_seeds_are_runs(tmp_path: Path) -> None:
    root = profile(tmp_path, {"aodnet": {"runs": {"small": {"dataset": "nh-haze", "seeds": 3}}}})
    runs = read_profile("p", root).runs
    assert list(runs) == ["small", "small-seed1", "small-seed2"] and [r.seed for r in runs.values()] == [0, 1, 2]
    assert all(r.own for r in runs.values()) and len({r.fingerprint for r in runs.values()}) == 3


@pytest.mark.parametrize(("settings", "words"), [
    ({"widht": 16}, ("small", "widht", "known")),
    ({"learning_rat": 1e-3}, ("small", "did you mean 'learning_rate'")),
    ({"network": {"width": 3}}, ("small", "network", "width")),
    ({"schedule": {"warm": 0.1}}, ("schedule", "did you mean 'warmup'")),
    ({"optimiser": {"kind": "adan"}}, ("optimiser.kind", "adam")),
    ({"steps": "3"}, ("steps", "integer")),
    ({"steps": -3}, ("steps", "greater than or equal to 0")),
    ({"seed": -1}, ("seed",)),
    ({"precision": "16-mixed"}, ("precision", "bf16-mixed")),
    ({"precision": "banana"}, ("precision", "banana")),
    ({"rows": ["table1/aodnett"]}, ("did you mean 'table1/aodnet'",)),
    ({"rows": ["table1/ffanet"]}, ("table1/ffanet", "its system is aodnet")),
    ({"dataset": "nh-haz"}, ("did you mean 'nh-haze'",)),
    ({"dataset": "horse2zebra"}, ("horse2zebra", "translation")),
    ({"objective": {}}, ("objective",)),
    ({"load": 36}, ("load",)),
    ({"seeds": 0}, ("seeds",)),
    ({"clip": 0.0}, ("clip",)),
    ({"contrast": {"rate": "a:b"}}, ("a:b",)),
    ({"contrast": {"weight": -1.0}}, ("negative weight",)),
    ({"loss": {"l1": -1.0}}, ("negative weight",)),
    ({"init": "smal"}, ("run 'small', init", "did you mean 'small'")),
    ({"init": "small"}, ("'small' would start from its own weights",)),
    ({"own": False}, ("'own' is not set in a profile",)),
    ({"system": "dcp"}, ("'system' is not set in a profile",)),
])
def test_a_mistake_of_a_dehazer_is_one_line(tmp_path: Path, settings: dict[str, Any], words: tuple[str, ...]) -> None:
    root = profile(tmp_path, {"aodnet": {"runs": {"small": {"dataset": "nh-haze", **settings}}}})
    text = said(root)
    assert all(word in text for word in words), text


def test_a_run_starts_from_a_trained_one_of_its_system(tmp_path: Path) -> None:
    first = {"dataset": "nh-haze", "seeds": 2}
    then = {"dataset": "nh-haze", "init": "first-seed1"}
    runs = read_profile("p", profile(tmp_path, {"aodnet": {"runs": {"then": then, "first": first}}})).runs
    assert runs["then"].init == "first-seed1" and runs["then"].own
    assert len({run.fingerprint for run in runs.values()}) == 3, "from where it starts is a part of what it computes"
    for systems in ({"aodnet": {"runs": {"then": {**then, "init": "first"}}}, "ffanet": {"runs": {"first": first}}},
                    {"aodnet": {"runs": {"a": first, "then": {**then, "init": "first"},
                                         "first": {"weights_of": "a", "test_dataset": "sots-indoor"}}}},
                    {"aodnet": {"runs": {"then": {**then, "init": "first"}, "first": {**then, "init": "then"}}}}):
        assert ", init" in said(profile(tmp_path, systems))


@pytest.mark.parametrize("settings", [
    {"clip": 0.1}, {"loss": {"l1": 1.0}}, {"channels_last": True}, {"optimiser": {"kind": "sgd"}},
    {"contrast": {"rate": "1:1"}}, {"objective": {"lamda_x": 1.0}}, {"objective": {"negatives": "extern"}},
    {"objective": {"tau": "0.07"}}])
def test_what_a_translator_has_not_is_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    said(profile(tmp_path, {"cut": {"runs": {"zebras": {"dataset": "horse2zebra", **settings}}}}))


def test_aecrnet_without_its_term_is_another_row(tmp_path: Path) -> None:
    run = {"dataset": "sots-indoor", "contrast": None, "rows": ["table2/ours"]}
    assert "contrast is null" in said(profile(tmp_path, {"aecrnet": {"runs": {"a": run}}}))
    run["rows"] = ["table2/base+dfe+mixup"]
    assert read_profile("p", profile(tmp_path, {"aecrnet": {"runs": {"a": run}}})).runs["a"].rows == tuple(run["rows"])


def test_a_default_of_all_systems_makes_none_of_them_another(tmp_path: Path) -> None:
    assert "contrast" in said(profile(tmp_path, {"aodnet": AODNET}, {"dehazing": {"contrast": {"rate": "1:1"}}}))
    assert "tasks" not in said(profile(tmp_path, {"aodnet": AODNET}, {"dehazig": {}}))
    assert "did you mean 'aodnet'" in said(profile(tmp_path, {"aodnett": AODNET}))


def test_a_checkpoint_is_measured_on_another_test_set_without_another_training(tmp_path: Path) -> None:
    root = profile(tmp_path, {"aodnet": {"steps": 9, "runs": {
        "net": {"dataset": "nh-haze", "steps": 7, "rows": ["table1/aodnet"], "seeds": 2},
        "net-rooms": {"weights_of": "net", "test_dataset": "sots-indoor"}}}})
    runs = read_profile("p", root).runs
    assert list(runs) == ["net", "net-seed1", "net-rooms", "net-rooms-seed1"]
    for seed in ("", "-seed1"):
        net, rooms = runs[f"net{seed}"], runs[f"net-rooms{seed}"]
        assert rooms.fingerprint == net.fingerprint and rooms.measured_on == "sots-indoor" and rooms.rows == net.rows
        assert Places(rooms).weights == Places(net).weights and Places(rooms).records != Places(net).records
        assert Places(rooms).pictures != Places(net).pictures
        assert inputs(read_profile("p", root), {}, root)["train"]["aodnet"]["runs"].keys() == {"net", "net-seed1"}
    with pytest.raises(UserError, match="'net-rooms' measures the checkpoint of 'net'.*reprolib train net"):
        originate(runs["net-rooms"], root, None, None)
    changed = find("p", "net-rooms", root=root, steps=3)
    assert not changed.weights_of and changed.steps == 3, "with other settings it is a training of its own"
    for settings, word in (({"weights_of": "nut"}, "net"), ({"weights_of": "net-rooms"}, "unknown"),
                           ({"weights_of": "net", "steps": 3}, "'steps' belongs to a run that is trained")):
        profile(tmp_path, {"aodnet": {"runs": {"net": {"dataset": "nh-haze"}, "net-rooms": settings}}})
        assert word in said(root)


def test_kind_20_yaml_is_read_by_the_rules_that_dvc_writes(tmp_path: Path) -> None:
    path = tmp_path / "profiles/p/params.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("systems:\n  aecrnet:\n    learning_rate: 1e-05\n    runs:\n"
                    "      a: {dataset: sots-indoor, contrast: {rate: 1:10}, rows: [table4/1:r]}\n")
    run = read_profile("p", tmp_path).runs["a"]
    assert isinstance(run, DehazingRun) and run.contrast is not None
    assert run.learning_rate == 1e-5 and run.contrast.rate == "1:10"


def test_kind_12_a_folder_whose_name_is_no_utf8_trains_nothing_and_is_named(tmp_path: Path) -> None:
    for side in (b"hazy", b"cl\xe9ar"):
        (tmp_path / os.fsdecode(side)).mkdir()
    own = os.fsdecode(b"hazy=%b/hazy,clear=%b/cl\xe9ar" % (os.fsencode(tmp_path), os.fsencode(tmp_path)))
    with pytest.raises(UserError, match=r"^the name of dataset is no UTF-8: .*cl\\udce9ar .*: rename the file"):
        find("p", "aodnet", own, profile(tmp_path, {"aodnet": AODNET}))


def test_a_changed_run_has_another_place(tmp_path: Path) -> None:
    root = profile(tmp_path, {"aodnet": AODNET})
    own = find("p", "small", root=root)
    assert own.own and own.id == "small"
    assert find("p", "aodnet", "nh-haze", root=root) == own, "the plain run of a system is the profile's, if it has it"
    short = find("p", "small", root=root, steps=1)
    assert not short.own and short.id != own.id and short.steps == 1
    assert find("p", "small", root=root, steps=own.steps) == own
    other = find("p", "aodnet", "dense-haze", root=root)
    assert not other.own and other.dataset == "dense-haze"
    assert [r.id for r in select("p", ["aodnet"], root=root)] == ["small"]
    with pytest.raises(UserError, match="steps"):
        find("p", "small", root=root, steps=-3)
    with pytest.raises(UserError, match="did you mean 'small'"):
        find("p", "smal", root=root)


def test_a_system_stands_for_all_its_runs(tmp_path: Path) -> None:
    several = {"runs": {"aodnet": {"dataset": "nh-haze", "seeds": 2}, "other": {"dataset": "dense-haze"}}}
    root = profile(tmp_path, {"aodnet": several})
    assert [r.id for r in select("p", ["aodnet", "other"], root=root)] == ["aodnet", "aodnet-seed1", "other"]
    assert len(select("p", ["aodnet"], root=root, seed=5)) == 2, "seeds of one run that become one are trained once"


def test_the_objective_of_a_translator_keeps_what_is_not_named(tmp_path: Path) -> None:
    settings = {"dataset": "horse2zebra", "objective": {"patches": 16}}
    run = read_profile("p", profile(tmp_path, {"fastcut": {"runs": {"zebras": settings}}})).runs["zebras"]
    assert isinstance(run, TranslationRun)
    objective = build_objective(run)
    assert vars(objective)["patches"] == 16 and vars(objective)["lambda_x"] == 10.0 and vars(objective)["flip"]


@pytest.mark.parametrize("name", profiles(PROJECT))
def test_every_profile_reads(name: str) -> None:
    assert all(run.own and run.profile == name for run in read_profile(name, PROJECT).runs.values())


def test_kind_31_no_run_calls_bf16_by_the_name_of_16_mixed() -> None:
    """Its loss scale would be part of the state, and a CPU has no such precision."""
    settings = {"name": "x", "profile": "mini", "system": "aodnet", "dataset": "haze-dense"}
    assert DehazingRun(**settings, precision="bf16-mixed").precision == "bf16-mixed"
    for precision in ("16-mixed", "16", "16-true"):
        with pytest.raises(ValidationError, match="precision"):
            DehazingRun(**settings, precision=precision)


@pytest.mark.parametrize("option", ["width", "blocks", "channels"])
def test_sizes_of_a_network_begin_with_1(option: str) -> None:
    with pytest.raises(UserError, match=rf"{option} is 0, which should be greater than or equal to 1"):
        checked(models.options_type("cut"), {option: 0}, "here")


@pytest.mark.parametrize("name", ["", ".", "..", "../../x", "a/b", "-a", ".hidden", "x" * 101, "a b", "a\n", 3])
def test_a_run_is_called_as_a_folder_can_be(tmp_path: Path, name: object) -> None:
    write_yaml(tmp_path / "profiles/p/params.yaml", {"systems": {"aodnet": {"runs": {name: {"dataset": "nh-haze"}}}}})
    assert "cannot be the name of a run" in said(tmp_path)


@pytest.mark.parametrize("content", [
    {"systems": {"aodnet": ["a"]}}, {"systems": {"aodnet": {"runs": ["a"]}}},
    {"systems": {"aodnet": {"runs": {"a": [1]}}}},
    {"defaults": {"dehazing": [1]}, "systems": {}}, {"segmenter": [1], "systems": {}}, {"defaults": 3, "systems": {}},
    {"defaults": {"dehazing": 3}, "systems": {}}])
def test_a_list_in_place_of_settings_is_told(tmp_path: Path, content: dict[str, Any]) -> None:
    write_yaml(tmp_path / "profiles/p/params.yaml", content)
    assert "not settings" in said(tmp_path)


def test_yaml_nested_without_end_is_told(tmp_path: Path) -> None:
    place = tmp_path / "profiles/p/params.yaml"
    place.parent.mkdir(parents=True)
    place.write_text("systems: " + "[" * 5000)
    assert "not YAML" in said(tmp_path)
