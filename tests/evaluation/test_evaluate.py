"""Given weights on a dataset, and anybody's pictures against their truths."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from evaluation.conftest import dehazing_run, leave_checkpoint, leave_segmenter, translation_run

from reprolib import metrics, models
from reprolib.data.images import list_images, read_rgb, write_png
from reprolib.data.paired import open_split
from reprolib.errors import UserError
from reprolib.evaluation import protocols
from reprolib.evaluation.evaluate import evaluate
from reprolib.evaluation.networks import count
from reprolib.evaluation.protocols import measure_protocols
from reprolib.evaluation.published import record
from reprolib.evaluation.record import read_records
from reprolib.evaluation.run import measure_run
from reprolib.evaluation.score import score
from reprolib.metrics.protocols import PROTOCOLS, measure
from reprolib.models.weights import read_header, read_state, save_weights
from reprolib.report import protocols as table


def strict(content: dict[str, object]) -> dict[str, Any]:
    """As a program reads what is printed; NaN and infinity are no JSON."""
    return dict(json.loads(json.dumps(content, allow_nan=False)))


def test_given_weights_give_what_the_pipeline_records(place: Path) -> None:
    run = dehazing_run()
    weights = leave_checkpoint(run)
    found = evaluate("aodnet", "nh-haze", weights=weights, pictures=place / "kept")
    for r in measure_run(run):
        assert found.scores[r.metric] == pytest.approx(r.value, abs=1e-6)
        assert found.input_scores[r.metric] == pytest.approx(r.input_value, abs=1e-6)
    said = strict(found.as_json())
    assert {"system": "aodnet", "dataset": "nh-haze", "protocol": "aecr", "n": 3, "reasons": {}}.items() <= said.items()
    assert {name for name in said if name.startswith("hazy_")} == {f"hazy_{name}" for name in metrics.names("pictures")}
    assert len(list_images(place / "kept")) == 3


def test_results_never_lie_among_the_pictures_of_a_dataset(place: Path) -> None:
    """Least of all over the truth, whose names they may have."""
    for hazy, clear in [paths for _, *paths in open_split("nh-haze", "test").files][:1]:
        before = {path: path.read_bytes() for path in (hazy, clear)}
        for folder in (hazy.parent, clear.parent):
            with pytest.raises(UserError, match="replace the input or its truth"):
                evaluate("dcp", "nh-haze", pictures=folder)
        assert before == {path: path.read_bytes() for path in before}


def test_a_part_by_another_protocol_and_one_metric(place: Path) -> None:
    found = evaluate("dcp", "nh-haze", limit=2, protocol="y", metrics=["psnr"])
    assert (found.n, found.protocol, list(found.scores)) == (2, "y", ["psnr"])


@pytest.mark.parametrize(("options", "said"), [
    ({"distance": "vgg16"}, "'distance' is no option of dehazing"),
    ({"protocol": "aec"}, "did you mean 'aecr'"),
    ({"metrics": ["psnrr"]}, "did you mean 'psnr'"),
    ({"metrics": ["fid"]}, "metric of sets"),
    ({"limit": 0}, "a limit of 0"),
])
def test_options_that_do_not_fit_a_dehazer(place: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        evaluate("dcp", "nh-haze", **options)


@pytest.mark.parametrize(("dataset", "options", "said"), [
    ("horse2zebra", {"protocol": "aecr"}, "'protocol' is no option of translation"),
    ("horse2zebra", {"metrics": ["miou"]}, "'horse2zebra' has no label maps"),
    ("cityscapes", {"metrics": ["miou"]}, "'miou' needs a segmenter"),
    ("horse2zebra", {"metrics": ["ssim"]}, "translations do not have"),
    ("horse2zebra", {"distance": "vgg"}, "did you mean 'vgg16'"),
])
def test_a_translator_is_refused_before_it_translates(place: Path, monkeypatch: pytest.MonkeyPatch, dataset: str,
                                                      options: dict[str, Any], said: str) -> None:
    monkeypatch.setattr(sys.modules["reprolib.evaluation.evaluate"], "translate_all", pytest.fail)
    with pytest.raises(UserError, match=said):
        evaluate("cut", dataset, network={"width": 4, "blocks": 1}, **options)


def test_a_translator_with_label_maps(place: Path, brightness: Callable[..., Any]) -> None:
    weights = leave_checkpoint(translation_run())
    found = evaluate("cut", "cityscapes", weights=weights, limit=2, segmenter=leave_segmenter("cityscapes"))
    said = strict(found.as_json())
    assert said["n"] == said["n_real"] == 2 and 0 <= said["miou"] <= 100
    assert "source_fd_vgg16" in said and "source_miou" not in said and said["details"]["fd_vgg16"] == {"resize": 128}


def test_kind_27_infinity_is_null_with_a_reason(place: Path, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    for folder in ("ours", "truth"):
        write_png(tmp_path / folder / "1.png", picture)
    said = strict(score(tmp_path / "ours", tmp_path / "truth").as_json())
    assert {row["protocol"] for row in said["protocols"]} == set(PROTOCOLS)
    for row in said["protocols"]:
        assert row["psnr"] is None and row["reasons"] == {"psnr": "infinite"} and row["ciede2000"] == 0


def test_scores_of_two_folders(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for i in (2, 10):
        write_png(tmp_path / "truth" / f"{i}.png", random.integers(0, 255, (20, 24, 3), dtype=np.uint8))
    for name in ("10_1", "2_1", "2_2"):
        write_png(tmp_path / "ours" / f"{name}.png", random.integers(0, 255, (20, 24, 3), dtype=np.uint8))
    found = score(tmp_path / "ours", tmp_path / "truth", ["ssim"])
    assert found.n == 3
    for name, values in found.protocols.items():
        by_hand = [measure(read_rgb(tmp_path / f"ours/{i}_{version}.png") / 255,
                           read_rgb(tmp_path / f"truth/{i}.png") / 255, name, ["ssim"])["ssim"]
                   for i, version in ((2, 1), (2, 2), (10, 1))]
        assert values == {"ssim": pytest.approx(np.mean(by_hand))}


def test_folders_that_do_not_match(tmp_path: Path) -> None:
    def put(path: str, size: int = 16) -> None:
        write_png(tmp_path / path, np.zeros((size, 16, 3), np.uint8))

    put("truth/1.png")
    put("ours/1.png")
    put("ours/[x] $.png")
    with pytest.raises(UserError, match=r"files without a truth \(1\): \[x\] \$\.png"):
        score(tmp_path / "ours", tmp_path / "truth")
    (tmp_path / "ours/[x] $.png").unlink()
    put("truth/2.png")
    with pytest.raises(UserError, match=r"files without a picture to score \(1\): 2\.png"):
        score(tmp_path / "ours", tmp_path / "truth")
    put("ours/2.png", 12)
    with pytest.raises(UserError, match="differ in size: 16x12 against 16x16 .*2.png"):
        score(tmp_path / "ours", tmp_path / "truth")
    (tmp_path / "ours/2.png").rename(tmp_path / "ours/2.bmp")
    put("ours/2.png")
    with pytest.raises(UserError, match="two pictures of one name"):
        score(tmp_path / "ours", tmp_path / "truth")
    with pytest.raises(UserError):
        score(tmp_path / "nowhere", tmp_path / "truth")


def test_a_run_under_every_protocol(place: Path) -> None:
    run = dehazing_run()
    leave_checkpoint(run)
    measured = measure_protocols([run])
    rows = {row.protocol: row.scores for row in measured}
    assert rows.keys() == PROTOCOLS.keys() and {row.pictures for row in measured} == {3}
    assert rows["aecr"] == {r.metric: pytest.approx(r.value, abs=1e-6) for r in measure_run(run)}
    assert rows["y"]["psnr"] != rows["aecr"]["psnr"] and rows["8bit"]["ciede2000"] != rows["aecr"]["ciede2000"]


def test_of_many_pictures_a_fixed_sample_is_measured(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = dehazing_run()
    leave_checkpoint(run)
    monkeypatch.setattr(protocols, "MOST", 2)
    measured = measure_protocols([run])
    assert {row.pictures for row in measured} == {2} and measured == measure_protocols([run])
    frame = written(measured)
    assert set(frame["pictures"]) == {2} and list(frame["protocol"]) == list(PROTOCOLS)


def written(rows: list[protocols.ProtocolRow]) -> pd.DataFrame:
    """As the notebook reads it."""
    table.write("protocols", rows, "test")
    table.forget(["protocols"], "test")
    return table.read("protocols", "test")


def test_authors_weights_are_recorded_with_their_sample(place: Path) -> None:
    weights = leave_checkpoint(dehazing_run())
    found = evaluate("aodnet", "nh-haze", weights=weights, limit=2)
    path = record(found, weights, limit=2)
    assert path == Path("results/published/records/aodnet/aodnet-nh-haze.json")
    records = {r.metric: r for r in read_records("published")}
    assert records.keys() == found.scores.keys()
    assert records["psnr"].value == pytest.approx(found.scores["psnr"], abs=1e-6) and records["psnr"].n == 2
    assert records["psnr"].note.startswith("last.safetensors, sha256 ") and "sample: 2 of 5" in records["psnr"].note


def test_the_size_of_authors_weights_is_that_of_their_file(place: Path) -> None:
    torch.save(models.get("ffanet").build(width=8, blocks=1).state_dict(), "theirs.pth")
    found = evaluate("ffanet", "nh-haze", weights=Path("theirs.pth"), limit=1)
    record(found, Path("theirs.pth"), limit=1)
    (psnr,) = (r for r in read_records("published") if r.metric == "psnr")
    built = count("ffanet", {"width": 8, "blocks": 1})
    assert (psnr.params, psnr.params_built) == (models.full_size_count("ffanet"), built)


def test_kind_13_evaluate_names_the_picture_that_a_network_cannot_take(place: Path, brightness: object) -> None:
    horse = list_images(next(place.rglob("testA")))[1]
    write_png(horse, np.zeros((3, 3, 3), np.uint8))
    weights = leave_checkpoint(translation_run())
    with pytest.raises(UserError, match=rf"cannot take 4x4 pixels \(.*{horse.name}\)"):
        evaluate("cut", "horse2zebra", weights=weights)
    pairs = open_split("nh-haze", "test")
    for path in pairs.files[1][1:]:
        write_png(path, np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(UserError, match=rf"cannot take 16x16 pixels \(.*{pairs.files[1][1].name}\)"):
        evaluate("msbdn", "nh-haze")


def test_kind_3_evaluate_names_the_picture_that_a_network_answers_with_no_numbers(
        place: Path, tmp_path: Path, brightness: object, monkeypatch: pytest.MonkeyPatch) -> None:
    dehazer, translator = leave_checkpoint(dehazing_run()), leave_checkpoint(translation_run())
    save_weights({name: tensor.abs() * 1e30 for name, tensor in read_state(dehazer).items()}, dehazer,
                 header=read_header(dehazer))  # each a number, their products none

    class NoNumbers(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * float("nan")

    monkeypatch.setattr(sys.modules["reprolib.evaluation.evaluate"], "one_way", lambda *_: NoNumbers())
    first = {"nh-haze": open_split("nh-haze", "test").files[0][1],
             "horse2zebra": list_images(next(place.rglob("testA")))[0]}
    for system, dataset, weights in (("aodnet", "nh-haze", dehazer), ("cut", "horse2zebra", translator)):
        with pytest.raises(UserError, match=rf"{system} answers with numbers that are not .*{first[dataset].name}"):
            evaluate(system, dataset, weights=weights, pictures=tmp_path / "kept")
        assert not (tmp_path / "kept").exists(), "no black picture"


def test_kind_13_score_names_the_picture_that_is_too_small(tmp_path: Path) -> None:
    for side in ("ours", "truth"):
        write_png(tmp_path / side / "1.png", np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(UserError, match=r"smaller than the 11x11 window of SSIM \(.*ours/1.png\)"):
        score(tmp_path / "ours", tmp_path / "truth")
