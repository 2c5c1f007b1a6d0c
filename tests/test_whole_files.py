"""Files are whole or not there, and what a killed process left of one goes."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from reprolib.errors import UserError
from reprolib.files import sweep, write_atomically, write_text


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_even_where_torch_complains_of_something_else(tmp_path: Path, reason: int) -> None:
    def failing(content: bytes) -> int:
        raise OSError(reason, "of the system")

    def save(stream: object) -> None:
        stream.write = failing  # type: ignore[attr-defined]
        torch.save({"weights": torch.zeros(1000)}, stream)

    write_text(tmp_path / "state.pt", "before")
    with pytest.raises(UserError, match=r"cannot write \(.*state.pt\): the disk .*free some space"):
        write_atomically(tmp_path / "state.pt", save)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_an_error_of_the_writer_stays_its_own(tmp_path: Path) -> None:
    def wrong(_: object) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        write_atomically(tmp_path / "file", wrong)
    assert not list(tmp_path.iterdir())


def test_kind_21_what_a_killed_process_left_is_swept_and_ignored(tmp_path: Path, project: Path) -> None:
    """Names are those that `tempfile` draws; whatever else begins with a dot is somebody's."""
    left = (".best.safetensors.ab_d3fgh", ".0_1.png.abcdefgh", ".[x] $.json.00000000")
    kept = (".DS_Store", ".gitignore", "a.json", ".a.safetensors", ".best.safetensors.old")
    for name in (*left, *kept):
        (tmp_path / name).touch()
    sweep(tmp_path, "0_1.png")
    assert not (tmp_path / left[1]).exists() and (tmp_path / left[0]).exists()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
    for file in (".gitignore", ".dvcignore"):
        assert ".*.????????" in (project / file).read_text().splitlines()


def test_a_temporary_file_has_such_a_name(tmp_path: Path) -> None:
    names: list[str] = []
    write_atomically(tmp_path / "weights.safetensors", lambda stream: names.append(stream.name))
    Path(names[0]).touch()
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_whoever_is_stopped_while_torch_writes_is_stopped_and_nothing_else(
        tmp_path: Path, stop: type[BaseException]) -> None:
    """Slurm's signal ends a job by SystemExit, wherever it is; torch.save would answer with a RuntimeError."""
    written: list[bytes] = []

    def interrupted(content: bytes) -> int:
        if written:
            raise stop
        written.append(bytes(content))
        return len(content)

    def save(stream: object) -> None:
        stream.write = interrupted  # type: ignore[attr-defined]
        torch.save({"weights": torch.zeros(1000)}, stream)

    write_text(tmp_path / "state.pt", "before")
    with pytest.raises(stop):
        write_atomically(tmp_path / "state.pt", save)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]
