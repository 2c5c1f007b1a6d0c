"""The variants of DCP: on which pictures, that each differs from the base in its choice, and what the table says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from reprolib.data.images import write_png
from reprolib.data.paired import PairedFolder, find_pairs
from reprolib.data.sample import choose_pictures
from reprolib.errors import UserError
from reprolib.evaluation import dcp_variants
from reprolib.evaluation.printed import IN_USE
from reprolib.metrics.protocols import measure
from reprolib.models.dehazing.dcp import DCP
from reprolib.models.inference import restore
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
    pairs = choose_pictures("sots-indoor", limit=4)
    assert pairs.names == ["1400_1", "1401_2", "1402_3", "1400_2"]
    everything = choose_pictures("sots-indoor", limit=500).names
    assert len(everything) == len(set(everything)) == 9
    assert choose_pictures("sots-indoor", limit=2).names == ["1400_1", "1401_2"]
    with pytest.raises(UserError, match="a limit of 0"):
        choose_pictures("sots-indoor", limit=0)


def test_every_variant_differs_from_the_base_as_its_words_say(sots: Path) -> None:
    pairs = list(PairedFolder(find_pairs(sots)[:1]))
    base = dcp_variants.VARIANTS[0]
    assert base == dcp_variants.Variant(base.choice)
    known = {"patch": "window", "t0": "t0", "omega": "omega", "airlight": "airlight"}
    for variant in dcp_variants.VARIANTS[1:]:
        DCP(**variant.options)
        assert dcp_variants.Variant(variant.choice) != variant
        assert all(word in variant.choice for option, word in known.items() if option in variant.options)
    frame = dcp_variants.measure_variants("sots-indoor", pairs)
    assert list(frame["choice"]) == [v.choice for v in dcp_variants.VARIANTS]
    assert frame["against base"][0] == 0
    assert frame["psnr"].nunique() > len(frame) / 2, "choices show"
    by_choice = frame.set_index("choice")
    hazy, clear = pairs[0].hazy, pairs[0].clear / 255
    by_hand = measure(restore(DCP(patch=3), hazy), clear)
    assert by_choice["psnr"]["window 3"] == pytest.approx(by_hand["psnr"], abs=0.006)
    in_bgr = measure(restore(DCP(), hazy), np.ascontiguousarray(clear[..., ::-1]))
    assert by_choice["psnr"]["result in BGR against a truth in RGB"] == pytest.approx(in_bgr["psnr"], abs=0.006)
    grey = {way.name: way for way in IN_USE}["grey"]
    assert by_choice["ssim grey"]["window 3"] == pytest.approx(
        measure(restore(DCP(patch=3), hazy), clear, grey)["ssim"], abs=6e-5)


def test_choices_are_named_by_their_first_words() -> None:
    base, *others = dcp_variants.VARIANTS
    assert dcp_variants.choose_variants([]) == (base, *others)
    assert [v.choice for v in dcp_variants.choose_variants(["window 3"])] == [
        base.choice, "window 31", "window 3", "window 3, no refinement"]
    assert dcp_variants.choose_variants(["soft"]) == (base, dcp_variants.MATTING)
    with pytest.raises(UserError, match="choice of DCP"):
        dcp_variants.choose_variants(["windows 3"])


def test_eight_bits_after_each_step() -> None:
    """Transmission and result are multiples of 1/255 and within half a step of the others, or of what they make."""
    hazy = torch.rand(1, 3, 40, 50)
    light = torch.full((1, 3, 1, 1), 0.9)
    steps = dcp_variants.EightBitDCP().transmission(hazy, light) * 255
    torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
    assert (steps / 255 - DCP().transmission(hazy, light).clamp(0, 1)).abs().max() <= 0.5001 / 255
    picture = dcp_variants.EightBitDCP()(hazy) * 255
    torch.testing.assert_close(picture, picture.round(), atol=1e-4, rtol=0)


def test_misregistration_is_by_the_border() -> None:
    """A ramp over x keeps its middle and is stretched by 640 / 620 about it."""
    x = np.linspace(0, 1, 620, dtype=np.float32)
    wrong = dcp_variants.misregistered(np.broadcast_to(x[None, :, None], (460, 620, 3)))
    assert wrong.shape == (460, 620, 3) and wrong.dtype == np.float32
    assert wrong[200, 310, 0] == pytest.approx(x[310], abs=2e-3)
    slope = (wrong[200, 610, 0] - wrong[200, 10, 0]) / (x[610] - x[10])
    assert slope == pytest.approx(620 / 640, abs=2e-3)


def test_conclusions_are_of_both_numbers_and_of_sots_only() -> None:
    frame = pd.DataFrame({"dataset": "sots-indoor", "pictures": 50, "choice": ["a", "b", "c"],
                          "psnr": [20.0, 15.05, 16.61], "ssim": 0.8, "ssim grey": [0.9, 0.6, 0.8175]})
    first, second, caution = dcp.conclusions(frame)
    assert "15.09 dB / 0.7649; no choice gives both; nearest in PSNR is 'b' with 15.05" in first
    assert "16.62 dB / 0.8179; both are given by 'c' with 16.61" in second
    assert "0.8000 (aecr), 0.8175 (grey) on 50 pictures" in second
    assert "no proof" in caution
    (other,) = dcp.conclusions(frame.assign(dataset="haze-homogeneous"))
    assert "not on SOTS" in other and "15.05 to 20.00" in other and "15.09" not in other


def test_of_a_choice_the_largest_set_of_pictures_counts() -> None:
    few = pd.DataFrame({"dataset": "sots-indoor", "pictures": 50, "choice": ["a"], "psnr": [15.09], "ssim": [0.7649]})
    frame = pd.concat([few.assign(pictures=500, psnr=15.4), few])
    assert "no choice gives both" in dcp.conclusions(frame)[0] and "on 500 pictures" in dcp.conclusions(frame)[0]


def test_the_written_table(sots: Path, tmp_path: Path) -> None:
    variants = (dcp_variants.VARIANTS[0], dcp_variants.Variant("omega 1", {"omega": 1.0}))
    pairs = list(choose_pictures("sots-indoor", 1))
    dcp.write(dcp_variants.measure_variants("sots-indoor", pairs, variants), tmp_path)
    frame = dcp.read(tmp_path)
    assert {"dataset", "pictures", "choice", "psnr", "ssim", "ssim grey", "ssim volume", "against base"} == set(frame)
    assert len(frame) == 2 and set(frame["pictures"]) == {1}
    text = (tmp_path / "results/published/tables/dcp_variants.md").read_text()
    assert "| omega 1 " in text and "15.09 dB / 0.7649" in text


def test_what_is_measured_joins_what_stands_there(tmp_path: Path) -> None:
    """Again on as many pictures replaces it; on others it stands beside; another dataset begins anew."""
    frame = pd.DataFrame({"dataset": "sots-indoor", "pictures": 50, "choice": ["a", "b"], "psnr": [20.0, 19.0],
                          "ssim": 0.8, "against base": [0.0, -1.0]})
    dcp.write(frame, tmp_path)
    dcp.write(frame[1:].assign(psnr=18.0), tmp_path)
    dcp.write(frame[1:].assign(pictures=12), tmp_path)
    again = dcp.read(tmp_path)
    assert again[["pictures", "choice", "psnr"]].values.tolist() == [[12, "b", 19.0], [50, "a", 20.0], [50, "b", 18.0]]
    dcp.write(frame.assign(dataset="haze-homogeneous"), tmp_path)
    assert set(dcp.read(tmp_path)["dataset"]) == {"haze-homogeneous"}
