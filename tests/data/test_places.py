"""Settings that name a place: a mistyped one is told, an odd one is taken as it is, own data may be tracked by DVC."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from layouts import install
from typer.testing import CliRunner

from reprolib.commands.data import app
from reprolib.data.identity import is_here, lacking, why_absent
from reprolib.data.registry import REGISTERED, data_home, locate
from reprolib.data.unpaired import open_domains
from reprolib.errors import UserError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_kind_38_a_mistyped_place_is_refused_even_if_other_data_are_here(here: Path,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "data" / "nh-haze").mkdir(parents=True)
    assert data_home() is None and locate("nh-haze") == Path("data/nh-haze")
    monkeypatch.setenv("REPROLIB_DATA", str(here / "typo"))
    for ask in (data_home, lambda: locate("nh-haze"), lambda: open_domains("horse2zebra", "test")):
        with pytest.raises(UserError, match="REPROLIB_DATA names is no folder.*typo"):
            ask()
    (here / "typo").mkdir()
    with pytest.raises(UserError, match="REPROLIB_DATA names has no folder data/"):
        locate("nh-haze")
    (here / "typo" / "data").mkdir()
    assert data_home() == here / "typo" and locate("nh-haze") == Path("data/nh-haze"), "a good place may lack a dataset"
    monkeypatch.setenv("REPROLIB_DATA", "")
    assert data_home() is None


def test_kind_38_listing_tells_a_mistyped_place_too(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPROLIB_DATA", "/typo")
    assert isinstance(CliRunner().invoke(app, ["list"]).exception, UserError)


def test_kind_44_markup_in_a_path_is_printed_as_it_is(here: Path) -> None:
    odd = here / "set [old][/run] $HOME"
    places = install(odd, ["horse2zebra"])
    REGISTERED.parent.mkdir()
    REGISTERED.write_text(json.dumps({"horse2zebra": str(places["horse2zebra"]), "nh-haze": "/gone/[/x]"}))
    listed = CliRunner().invoke(app, ["list"], env={"COLUMNS": "400"}, catch_exceptions=False).stdout
    assert str(places["horse2zebra"]) in listed and "/gone/[/x] (gone)" in listed
    told = CliRunner().invoke(app, ["verify", "horse2zebra"], catch_exceptions=False).stdout
    assert f"horse2zebra in {places['horse2zebra']}: something is wrong" in told


def test_a_mistyped_place_is_not_taken_for_data_that_are_not_here(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they are not, records and digests stand: a typo must not let stale ones stand."""
    monkeypatch.setenv("REPROLIB_DATA", "/typo")
    for ask in (why_absent, is_here, lambda name: lacking([name])):
        with pytest.raises(UserError, match="REPROLIB_DATA names is no folder"):
            ask("nh-haze")
    monkeypatch.delenv("REPROLIB_DATA")
    assert lacking(["nh-haze"]) == ["nh-haze"] and not is_here("nh-haze")


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_kind_45_own_data_may_be_tracked_and_made_data_are_not(here: Path, project: Path) -> None:
    shutil.copy(project / ".gitignore", here)
    subprocess.run(["git", "init", "-q"], check=True)

    def ignored(path: str) -> bool:
        (here / path).parent.mkdir(parents=True, exist_ok=True)
        (here / path).touch()
        return subprocess.run(["git", "check-ignore", "-q", path]).returncode == 0

    assert not ignored("data/horse2zebra.dvc")
    assert ignored("data/horse2zebra/trainA/1.jpg") and ignored("data/haze-dense/haze.json")
