"""The picture of what CR does: two networks on one scene, with their scores."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reprolib import models
from reprolib.data import haze
from reprolib.errors import UserError
from reprolib.models.weights import Header, save_weights
from reprolib.report import twins
from reprolib.runs.profile import find
from reprolib.runs.rows import all_rows, difference

SMALL = {"width": 4, "blocks": 1}


def test_they_differ_in_the_term_and_in_the_precision_that_is_told(project: Path) -> None:
    without, with_cr = (find(twins.PROFILE, name, root=project) for name in twins.TWINS.values())
    assert difference(with_cr, all_rows()["table1/aecrnet"]) is None
    unlike = {key for key, value in without.settings.items() if value != with_cr.settings[key]}
    assert unlike == {"name", "rows", "contrast", "precision"} and without.settings["contrast"] is None


def test_it_is_drawn_with_scores_and_equal_when_drawn_again(tmp_path: Path, project: Path) -> None:
    shutil.copytree(project / "profiles" / "indoor", tmp_path / "profiles" / "indoor")
    with pytest.raises(UserError, match="no weights of 'aecrnet-no-cr'"):
        twins.write(tmp_path / "cr.jpg", tmp_path)
    assert not (tmp_path / "cr.jpg").exists()
    for step, name in enumerate(twins.TWINS.values(), start=7):
        place = tmp_path / "checkpoints" / "indoor" / "aecrnet" / name / "last.safetensors"
        place.parent.mkdir(parents=True)
        header = Header("aecrnet", SMALL, {"name": name, "profile": "indoor"}, step)
        save_weights(models.get("aecrnet").build(**SMALL), place, header=header)
    said = twins.write(tmp_path / "cr.jpg", tmp_path)
    assert [line.partition(":")[0] for line in said] == ["aecrnet-no-cr of profile indoor", "aecrnet of profile indoor"]
    before = (tmp_path / "cr.jpg").read_bytes()
    twins.write(tmp_path / "cr.jpg", tmp_path)
    assert (tmp_path / "cr.jpg").read_bytes() == before
    with Image.open(tmp_path / "cr.jpg") as picture:
        assert picture.width == 1440


def test_labels_say_the_scores_of_their_pictures(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_weights(models.get("aecrnet").build(**SMALL), path, header=Header("aecrnet", SMALL, {}, 1))
    row = twins.panels({"one": path})
    clear, _ = haze.motorcycle()
    error = row[0].picture.astype(float) - clear
    assert row[0].label.startswith(f"hazy: {10 * np.log10(255**2 / np.mean(error**2)):.2f} dB / ")
    assert row[1].label.startswith("one: ") and row[2].label == "clear"
    assert np.array_equal(row[2].picture, clear)
