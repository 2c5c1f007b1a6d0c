"""Records as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from reprolib.errors import UserError
from reprolib.evaluation.record import Record, read_file, read_records, write_records
from reprolib.runs.places import records_folder

ONE = Record(profile="p", experiment="e", system="dcp", rows=("table1/dcp",), dataset="nh-haze", metric="psnr",
             unit="dB", value=1.5, protocol="aecr", n=2, seed=0)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = records_folder("p", tmp_path) / "dcp" / "e.json"
    write_records(path, [ONE])
    first = path.read_bytes()
    assert read_file(path) == [ONE] == read_records("p", tmp_path)
    write_records(path, [ONE])
    assert path.read_bytes() == first
    assert read_records("nothing measured", tmp_path) == []


def test_a_value_and_a_status_that_contradict() -> None:
    with pytest.raises(ValueError, match="status 'ok' with value nan"):
        Record(**{**vars(ONE), "value": float("nan")})
    with pytest.raises(ValueError, match="status 'collapsed' with value 1.5"):
        Record(**{**vars(ONE), "status": "collapsed"})


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"colour": 1}]', '[{"metric": "psnr"}]', "[null]"])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "[x].json"
    path.write_text(text)
    with pytest.raises(UserError, match="not a file of records"):
        read_file(path)


def test_records_in_git_are_whole(project: Path) -> None:
    for folder in (project / "results").glob("*/records"):
        for path in folder.glob("*/*.json"):
            records = read_file(path)
            assert {r.system for r in records} == {path.parent.name} and {r.profile for r in records} == {
                folder.parent.name}
