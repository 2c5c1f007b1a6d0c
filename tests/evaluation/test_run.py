"""From a checkpoint to records: what they take from it, and which checkpoints are refused."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation.conftest import dehazing_run, leave_checkpoint, leave_segmenter, translation_run

from reprolib import models
from reprolib.commands.train import segmenter
from reprolib.data.images import list_images, read_rgb, write_image
from reprolib.errors import UserError
from reprolib.evaluation import translation
from reprolib.evaluation.record import read_file
from reprolib.evaluation.run import forget, measure_run
from reprolib.files import write_yaml
from reprolib.metrics import Score
from reprolib.metrics.ciede2000 import ciede2000
from reprolib.models.objective import Contrast
from reprolib.models.weights import Header, save_weights
from reprolib.runs import inputs
from reprolib.runs.digests import measuring_digest, measuring_entries, modules
from reprolib.runs.places import Places
from reprolib.runs.profile import Profile
from reprolib.runs.rows import metrics_of


def test_a_record_says_what_the_checkpoint_says(place: Path) -> None:
    run = dehazing_run()
    leave_checkpoint(run)
    records = measure_run(run)
    assert records == read_file(Path("results/test/records/aodnet/tiny.json"))
    assert [r.metric for r in records] == metrics_of(run)
    for r in records:
        assert (r.steps, r.batch, r.crop, r.training_code, r.data) == (7, 3, 16, "the-code", {"nh-haze": "the-data"})
        assert (r.status, r.checkpoint, r.reduced, r.params_built) == ("ok", "last", False, r.params)
        assert r.fingerprint == run.fingerprint and r.objective == {"loss": {"l1": 1.0}} and r.contrast is None
        assert r.code_hash == measuring_digest(run, "the-code") != measuring_digest(run)


def test_the_mean_over_pictures_is_recorded_and_pictures_stand_beside(place: Path) -> None:
    run = dehazing_run()
    leave_checkpoint(run)
    records = {r.metric: r for r in measure_run(run)}
    with Path("results/test/images/aodnet/tiny.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    for name, r in records.items():
        assert r.value == pytest.approx(np.mean([float(row[name]) for row in rows]), abs=1e-5)
        assert r.input_value == pytest.approx(np.mean([float(row[f"hazy_{name}"]) for row in rows]), abs=1e-5)
    written = list_images(Path("outputs/test/aodnet/tiny"))
    assert [p.stem for p in written] == [row["image"] for row in rows] and len(rows) == records["psnr"].n == 3
    # the picture is 8 bits of what was measured
    name = rows[0]["image"]
    restored = read_rgb(written[0]) / 255
    clear = read_rgb(next(place.rglob(f"{name}_GT.png"))) / 255
    assert ciede2000(restored, clear) == pytest.approx(float(rows[0]["ciede2000"]), abs=0.3)


def test_records_of_pictures_that_are_not_here_stand(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = dehazing_run()
    leave_checkpoint(run)
    records = measure_run(run)
    kept = Places(run).records.read_bytes()
    pictures = next(place.rglob("NH-HAZE"))
    pictures.rename(place / "elsewhere")
    assert inputs._tested([run], {"nh-haze": "seen"}, place) == {"nh-haze": "seen"}, "nothing is to be made"
    shutil.rmtree(Places(run).pictures.parent)
    assert measure_run(run) == records and Places(run).records.read_bytes() == kept
    assert capsys.readouterr().err == "tiny: the registered folder of 'nh-haze' has gone; its records stand\n"
    assert not list(Places(run).pictures.parent.iterdir()), "the output of the stage, with no picture in it"
    assert inputs._tested([run], {"nh-haze": "seen"}, place) == {"nh-haze": "seen, not here"}
    # Nothing stands in for records that were never made, nor where the present code is to measure into another place.
    with pytest.raises(UserError, match="has gone"):
        measure_run(run, into=place / "again")
    Places(run).records.unlink()
    with pytest.raises(UserError, match="has gone"):
        measure_run(run)
    (place / "elsewhere").rename(pictures)
    assert inputs._tested([run], {"nh-haze": "seen"}, place) == {"nh-haze": "seen"}, "another one: it is measured again"
    assert measure_run(run) == records and Places(run).records.read_bytes() == kept


def test_only_runs_of_the_profile_keep_their_numbers(place: Path) -> None:
    former, run = dehazing_run(name="former"), dehazing_run(system="dcp")
    for each in (former, run):
        for path in (Places(each).records, Places(each).images):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        Places(each).pictures.mkdir(parents=True)
    now = Profile("test", {r.id: r for r in (dehazing_run(name="v1.5"), run)}, {})
    kept = Places(now.runs["v1.5"])
    for path in (kept.records, kept.images):
        path.write_text("")
    forget(now, "aodnet")
    left = {path.name for path in Path("results/test").rglob("*.*")}
    assert left == {"v1.5.json", "v1.5.csv", "tiny.json", "tiny.csv"}
    assert not Places(former).pictures.exists() and Places(run).pictures.is_dir()


def test_a_table_alone_asks_for_ciede2000(place: Path) -> None:
    assert "ciede2000" in metrics_of(dehazing_run()) and "ciede2000" not in metrics_of(dehazing_run(rows=()))
    assert set(metrics_of(dehazing_run(rows=()))) == {"psnr", "ssim"}


def test_features_of_a_run_decide_what_fills_the_cells_of_fid() -> None:
    assert "fd_vgg16" in metrics_of(translation_run()) and "fid" not in metrics_of(translation_run())
    assert "fid" in metrics_of(translation_run(distance="inception"))
    assert "miou" not in metrics_of(translation_run()) and "miou" in metrics_of(translation_run(dataset="cityscapes"))


@pytest.mark.parametrize(("changes", "said"), [
    ({"steps": 100}, "steps 7, now 100"), ({"seed": 1}, "seed 0, now 1"),
    ({"contrast": Contrast(rate="1:2")}, "contrast null, now .*1:2")])
def test_a_checkpoint_of_another_run_is_refused(place: Path, changes: dict[str, Any], said: str) -> None:
    leave_checkpoint(dehazing_run())
    run = dehazing_run(**changes)
    path = Places(run).weights
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(Places(dehazing_run()).weights.read_bytes())
    with pytest.raises(UserError, match=f"other settings: {said}.*reprolib train tiny --profile test") as error:
        measure_run(run)
    assert "\n" not in str(error.value) and not Path("results").exists()


def test_what_is_not_a_training_is_not_compared(place: Path) -> None:
    """Rows, notes and where else it is measured may change in a profile without another training."""
    leave_checkpoint(dehazing_run())
    run = dehazing_run(rows=(), note="a note")
    assert {(r.rows, r.note.partition(";")[0]) for r in measure_run(run)} == {((), "a note")}


@pytest.mark.parametrize("header", [Header("aodnet"), Header("aodnet", {}, {"name": "tiny", "colour": "red"})])
def test_a_checkpoint_without_a_run_that_is_known_is_refused(place: Path, header: Header) -> None:
    run = dehazing_run()
    save_weights(models.get("aodnet").build(), Places(run).weights, header=header)
    with pytest.raises(UserError, match="checkpoint .*: run `reprolib train tiny --profile test`"):
        measure_run(run)


def test_no_checkpoint(place: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint of 'tiny'"):
        measure_run(dehazing_run())


def test_a_prior_has_nothing_of_a_training(place: Path) -> None:
    run = dehazing_run(system="dcp", rows=("table1/dcp",))
    for r in measure_run(run):
        assert (r.checkpoint, r.steps, r.batch, r.crop, r.objective, r.params) == ("none", 0, 0, 0, {}, 0)
        assert r.code_hash == measuring_digest(run) and not r.reduced


def test_contrast_and_size_are_recorded(place: Path) -> None:
    contrast = Contrast(weight=0.2, rate="1:2", layer_weights=(0.0, 0.0, 0.0, 0.0, 1.0))
    run = dehazing_run(system="aecrnet", network={"width": 4, "blocks": 1}, contrast=contrast, rows=())
    leave_checkpoint(run)
    records = measure_run(run)
    assert records == read_file(Places(run).records)
    for r in records:
        assert r.reduced and 0 < r.params_built < r.params
        assert r.contrast is not None and r.features == "vgg16"
        assert (r.contrast["rate"], r.contrast["weight"], r.contrast["layer_weights"]) == ("1:2", 0.2, [0, 0, 0, 0, 1])


def test_an_ablation_at_full_width_is_not_reduced(place: Path) -> None:
    from reprolib.evaluation.checkpoint import common_fields, training_of

    run = dehazing_run(system="aecrnet", network={"dfe": False, "mix": "none"}, rows=("table2/base",))
    leave_checkpoint(run)
    fields = common_fields(run, training_of(run), 3)
    assert fields["params_built"] < fields["params"] and not fields["reduced"]


def test_a_run_of_ones_own_writes_nowhere_else(place: Path) -> None:
    run = dehazing_run(own=False)
    leave_checkpoint(run)
    measure_run(run)
    assert not any(Path(name).exists() for name in ("results", "outputs", "checkpoints"))
    assert {p.name for p in Places(run).work.iterdir()} >= {"records.json", "images.csv", "pictures"}


def test_last_fills_the_table_and_best_stands_beside_it(place: Path, brightness: Callable[..., Any]) -> None:
    run = translation_run()
    leave_checkpoint(run, seed=1)
    leave_checkpoint(run, step=2, file="best", seed=2)
    records = measure_run(run)
    assert [(r.metric, r.checkpoint, r.tabled) for r in records] == [
        (name, checkpoint, checkpoint == "last") for checkpoint in ("last", "best on validation")
        for name in metrics_of(run)]
    real, sources = ([read_rgb(p) for p in list_images(next(place.rglob(f"test{d}")))] for d in "BA")
    fakes = [read_rgb(p) for p in list_images(Path("outputs/test/cut/tiny-cut"))]

    def level(pictures: list[np.ndarray]) -> float:
        return float(np.mean([p.mean() for p in pictures]))

    assert records[0].value == pytest.approx(abs(level(real) - level(fakes)), abs=1e-5)
    assert records[0].input_value == pytest.approx(abs(level(real) - level(sources)), abs=1e-5)
    assert records[0].value != records[-2].value
    assert {(r.n, r.n_real, r.reduced, r.steps, r.protocol) for r in records} == {(3, 3, True, 5, "vgg16")}
    assert records[0].objective["patches"] == 16 and "negatives" in records[0].objective


def test_label_maps_are_scored_by_the_segmenter_of_the_profile(place: Path, brightness: Callable[..., Any]) -> None:
    run = translation_run(dataset="cityscapes")
    for file in ("last", "best"):
        leave_checkpoint(run, file=file)
    with pytest.raises(UserError, match="no trained segmenter"):
        measure_run(run)
    leave_segmenter("cityscapes")
    found = {r.metric: r for r in measure_run(run) if r.tabled}
    assert {"miou", "classacc", "pixacc", "pixacc_void"} < set(found)
    assert found["miou"].protocol == "drn" and found["miou"].unit == "%" and "ambiguous" in found["miou"].details
    assert found["miou"].input_value is None


def test_pictures_that_are_no_label_maps_are_neither_scored_nor_trained_on(
        place: Path, brightness: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The two halves of every file are swapped after the training."""
    run = translation_run(dataset="cityscapes")
    leave_checkpoint(run)
    leave_segmenter("cityscapes")
    for path in (place / "downloads/cityscapes").rglob("*.jpg"):
        write_image(path, np.roll(read_rgb(path), read_rgb(path).shape[1] // 2, axis=1))
    monkeypatch.setattr(translation, "translate_all", None)
    with pytest.raises(UserError, match="% of the pixels of cityscapes's label maps have no colour .*look swapped"):
        measure_run(run)
    write_yaml(place / "profiles/test/params.yaml", {"systems": {"cut": {"runs": {"cut": {"dataset": "cityscapes"}}}}})
    with pytest.raises(UserError, match="have no colour of Cityscapes' palette .*cityscapes/train.*look swapped"):
        segmenter("test")
    assert not (place / "runs/test/segmenter-cityscapes").exists()


def test_one_colour_is_no_number(place: Path, brightness: Callable[..., Any]) -> None:
    run = translation_run()
    for file in ("last", "best"):
        path = leave_checkpoint(run, file=file)
        network = models.get("cut").build(**run.network)
        for parameter in network.parameters():
            parameter.data.zero_()
        header = Header("cut", run.network, run.settings, run.steps)
        save_weights(models.get("cut").part(network, "generator", "heads").state_dict(), path, header=header)
    assert {(r.status, r.value) for r in measure_run(run)} == {("collapsed", None)}
    json.loads(Path("results/test/records/cut/tiny-cut.json").read_text(), parse_constant=pytest.fail)


def test_what_measuring_a_run_depends_on() -> None:
    """Its own metrics and what they share, and nothing of the other task."""
    dehazer, segmented = (set(modules(*measuring_entries(run))) for run in (
        dehazing_run(), translation_run(dataset="cityscapes")))
    plain = set(modules(*measuring_entries(dehazing_run(rows=()))))
    assert dehazer - plain == {"reprolib.metrics.ciede2000"}
    assert not {"reprolib.metrics.distance", "reprolib.metrics.segmentation", "reprolib.data.unpaired"} & dehazer
    assert {"reprolib.metrics.distance", "reprolib.metrics.segmentation", "reprolib.metrics.miou"} < segmented
    assert not {"reprolib.metrics.psnr", "reprolib.metrics.protocols"} & segmented


def test_kind_35_a_part_of_a_test_set_is_recorded_and_shown(place: Path) -> None:
    """The record, the ledger's value, its page, the table and the profile's page all say it."""
    from reprolib.report import ledger, summary

    run = dehazing_run()
    leave_checkpoint(run)
    said = "training sample: 3 of 42; sample: 3 of 5"
    assert {r.note for r in measure_run(run)} == {said}
    entries = ledger.write("test")
    (entry,) = [e for e in entries if e["row"] == "table1/aodnet" and e["metric"] == "psnr" and e["value"] is not None]
    assert entry["sample"] == "sample: 3 of 5" and said in json.dumps(read_rows()) and not entry["gap"]
    summary.write("test")
    for page in ("ledger.csv", "tables/table1.md", "tables/table1.csv", "README.md"):
        assert "sample: 3 of 5" in Path("results/test", page).read_text(), page
    assert {e["sample"] for e in entries if e["row"] != "table1/aodnet"} == {""}


def read_rows() -> list[dict[str, Any]]:
    return list(json.loads(Path("results/test/records/aodnet/tiny.json").read_text()))


def test_kind_35_a_part_of_two_domains_is_recorded(place: Path, brightness: Callable[..., dict[str, Score]]) -> None:
    run = translation_run()
    leave_checkpoint(run)
    leave_checkpoint(run, file="best")
    notes = {r.note for r in measure_run(run)}
    assert notes == {"training sample: 3 of 1,067 and 3 of 1,334; sample: 3 of 120 and 3 of 140"}
