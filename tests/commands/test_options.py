"""Options are checked as they are parsed; what would be ignored is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands.conftest import Reprolib

TRAIN = ("train", "aodnet")
EVALUATE = ("evaluate", "aodnet", "--dataset", "haze-dense")


@pytest.mark.parametrize(("words", "told"), [
    ((*TRAIN, "--precision", "banana"), "--precision"),
    ((*TRAIN, "--precision", "16-mixed"), "--precision"),
    ((*TRAIN, "--recipe", "own"), "--recipe"),
    ((*TRAIN, "--seed", "-1"), "--seed"),
    ((*TRAIN, "--workers", "-1"), "--workers"),
    ((*TRAIN, "--steps", "-3"), "--steps"),
    ((*TRAIN, "--steps", "0"), "--steps"),
    ((*TRAIN, "--batch", "0"), "--batch"),
    ((*TRAIN, "--learning-rate", "nan"), "--learning-rate"),
    ((*TRAIN, "--learning-rate", "0"), "--learning-rate"),
    ((*TRAIN, "--learning-rate", "fast"), "--learning-rate"),
    ((*TRAIN, "--jobs", "0"), "--jobs"),
    ((*TRAIN, "--from", "nowhere.safetensors"), "--from"),
    ((*TRAIN, "--accelerator", "mps"), "--accelerator"),
    ((*TRAIN, "--accelerator", "gpu"), "--accelerator"),
    ((*EVALUATE, "--limit", "0"), "--limit"),
    ((*EVALUATE, "--distance", "vgg"), "--distance"),
    ((*EVALUATE, "--protocol", "acer"), "did you mean 'aecr'"),
    (("calibrate", "--seeds", "0"), "--seeds"),
    (("bench", "aodnet", "--precision", "banana"), "--precision"),
    (("bench", "aodnet", "--rate", "ten"), "ten"),
    (("bench", "aodnet", "--repeats", "0"), "--repeats"),
    (("dehaze", "in.png", "out.png", "--format", "bmp"), "--format"),
])
def test_a_value_that_cannot_be_is_one_line(reprolib: Reprolib, tiny: Path, words: tuple[str, ...], told: str) -> None:
    if "--protocol" in words:
        words = (*words[:1], "dcp", *words[2:])
    answer = reprolib(*words)
    assert answer.code == 2 and told in answer.line


@pytest.mark.parametrize("words", [
    ("dehaze", "", "out.png", "--system", "dcp"), ("dehaze", "in.png", "", "--system", "dcp"),
    (*EVALUATE, "--output", ""), (*EVALUATE, "--output="), ("data", "register", "nh-haze", "")])
def test_kind_12_an_empty_value_is_no_current_folder(reprolib: Reprolib, tiny: Path, words: tuple[str, ...]) -> None:
    answer = reprolib(*words)
    assert answer.code == 2 and "an empty value on the command line: a variable" in answer.line


@pytest.mark.parametrize("command", [TRAIN, ("bench", "aodnet"), ("segmenter",), ("bench-translators",)])
def test_kind_24_no_gpu_is_one_line(reprolib: Reprolib, tiny: Path, monkeypatch: pytest.MonkeyPatch,
                            command: tuple[str, ...]) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    answer = reprolib(*command, "--accelerator", "cuda")
    assert answer.code == 2 and "no GPU that torch can use" in answer.line


@pytest.mark.parametrize(("words", "told"), [
    (("evaluate", "dcp", "--dataset", "haze-dense", "--weights", "W"), "--weights"),
    (("evaluate", "dcp", "--dataset", "haze-dense", "--profile", "mini"), "--profile"),
    (("evaluate", "dcp", "--dataset", "haze-dense", "--distance", "vgg16"), "distance"),
    (("evaluate", "dcp", "--dataset", "haze-dense", "--segmenter", "W"), "segmenter"),
    (("evaluate", "cut", "--dataset", "horse2zebra", "--weights", "W", "--protocol", "aecr"), "protocol"),
    (("evaluate", "cut", "--dataset", "horse2zebra", "--weights", "W", "--keep"), "only records of dehazers"),
    (("evaluate", "aodnet", "--dataset", "haze-dense", "--keep"), "--weights"),
    (("evaluate", "aodnet", "--dataset", "haze-dense", "--weights", "W", "--profile", "mini"), "--profile"),
    (("evaluate", "dcp", "--dataset", "haze-dense", "--direction", "ba"), "direction"),
    (("measure", "dcp-dense", "--direction", "ba"), "--direction"),
    (("translate", "W", "out.png", "--styles", "2", "--style-from", "W"), "--styles"),
    (("translate", "W", "out.png", "--seed", "2"), "--seed"),
    (("translate", "W", "out.png", "--styles", "2"), "cut has no styles"),
    (("translate", "W", "out.png", "--direction", "ba"), "cut has no direction ba"),
    (("train", "dcp", "--steps", "3"), "--steps"),
    (("train", "dcp-dense", "--seed", "3"), "--seed"),
    (("bench", "aodnet", "--task", "evaluate", "--batch", "2"), "--batch"),
    (("bench", "cut", "--rate", "1:1"), "--rate"),
    (("runs", "--json", "inputs"), "after 'inputs'"),
])
def test_an_option_that_would_be_ignored_is_refused(reprolib: Reprolib, tiny: Path, words: tuple[str, ...],
                                                    told: str) -> None:
    (tiny / "W").write_bytes(b"")
    answer = reprolib(*words)
    assert answer.code == 2 and told in answer.line


def test_several_jobs_where_only_one_can_run_are_refused(reprolib: Reprolib, tiny: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reprolib.runs.concurrent._on_gpu", lambda accelerator: True)
    answer = reprolib("train", "aodnet", "--jobs", 2)
    assert answer.code == 2 and "one after another on a GPU" in answer.line
    assert not (tiny / "checkpoints").exists()
