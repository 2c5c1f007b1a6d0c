"""The README's first picture is drawn by whatever networks there are, and says how long they were trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reprolib import models
from reprolib.data import photos
from reprolib.errors import UserError
from reprolib.models.weights import Header, save_weights
from reprolib.report import teaser

SMALL = {"aecrnet": {"width": 4, "blocks": 1}, "cut": {"width": 4, "blocks": 1}}


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Untrained networks in the place of the best ones."""
    found = {}
    for step, (system, options) in enumerate(SMALL.items(), start=7):
        found[system] = tmp_path / f"{system}.safetensors"
        header = Header(system, options, {"name": "some", "profile": "tiny"}, step)
        save_weights(models.get(system).build(**options), found[system], header=header)
    monkeypatch.setattr(teaser, "trained", lambda system, **_: found[system])
    return found


def test_all_panels_are_of_one_photo_and_say_whose_networks_they_are(weights: dict[str, Path]) -> None:
    clear = photos.shrink(photos.load()[teaser.PHOTO])
    row = teaser.panels(clear, weights["aecrnet"], weights["cut"])
    assert [panel.label for panel in row] == ["hazy (synthetic)", "AECR-Net, trained here on pairs",
                                              "CUT, trained here without pairs", "clear"]
    assert len({panel.picture.shape for panel in row}) == 1
    assert row[0].picture.mean() > row[3].picture.mean(), "haze is lighter"
    assert teaser.PHOTO in photos.split("test")


def test_a_file_that_is_equal_when_drawn_again(weights: dict[str, Path], tmp_path: Path) -> None:
    drawn = tmp_path / "[a] $b" / "teaser.jpg"
    assert teaser.write(drawn, tmp_path)[1].startswith("some of profile tiny: ")
    before = drawn.read_bytes()
    teaser.write(drawn, tmp_path)
    assert drawn.read_bytes() == before
    with Image.open(drawn) as picture:
        assert picture.width == 1440 and np.asarray(picture).std() > 10


def test_without_a_network_the_picture_stays(tmp_path: Path, project: Path) -> None:
    shutil.copytree(project / "profiles" / "mini", tmp_path / "profiles" / "mini")
    with pytest.raises(UserError, match="no trained aecrnet"):
        teaser.write(tmp_path / "teaser.jpg", tmp_path)
    assert not (tmp_path / "teaser.jpg").exists()
