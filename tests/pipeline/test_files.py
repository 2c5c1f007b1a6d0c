"""The files of the pipeline: one text for all profiles, which lists what each of them needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from reprolib.data.registry import datasets
from reprolib.runs.inputs import reads
from reprolib.runs.profile import profiles, read_profile
from reprolib.runs.standing import WEIGHTS

PROJECT = Path(__file__).parents[2]
PROFILES = profiles(PROJECT)


def stages(profile: str) -> str:
    return (PROJECT / f"profiles/{profile}/dvc.yaml").read_text()


def outline(profile: str) -> str:
    """The text without the profile's name and what is made for it."""
    text = stages(profile).replace(f"this: {profile}\n", "this: NAME\n")
    return re.sub(r"    deps:\n(    - (data|weights)/.*\n)+", "", text, count=1)


@pytest.mark.parametrize("profile", PROFILES)
def test_all_profiles_have_the_same_stages(profile: str) -> None:
    assert outline(profile) == outline("mini")


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_made_for_a_profile_is_what_its_runs_read(profile: str) -> None:
    runs = read_profile(profile, PROJECT).runs.values()
    read = {name for r in runs for name in (r.dataset, r.measured_on)}
    read |= {part for name in read for part in datasets()[name].parts}
    needed = {f"data/{name}" for name in read if datasets()[name].embedded}
    needed |= {WEIGHTS[name].as_posix() for r in runs for name in reads(r) if name in WEIGHTS}
    assert set(yaml.safe_load(stages(profile))["stages"]["inputs"].get("deps", [])) == needed


def test_a_plain_repro_runs_every_stage_of_mini() -> None:
    """DVC goes up from the root's stages: what none of them needs, directly or through others, would never be made."""
    texts = stages("mini").replace("${this}", "mini"), (PROJECT / "dvc.yaml").read_text()
    mini, root = ({name: stage.get("do", stage) for name, stage in yaml.safe_load(text)["stages"].items()}
                  for text in texts)
    paths = lambda stage, *kinds: {  # noqa: E731
        next(iter(entry)) if isinstance(entry, dict) else entry for kind in kinds for entry in stage.get(kind, [])}
    needed, run = set().union(*(paths(stage, "deps", "params") for stage in root.values())), set()
    while found := {name for name, stage in mini.items() if name not in run and any(
            made == path or made.startswith(f"{path}/") or path.startswith(f"{made}/")
            for made in paths(stage, "outs", "metrics", "plots") for path in needed)}:
        run |= found
        needed |= set().union(*(paths(mini[name], "deps", "params") for name in found))
    assert run == set(mini)


def test_every_embedded_dataset_has_a_stage() -> None:
    made = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]["data"]["foreach"]
    assert set(made) == {name for name, dataset in datasets().items() if dataset.embedded}


def test_a_person_can_read_the_pipeline() -> None:
    lines = [*(PROJECT / "dvc.yaml").read_text().splitlines(), *stages("mini").splitlines()]
    assert len(lines) < 600
