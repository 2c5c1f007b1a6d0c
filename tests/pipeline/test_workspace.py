"""What DVC does to the files of profiles that stand side by side, and where the pipeline can be run at all."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.repo import Repo
from newcomer.conftest import Checkout

from reprolib.files import write_text, write_yaml

PROFILES = ("one", "two")
LEFT_BY_OTHERS = (".DS_Store", "._log.csv", "Thumbs.db", ".ipynb_checkpoints/log-checkpoint.csv",
                  ".best.safetensors.a1b2c3d4")


@pytest.fixture
def trained(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two profiles that have trained AOD-Net, in a cache of symbolic links, as people with much data have it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvcignore").write_bytes((project / ".dvcignore").read_bytes())
    stages = (project / "profiles/paper/dvc.yaml").read_text()
    for profile in PROFILES:
        folder = tmp_path / "profiles" / profile
        write_yaml(folder / "params.yaml", {"systems": {"aodnet": {"runs": {"aodnet-nh": {"dataset": "nh-haze"}}}}})
        write_text(folder / "inputs.json", json.dumps({"train": {"aodnet": {"code": profile}}}))
        (folder / "dvc.yaml").write_text(stages.replace("this: paper", f"this: {profile}"))
        weights = tmp_path / "checkpoints" / profile / "aodnet" / "aodnet-nh"
        weights.mkdir(parents=True)
        for name in ("last.safetensors", "best.safetensors", "log.csv"):
            (weights / name).write_text(f"{name} of {profile}")
    Repo.init(no_scm=True).close()
    with (tmp_path / ".dvc" / "config").open("a") as config:
        config.write("[cache]\n    type = symlink\n")
    in_dvc(lambda repo: [repo.commit(stage(profile), force=True) for profile in PROFILES])
    return tmp_path


def stage(profile: str) -> str:
    return f"profiles/{profile}/dvc.yaml:train@aodnet"


def in_dvc(do: Callable[[Repo], object]) -> object:
    """Whatever DVC remembers of a workspace is that of one command."""
    with Repo() as repo:
        return do(repo)


def test_kind_42_collecting_garbage_keeps_every_profiles_weights(trained: Path) -> None:
    """`dvc gc -w`, after a profile was trained anew: its old weights go, and nothing that stands here."""
    old = trained / "checkpoints/one/aodnet/aodnet-nh/last.safetensors"
    assert old.is_symlink()
    before = old.resolve()
    old.unlink()
    old.write_text("trained anew")
    in_dvc(lambda repo: repo.commit(stage("one"), force=True))
    in_dvc(lambda repo: repo.gc(workspace=True))
    assert not before.exists(), "there was garbage"
    assert old.read_text() == "trained anew"
    for profile, name in (("one", "best.safetensors"), ("one", "log.csv"), ("two", "last.safetensors"),
                          ("two", "best.safetensors"), ("two", "log.csv")):
        path = trained / "checkpoints" / profile / "aodnet" / "aodnet-nh" / name
        assert path.is_symlink() and path.read_text() == f"{name} of {profile}"
    assert in_dvc(lambda repo: repo.status([stage(profile) for profile in PROFILES])) == {}


def test_kind_21_what_file_browsers_and_killed_processes_leave_is_no_result(trained: Path) -> None:
    for name in LEFT_BY_OTHERS:
        path = trained / "checkpoints/one/aodnet/aodnet-nh" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("left here")
    assert in_dvc(lambda repo: repo.status([stage("one")])) == {}
    before = (trained / "profiles/one/dvc.lock").read_bytes()
    in_dvc(lambda repo: repo.commit(stage("one"), force=True))
    assert (trained / "profiles/one/dvc.lock").read_bytes() == before


def dvc(checkout: Checkout, *words: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(checkout.folder), "PATH": path or os.environ["PATH"]}
    return subprocess.run([sys.executable, "-m", "dvc", *words], cwd=checkout.folder, text=True, capture_output=True,
                          check=False, env=environment)


def test_kind_16_and_kind_18_without_git_or_an_activated_environment_the_readme_helps(checkout: Checkout,
                                                                                       project: Path) -> None:
    """A zip download; and `.venv/bin/dvc` where the environment is not activated."""
    (checkout.folder / ".dvc").mkdir()
    (checkout.folder / ".dvc" / "config").write_bytes((project / ".dvc" / "config").read_bytes())
    checkout.profile({"aodnet": {"runs": {"aodnet-nh": {"dataset": "nh-haze"}}}})
    inputs = ("repro", "profiles/tiny/dvc.yaml:inputs")
    assert "is not a git repository" in dvc(checkout, *inputs).stderr
    readme = (checkout.folder / "README.md").read_text()
    (line,) = re.findall(r"`dvc (config --local core.no_scm true)`", readme)
    assert dvc(checkout, *line.split()).returncode == 0

    done = dvc(checkout, *inputs)
    assert done.returncode == 0, done.stderr
    assert (checkout.folder / "profiles/tiny/inputs.json").is_file()

    bare = dvc(checkout, *inputs, path="/usr/bin:/bin")
    assert bare.returncode and re.search("reprolib: (command )?not found", bare.stderr)
    assert "`reprolib: not found`, activate the environment" in readme
