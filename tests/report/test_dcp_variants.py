"""The variants of DCP: on which pictures, that each differs from the base in its choice, and what the table says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reprolib.data.images import write_png
from reprolib.data.paired import PairedFolder, find_pairs
from reprolib.errors import UserError
from reprolib.evaluation import dcp_variants
from reprolib.metrics.protocols import measure
from reprolib.models.dehazing.dcp import DCP
from reprolib.report import dcp


@pytest.fixture
def sots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three scenes with three versions each, 64x48, in place of SOTS."""
    random = np.random.default_rng(0)
    folder = tmp_path / "data" / "sots-indoor"
    for i in (1400, 1401, 1402):
        clear = random.integers(0, 200, (12, 16, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
        write_png(folder / "clear" / f"{i}.png", clear)
        for version in (1, 2, 3):
            t = 1 - 0.2 * version
            write_png(folder / "hazy" / f"{i}_{version}.png", (clear * t + 255 * (1 - t)).astype(np.uint8))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    return folder


def test_one_version_of_each_scene_and_of_every_strength(sots: Path) -> None:
    pairs = dcp_variants.choose_pictures("sots-indoor", limit=12)
    assert pairs.names == ["1400_1", "1401_2", "1402_3"]
    assert dcp_variants.choose_pictures("sots-indoor", limit=2).names == ["1400_1", "1401_2"]
    with pytest.raises(UserError, match="a limit of 0"):
        dcp_variants.choose_pictures("sots-indoor", limit=0)


def test_every_variant_is_one_choice_against_the_base(sots: Path) -> None:
    pairs = PairedFolder(find_pairs(sots)[:1])
    base = dcp_variants.VARIANTS[0]
    assert not base.options and base.protocol == "aecr" and not base.resized_truth
    known = {"matting": "soft matting", "patch": "window", "t0": "t0", "omega": "omega"}
    for variant in dcp_variants.VARIANTS[1:]:
        DCP(**variant.options)
        assert variant.options or variant.resized_truth
        assert all(word in variant.choice for option, word in known.items() if option in variant.options)
    quick = [v for v in dcp_variants.VARIANTS if v.options.get("refine") != "matting"]
    frame = dcp_variants.measure_variants("sots-indoor", list(pairs), quick)
    assert list(frame["choice"]) == [v.choice for v in quick]
    assert frame["against base"][0] == 0
    assert frame["psnr"].nunique() > len(quick) / 2, "choices show"
    pair = pairs[0]
    from reprolib.models.inference import restore

    by_hand = measure(restore(DCP(patch=3), pair.hazy), pair.clear / 255)["psnr"]
    assert frame.set_index("choice")["psnr"]["window 3"] == pytest.approx(by_hand, abs=0.006)


def test_misregistration_is_by_the_border() -> None:
    """A ramp over x keeps its middle and is stretched by 640 / 620 about it."""
    x = np.linspace(0, 1, 620, dtype=np.float32)
    wrong = dcp_variants.misregistered(np.broadcast_to(x[None, :, None], (460, 620, 3)))
    assert wrong.shape == (460, 620, 3) and wrong.dtype == np.float32
    assert wrong[200, 310, 0] == pytest.approx(x[310], abs=2e-3)
    slope = (wrong[200, 610, 0] - wrong[200, 10, 0]) / (x[610] - x[10])
    assert slope == pytest.approx(620 / 640, abs=2e-3)


def test_conclusions_name_the_nearest_choice_on_sots_only() -> None:
    frame = pd.DataFrame({"dataset": "sots-indoor", "choice": ["a", "b", "c"], "psnr": [20.0, 15.5, 17.0], "ssim": 0.8})
    first, second, caution = dcp.conclusions(frame)
    assert "15.09" in first and "'b' with 15.50" in first
    assert "16.62" in second and "'c' with 17.00" in second
    assert "no proof" in caution
    (other,) = dcp.conclusions(frame.assign(dataset="haze-homogeneous"))
    assert "not on SOTS" in other and "15.50 to 20.00" in other and "15.09" not in other


def test_the_written_table(sots: Path, tmp_path: Path) -> None:
    variants = (dcp_variants.VARIANTS[0], dcp_variants.Variant("omega 1", {"omega": 1.0}))
    pairs = list(dcp_variants.choose_pictures("sots-indoor", 1))
    dcp.write(dcp_variants.measure_variants("sots-indoor", pairs, variants), tmp_path)
    frame = pd.read_csv(tmp_path / "results/published/tables/dcp_variants.csv")
    assert list(frame.columns) == ["dataset", "pictures", "choice", "psnr", "ssim", "against base"]
    assert len(frame) == 2 and set(frame["pictures"]) == {1}
    text = (tmp_path / "results/published/tables/dcp_variants.md").read_text()
    assert "| omega 1 " in text and "prints 15.09 dB" in text
