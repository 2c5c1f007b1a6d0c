"""The gallery of real pictures: those that are at hand, the others named, figures of whose scores are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pytest

from reprolib.errors import UserError
from reprolib.metrics.protocols import measure
from reprolib.report import pictures


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the notebook is told, in place of executing it."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(pictures, "execute", lambda source, output, parameters: found.append(parameters))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    return found


def test_datasets_at_hand_are_shown_and_the_others_named_in_a_line(told: list[dict[str, Any]], tmp_path: Path) -> None:
    layouts.install(tmp_path, ["nh-haze", "sots-indoor"], n=2)
    pictures.write([], ["dcp"], Path("out/gallery.ipynb"), "mini")
    (parameters,) = told
    assert {name for name, _ in parameters["datasets"]} == {"nh-haze", "sots-indoor"}
    assert any(line.startswith("Dense-Haze is not at hand: ") for line in parameters["notes"])
    assert all("\n" not in line for line in parameters["notes"]) and parameters["systems"] == [["dcp", None]]


def test_what_was_asked_for_must_be_there(told: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no real dataset of pairs is at hand"):
        pictures.write([], ["dcp"], Path("gallery.ipynb"), "mini")
    with pytest.raises(UserError):
        pictures.write(["nh-haze"], ["dcp"], Path("gallery.ipynb"), "mini")
    place = layouts.lay_out("nh-haze", tmp_path / "[a] $b", 2)
    pictures.write([f"nh-haze={place}"], ["dcp"], Path("gallery.ipynb"), "mini")
    assert told[0]["datasets"] == [["nh-haze", str(place.resolve())]] and told[0]["notes"] == []


def test_whose_weights_they_are_is_told(told: list[dict[str, Any]], tmp_path: Path, project: Path) -> None:
    """Those that were given by their file, the project's own by its profile and length."""
    place = layouts.lay_out("nh-haze", tmp_path / "pairs", 2)
    pictures.write([f"nh-haze={place}"], ["aodnet=theirs.pth", "aecrnet"], Path("gallery.ipynb"), root=project)
    theirs, own = told[0]["notes"]
    assert theirs == "AOD-Net: theirs.pth" and "aecrnet" in own and "profile" in own and "steps" in own


def test_panels_hold_what_was_made_with_its_scores(told: list[dict[str, Any]], tmp_path: Path) -> None:
    layouts.install(tmp_path, ["nh-haze"], n=2)
    rows = pictures.restored("nh-haze", None, [("dcp", None)], 2)
    for row in rows:
        assert [panel.label for panel in row] == ["hazy", "DCP", "clear"]
        score = measure(row[0].picture / 255.0, row[2].picture / 255.0)
        assert row[0].text == f"{score['psnr']:.2f} dB / {score['ssim']:.4f}" != row[1].text
        assert not np.array_equal(row[0].picture, row[1].picture)
    assert "NH-HAZE" in pictures.heading("nh-haze") and "Ancuti" in pictures.heading("nh-haze")
