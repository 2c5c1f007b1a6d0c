"""What notebooks show: the project found from anywhere, runs by row and column, pictures through the registry."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from reprolib.data.images import write_png
from reprolib.data.registry import REGISTERED
from reprolib.errors import UserError
from reprolib.report import shown
from reprolib.runs.places import Places

PROFILE = """\
systems:
  aodnet: {runs: {toy: {dataset: dense-haze}}}
  dcp: {steps: 0, runs: {prior: {dataset: dense-haze}}}
"""
STAND_IN = PROFILE.replace("prior: {", "stand-in: {dataset: haze-dense}, prior: {")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose dataset is registered elsewhere, as the real one names its files."""
    (tmp_path / "profiles" / "tiny").mkdir(parents=True)
    (tmp_path / "profiles" / "tiny" / "params.yaml").write_text(PROFILE)
    elsewhere = tmp_path / "a $ [place]"
    for split in ("train", "test"):
        for i in range(51, 56):
            for side in ("hazy", "GT"):
                write_png(elsewhere / split / f"{i}_{side}.png", np.full((16, 20, 3), i, np.uint8))
                write_png(elsewhere / f"{i}_{side}.png", np.full((16, 20, 3), i, np.uint8))
    (tmp_path / REGISTERED).parent.mkdir()
    (tmp_path / REGISTERED).write_text(json.dumps({"dense-haze": str(elsewhere)}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    return tmp_path


def test_the_project_is_the_nearest_folder_with_profiles(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = root / "results" / "tiny" / "notebooks"
    deep.mkdir(parents=True)
    for place in (deep, root / "results", root):
        monkeypatch.chdir(place)
        shown.enter()
        assert Path.cwd() == root
    monkeypatch.chdir("/")
    shown.enter(deep)
    assert Path.cwd() == root
    monkeypatch.chdir("/")
    with pytest.raises(UserError, match="not in a reprolib project"):
        shown.enter()


def test_runs_by_row_and_column_on_one_dataset_the_benchmark_first(root: Path) -> None:
    (root / "profiles" / "tiny" / "params.yaml").write_text(STAND_IN)
    found = shown.find_runs("tiny", "table1", "dense-haze")
    assert {label: run.id for label, run in found.items()} == {"DCP": "prior", "AOD-Net": "toy"}
    assert list(found) == ["DCP", "AOD-Net"], "in the order of the table"
    assert shown.run_of("tiny", "table1/aodnet", "dense-haze").id == "toy"
    assert shown.find_runs("tiny", "table1", "sots") == {}
    with pytest.raises(UserError, match="no run of profile 'tiny' stands for table1/aodnet in column sots"):
        shown.run_of("tiny", "table1/aodnet", "sots")


def test_a_grid_of_registered_pictures_with_their_scores(root: Path) -> None:
    for run in shown.runs_of("tiny", "table1", "dense-haze").values():
        names = [p.name for p in shown.test_pictures("dense-haze", 3)]
        for name in names:
            write_png(Places(run).pictures / f"{name}.png", np.full((16, 20, 3), 200, np.uint8))
        Places(run).images.parent.mkdir(parents=True, exist_ok=True)
        Places(run).images.write_text("image,protocol,psnr,ssim,hazy_psnr,hazy_ssim\n" + "".join(
            f"{name},aecr,20.126,0.5,10.0,0.25\n" for name in names))
    rows = shown.grid("tiny", "table1", "dense-haze", 3)
    assert len(rows) == 3
    names = [picture.name for picture in shown.test_pictures("dense-haze", 3)]
    for name, row in zip(names, rows, strict=True):
        assert [panel.label for panel in row] == ["hazy", "DCP", "AOD-Net", "clear"] and all(p.aligned for p in row)
        assert row[0].text == "10.00 dB / 0.2500" and row[1].text == "20.13 dB / 0.5000"
        assert row[1].picture[0, 0, 0] == 200 and row[0].picture[0, 0, 0] == int(name.split("_")[0])
    compared = shown.table_comparison("tiny", "table1")
    assert compared is not None and compared.show(*compared.pictures).count("<img") == 4
    for kept in (compared._repr_mimebundle_()["text/html"], shown.comparison(shown.run_of("tiny", "table1/dcp",
                                                                                          "dense-haze"))):
        assert "Pictures of Dense-Haze" in kept and "<img" not in kept, "a benchmark's are not ours to publish"
    assert shown.table_comparison("tiny", "cut") is None


def test_a_figure_of_a_paper_is_titled_by_its_number_and_by_what_it_shows(root: Path) -> None:
    assert shown.title("figure7", "tiny", "table1", "dense-haze") == "Figure 7: Dense-Haze through every system"
    assert shown.title("failures", "tiny", "table1", "dense-haze", worst=True) == "Dense-Haze where AOD-Net does worst"
    (root / "profiles" / "tiny" / "params.yaml").write_text(STAND_IN)
    assert "Dense-Haze (here haze-dense) through" in shown.title("figure7", "tiny", "table1", "dense-haze"), \
        "of both, pictures that come along are shown"


def test_figures_of_fewer_pictures_show_the_first_of_the_others(root: Path) -> None:
    four, two, one = ([p.name for p in shown.test_pictures("dense-haze", count)] for count in (4, 2, 1))
    assert two == four[:2] and one == four[:1] and len(shown.test_pictures("dense-haze", 99)) == 5


def test_failures_are_the_smallest_gains_the_worst_first(root: Path) -> None:
    run = shown.run_of("tiny", "table1/aodnet", "dense-haze")
    names = [p.name for p in shown.test_pictures("dense-haze", 99)]
    Places(run).images.parent.mkdir(parents=True, exist_ok=True)
    Places(run).images.write_text("image,protocol,psnr,ssim,hazy_psnr,hazy_ssim\n" + "".join(
        f"{name},aecr,{psnr},0.5,10.0,0.25\n" for name, psnr in zip(names, (30, 12, 20, 8, 25), strict=True)))
    assert [picture.name for picture in shown.failures(run, 2)] == [names[3], names[1]]


def test_what_is_missing_is_said_in_a_line(root: Path) -> None:
    run = shown.run_of("tiny", "table1/aodnet", "dense-haze")
    with pytest.raises(UserError, match=r"no pictures of 'toy' yet .*run `reprolib measure toy`"):
        shown.comparison(run)
    with pytest.raises(UserError, match="'toy' is not trained yet"):
        shown.training_log(run)
    (root / REGISTERED).unlink()
    with pytest.raises(UserError, match="reprolib data register dense-haze PATH"):
        shown.comparison(run)


def test_a_notebook_shows_an_error_in_one_line() -> None:
    assert UserError("no ledger", where="x", fix="run y")._render_traceback_() == ["no ledger (x): run y"]
