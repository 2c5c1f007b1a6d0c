"""Printed numbers against protocols: what each variant computes, where the numbers come from, and sittings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from reprolib import papers
from reprolib.commands.report import report_printed
from reprolib.data.images import write_png
from reprolib.data.paired import PairedFolder, find_pairs
from reprolib.errors import UserError
from reprolib.evaluation import printed
from reprolib.metrics.protocols import Protocol, measure
from reprolib.models.dehazing.dcp import DCP
from reprolib.models.inference import restore
from reprolib.report import printed as report

Picture = NDArray[np.float64]


@pytest.fixture
def pair() -> tuple[Picture, Picture]:
    """Restored and clear, already in 8 bits."""
    random = np.random.default_rng(1)
    clear = random.integers(0, 256, (24, 30, 3)) / 255
    return np.round((clear * 0.8 + 0.1 * random.random(clear.shape)) * 255) / 255, clear


def way(name: str) -> Protocol:
    return {p.name: p for p in printed.IN_USE}[name]


def test_matlabs_volume_is_scikit_images_where_its_window_fits(pair: tuple[Picture, Picture]) -> None:
    """With outermost pixels and channels repeated, so that there are layers enough."""
    repeated = [np.pad(picture, 5, mode="edge") for picture in pair]
    expected = structural_similarity(*repeated, data_range=1, gaussian_weights=True, sigma=1.5,
                                     use_sample_covariance=False)
    assert measure(*pair, way("volume"), ["ssim"])["ssim"] == pytest.approx(expected, abs=1e-9)


def test_grey_and_luma_compare_one_plane(pair: tuple[Picture, Picture]) -> None:
    a, b = pair
    weights = np.array([0.2989, 0.587, 0.114])
    grey = [np.round(x @ weights * 255) / 255 for x in pair]
    scores = measure(a, b, way("grey"), ["psnr", "ssim"])
    assert scores["psnr"] == pytest.approx(-10 * np.log10(((grey[0] - grey[1]) ** 2).mean()))
    restored, clear = (np.repeat(x[..., None], 3, axis=2) for x in grey)
    assert scores["ssim"] == pytest.approx(measure(restored, clear, way("valid"), ["ssim"])["ssim"])
    luma = [x @ np.array([65.481, 128.553, 24.966]) / 255 for x in pair]
    expected = -10 * np.log10(((luma[0] - luma[1]) ** 2).mean())
    assert measure(a, b, way("luma"), ["psnr"])["psnr"] == pytest.approx(expected)


def test_twice_the_range_is_half_the_picture(pair: tuple[Picture, Picture]) -> None:
    a, b = pair
    halved = measure(a / 2, b / 2, way("skimage7"), ["ssim"])["ssim"]
    assert measure(a, b, way("uniform-range2"), ["ssim"])["ssim"] == pytest.approx(halved)


def test_ways_have_names_of_their_own_and_equal_pictures_are_equal_in_all(pair: tuple[Picture, Picture]) -> None:
    assert len({p.name for p in printed.IN_USE}) == len(printed.IN_USE)
    scores = printed.score_in_every_way(pair[1], pair[1])
    assert all(s["psnr"] == np.inf and s["ssim"] == pytest.approx(1) for s in scores.values())


def test_printed_numbers_are_the_papers_cells() -> None:
    """Every one that a table prints for these systems on this dataset, as it is printed there; none twice."""
    numbers = printed.printed_numbers(["aodnet", "griddehazenet", "gcanet"])
    keys = [(n.system, n.source, n.metric) for n in numbers]
    assert len(set(keys)) == len(keys)
    cells = {(c.row, c.column, c.metric): c.printed for p in papers.papers().values() for c in p.cells}
    for row in ("aodnet", "griddehazenet"):
        for metric in ("psnr", "ssim"):
            source, text = next((n.source, n.printed) for n in numbers if (n.system, n.metric) == (row, metric))
            assert source.endswith(f"table1/{row}") and text == cells[f"table1/{row}", "sots", metric]
    assert {n.source.split(" ")[0] for n in numbers if n.system == "gcanet"} == {"GCANet"}, "not a row of Table 1"


def test_the_same_within_half_a_printed_digit() -> None:
    number = printed.Printed("aodnet", "somewhere", "ssim", "0.8178")
    assert number.gives(0.81784) and number.gives(0.81776)
    assert not number.gives(0.81786) and not number.gives(0.81774)


@pytest.fixture
def pairs(tmp_path: Path, pair: tuple[Picture, Picture]) -> PairedFolder:
    for number in (1, 2, 3):
        for side, picture in zip(("hazy", "clear"), pair, strict=True):
            shifted = np.roll((picture * 255).astype(np.uint8), number, axis=0)
            write_png(tmp_path / "set" / side / f"{number}.png", shifted)
    return PairedFolder(find_pairs(tmp_path / "set"))


def test_what_is_kept_is_not_measured_again(pairs: PairedFolder, tmp_path: Path) -> None:
    """A run that is killed within a line loses that picture alone, and the next one goes on."""
    asked: list[bytes] = []

    def dehaze(hazy: NDArray[np.uint8]) -> NDArray[np.float32]:
        asked.append(hazy.tobytes())
        restored: NDArray[np.float32] = hazy.astype(np.float32) / np.float32(255)
        return restored

    kept = tmp_path / "sub" / "aodnet.jsonl"
    whole = printed.measure_pictures(dehaze, pairs, kept)
    assert list(whole) == ["1", "2", "3"] and len(asked) == 3
    kept.write_text(kept.read_text()[:-40])
    again = printed.measure_pictures(dehaze, pairs, kept)
    assert again == whole and asked[3:] == [pairs[2].hazy.tobytes()]
    assert printed.measure_pictures(dehaze, pairs, kept) == whole and len(asked) == 4
    kept.write_text('{"picture": "1", "scores": {"aecr": {"psnr": 1, "ssim": 1}}}\n')
    with pytest.raises(UserError, match="other protocols"):
        printed.measure_pictures(dehaze, pairs, kept)


def test_systems_keep_their_scores_by_weights(pairs: PairedFolder, tmp_path: Path) -> None:
    scores = printed.measure_systems({"dcp": None}, pairs, tmp_path / "kept")
    first = pairs[0]
    by_hand = measure(restore(DCP(), first.hazy), first.clear / 255, "aecr", ["psnr"])
    assert scores["dcp"][first.name]["aecr"]["psnr"] == by_hand["psnr"]
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["dcp-prior.jsonl"]
    with pytest.raises(UserError, match="system"):
        printed.measure_systems({"dpc": None}, pairs, tmp_path / "kept")


def test_the_table_says_which_protocol_prints_the_same(pairs: PairedFolder, tmp_path: Path) -> None:
    scores = printed.measure_pictures(lambda hazy: hazy / 255, pairs, tmp_path / "lines.jsonl")
    rows = printed.compare({"aodnet": scores})
    assert {r.protocol for r in rows if r.metric == "psnr"} == {p.name for p in printed.IN_USE} | {printed.SET_PSNR}
    assert not any(r.same for r in rows) and {r.pictures for r in rows} == {3}
    value = printed.means(list(scores.values()))["psnr"]["aecr"]
    assert value == pytest.approx(np.mean([s["aecr"]["psnr"] for s in scores.values()]))
    assert printed.Printed("aodnet", "somewhere", "psnr", f"{value:.2f}").gives(value)
    report.write(rows, tmp_path)
    assert report.read(tmp_path) == rows
    others = printed.compare({"gcanet": scores})
    report.write(others, tmp_path)
    report.write(rows, tmp_path)
    assert report.read(tmp_path) == [*rows, *others], "another system's rows are kept, the same one's replaced"
    answers = report.answers(rows)
    assert len(answers) == len(printed.printed_numbers(["aodnet"])) and set(answers["given by"]) == {"none"}
    markdown = (tmp_path / "results/published/tables/protocols_published.md").read_text()
    assert "| AOD-Net " in markdown and "19.82" in markdown


def test_the_command_goes_from_weights_to_the_table(
        pairs: PairedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in ("hazy", "clear"):
        for path in (tmp_path / "set" / side).iterdir():
            path.rename(path.with_name(f"140{path.name}"))
    monkeypatch.chdir(tmp_path)
    report_printed(["dcp"], root=tmp_path / "set")
    rows = report.read()
    assert {r.pictures for r in rows} == {3} and {r.system for r in rows} == {"dcp"}
    assert [path.name for path in Path("runs/published").iterdir()] == ["dcp-prior.jsonl"]


def test_a_table_that_was_not_measured_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="report printed"):
        report.read(tmp_path)
