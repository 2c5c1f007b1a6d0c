"""One scene by the rows of a table: whose checkpoints are here, by their labels, with scores that belong to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reprolib import models
from reprolib.data import haze
from reprolib.metrics.protocols import measure
from reprolib.models.weights import Header, save_weights
from reprolib.report import scene
from reprolib.report.scene import hazy_scene, picture_of, through_rows
from reprolib.report.shown import TestPicture
from reprolib.runs.places import Places
from reprolib.runs.profile import read_profile

SMALL = {"width": 4, "blocks": 1}
PROFILE = """
systems:
  aecrnet:
    network: {width: 4, blocks: 1}
    runs:
      none: {dataset: haze-homogeneous, contrast: null, rows: [table2/base+dfe+mixup]}
      ours: {dataset: haze-homogeneous, seeds: 2, rows: [table2/ours, "table4/1:1"]}
  cut: {runs: {cut: {dataset: photos-hazy2clear}}}
"""


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    (tmp_path / "profiles" / "mini").mkdir(parents=True)
    (tmp_path / "profiles" / "mini" / "params.yaml").write_text(PROFILE)
    for run in read_profile("mini", tmp_path).runs.values():
        if run.system == "aecrnet":
            folder = Places(run, tmp_path).checkpoint
            folder.mkdir(parents=True)
            save_weights(models.get("aecrnet").build(**SMALL), folder / "last.safetensors",
                         header=Header("aecrnet", SMALL, {"name": run.name, "profile": "mini"}, 1))
    return tmp_path


def test_every_row_with_a_checkpoint_stands_between_the_hazy_and_the_clear_scene(trained: Path) -> None:
    row = through_rows("mini", "table2", trained)
    assert [panel.label for panel in row] == ["hazy", "base+DFE+mixup", "Ours", "clear"]
    clear, _ = haze.motorcycle()
    assert (row[-1].picture == clear).all() and row[0].picture.mean() > clear.mean()
    scores = measure(row[0].picture / 255, clear / 255, metrics=("psnr", "ssim"))
    assert row[0].text == f"{scores['psnr']:.2f} / {scores['ssim']:.4f}"
    assert all(panel.picture.shape == clear.shape and panel.picture.dtype == np.uint8 for panel in row)


def test_one_row_is_no_comparison(trained: Path) -> None:
    assert through_rows("mini", "table4", trained) == []
    assert through_rows("mini", "negatives", trained) == []


def test_a_table_of_systems_has_figures_of_its_own(trained: Path) -> None:
    assert through_rows("mini", "table1", trained) == []


def test_a_network_is_looked_into_with_a_picture_that_may_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = np.zeros((8, 8, 3), np.uint8)
    monkeypatch.setattr(scene, "test_pictures", lambda *_: [TestPicture("1", mine, mine, "")])
    assert picture_of("haze-homogeneous") is mine
    assert np.array_equal(picture_of("sots-indoor"), hazy_scene()[0])
