"""Whatever fails, a person reads one line; a traceback that somebody needs is in a file."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest
import torch

from commands.conftest import Reprolib
from reprolib.commands.failures import explain
from reprolib.files import write_yaml
from reprolib.runs.concurrent import side_by_side


def fail(reprolib: Reprolib, monkeypatch: pytest.MonkeyPatch, error: BaseException):  # type: ignore[no-untyped-def]
    def raises(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("reprolib.models.names", raises)
    return reprolib("systems")


def test_a_fault_of_ours_is_a_line_and_a_file(reprolib: Reprolib, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = fail(reprolib, monkeypatch, KeyError("what\nis this"))
    assert answer.code == 1 and "internal error, KeyError" in answer.line
    (kept,) = (tmp_path / "runs/errors").iterdir()
    assert str(kept.relative_to(tmp_path)) in answer.line and "Traceback" in kept.read_text()


def test_nowhere_to_write_the_traceback_is_still_one_line(reprolib: Reprolib, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").touch()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "runs"))
    answer = fail(reprolib, monkeypatch, ValueError("odd"))
    assert answer.code == 1 and "could not be written" in answer.line


@pytest.mark.parametrize("error", [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("MemoryError: "),  # of a concurrent run
    OSError(errno.ENOMEM, "Cannot allocate memory"),
])
def test_kind_12_memory_that_ran_out_says_what_to_do(reprolib: Reprolib, monkeypatch: pytest.MonkeyPatch,
                                             error: Exception) -> None:
    answer = fail(reprolib, monkeypatch, error)
    assert answer.code == 2 and "out of memory: lower --batch" in answer.line


def test_an_interrupted_command_says_how_to_go_on(reprolib: Reprolib, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = fail(reprolib, monkeypatch, KeyboardInterrupt())
    assert answer.code == 130 and "--resume" in answer.line


def stumble(number: int) -> int:
    return 1 // (number - 1)


def test_the_traceback_of_another_process_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                  capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError) as caught:
        side_by_side(stumble, [0, 1], 2, "cpu")
    text, code = explain(caught.value)
    (kept,) = (tmp_path / "runs/errors").iterdir()
    assert code == 1 and "ZeroDivisionError" in text and "in stumble" in kept.read_text()
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(("name", "told"), [("x" * 300 + ".png", "File name too long"),
                                            ("/".join(["x" * 200] * 30) + ".png", "File name too long"),
                                            ("loop.png", "no such picture")])
def test_a_path_that_cannot_be_is_the_persons_to_mend(reprolib: Reprolib, tiny: Path, name: str, told: str) -> None:
    (tiny / "loop.png").symlink_to("loop.png")
    answer = reprolib("dehaze", name, "out.png", "--system", "dcp")
    assert answer.code == 2 and told in answer.line and not (tiny / "runs/errors").exists()


def test_a_current_folder_that_is_gone_is_told(reprolib: Reprolib, tiny: Path) -> None:
    shutil.rmtree(tiny)
    answer = reprolib("train", "aodnet-dense")
    assert answer.code == 2 and "the current folder is gone" in answer.line


@pytest.mark.parametrize("columns", ["0", "1"])
def test_a_terminal_without_a_width_still_shows_a_table(reprolib: Reprolib, monkeypatch: pytest.MonkeyPatch,
                                                        columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert "aecrnet" in reprolib("systems").out


def test_both_sides_of_own_pictures_are_two_folders(reprolib: Reprolib, tiny: Path) -> None:
    one = tiny / "data/haze-dense/train/hazy"
    answer = reprolib("train", "aodnet", "--data", f"hazy={one},clear={one.parent}/../train/hazy")
    assert answer.code == 2 and "both sides are one folder" in answer.line


@pytest.mark.parametrize(("system", "network", "told"), [
    ("kddn", {"blocks": 1}, "at least 3 blocks"), ("ffanet", {"width": 9}, "a multiple of 8")])
def test_options_that_are_no_network_are_told_before_anything_is_read(
        reprolib: Reprolib, tiny: Path, system: str, network: dict[str, int], told: str) -> None:
    write_yaml(tiny / "profiles/mini/params.yaml",
               {"systems": {system: {"network": network, "runs": {"a": {"dataset": "haze-dense"}}}}})
    answer = reprolib("train", "a")
    assert answer.code == 2 and told in answer.line and "run 'a', network" in answer.line
