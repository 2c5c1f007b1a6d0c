"""Names of outputs: none replaces another or an input, whatever the inputs are called."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from reprolib.data.images import read_rgb, write_png
from reprolib.data.outputs import plan_outputs
from reprolib.errors import UserError


def planned(*names: str, suffix: str | None = ".png", marks: tuple[str, ...] = ("",)) -> list[str]:
    found = plan_outputs([Path("in") / name for name in names], Path("out"), suffix, marks=marks)
    return [path.name for paths in found for path in paths]


def test_an_ending_is_replaced() -> None:
    assert planned("1.jpg", "2.PNG", "a.b.tiff", "[x] $y.jpg") == ["1.png", "2.png", "a.b.png", "[x] $y.png"]
    assert planned("1.jpg", "2.gif", suffix=None) == ["1.jpg", "2.gif"]
    assert planned() == []


def test_inputs_that_would_meet_keep_their_endings() -> None:
    assert planned("1.jpg", "1.png", "2.jpg") == ["1.jpg.png", "1.png", "2.png"]
    assert planned("1.jpg", "1.jpeg", suffix=".jpg") == ["1.jpg", "1.jpeg.jpg"]
    assert planned("1.jpg", "1.tif", "1.png", "1.gif") == ["1.jpg.png", "1.tif.png", "1.png", "1.gif.png"]
    assert planned("A.jpg", "a.tif") == ["A.jpg.png", "a.tif.png"], "one file where case does not count"
    assert planned("\u00e9.jpg", "e\u0301.tif") == ["\u00e9.jpg.png", "e\u0301.tif.png"]


def test_several_outputs_of_an_input_are_marked_and_meet_no_others() -> None:
    both = ("-1", "-2")
    assert planned("1.jpg", "1-1.jpg", marks=both) == ["1-1.png", "1-2.png", "1-1-1.png", "1-1-2.png"]
    assert planned("1.jpg", "1.png", marks=both) == ["1.jpg-1.png", "1.jpg-2.png", "1-1.png", "1-2.png"]
    assert planned("1.jpg", suffix=None, marks=both) == ["1-1.jpg", "1-2.jpg"]
    with pytest.raises(UserError, match="would replace the input .*x-2.png"):
        plan_outputs([Path("x.jpg"), Path("x-2.png")], Path(), marks=both)


@pytest.mark.parametrize("names", [("1.jpg", "1.png", "1.jpg.png"), ("a.png", "A.png"), ("a.PNG", "a.PNg", "A.pNG")])
def test_what_cannot_be_told_apart_is_refused(names: tuple[str, ...]) -> None:
    try:
        found = planned(*names)
    except UserError as error:
        assert "two inputs would become" in str(error)
    else:
        assert len({name.casefold() for name in found}) == len(names)


def test_an_input_is_never_replaced(tmp_path: Path) -> None:
    for name, folder in (("1.png", tmp_path), ("1.png", tmp_path / "sub" / "..")):
        with pytest.raises(UserError, match="would replace the input"):
            plan_outputs([tmp_path / name], folder)
    with pytest.raises(UserError, match="would replace the input"):
        plan_outputs([tmp_path / "1.jpg", tmp_path / "b.jpg"], tmp_path, suffix=None)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(UserError, match="would replace the input"):
        plan_outputs([tmp_path / "1.png"], tmp_path / "link")
    assert plan_outputs([tmp_path / "1.jpg"], tmp_path) == [[tmp_path / "1.png"]]


def test_subfolders_come_again(tmp_path: Path) -> None:
    inputs = [tmp_path / "1.jpg", tmp_path / "a" / "1.jpg", tmp_path / "a" / "b" / "1.jpg"]
    out = Path("out")
    wanted = [out / "1.png", out / "a" / "1.png", out / "a" / "b" / "1.png"]
    assert plan_outputs(inputs, out, base=tmp_path) == [[path] for path in wanted]


@pytest.mark.parametrize("name", [
    b"\xff\xfe" + b"x" * 244 + b".jpg", "\u00e9".encode() * 123 + b".jpg", b"y" * 251 + b".jpg", b"z" * 250 + b".tiff",
    b"\xe9.jpg"])
def test_long_names_and_names_that_are_no_utf8_can_be_written(tmp_path: Path, name: bytes) -> None:
    inputs = [tmp_path / os.fsdecode(name), (tmp_path / os.fsdecode(name)).with_suffix(".png")]
    targets = [target for target, in plan_outputs(inputs, tmp_path / "out")]
    picture = np.zeros((2, 2, 3), np.uint8)
    for value, target in enumerate(targets):
        write_png(target, picture + value)
    assert [int(read_rgb(target)[0, 0, 0]) for target in targets] == [0, 1]
    assert len(os.listdir(os.fsencode(tmp_path / "out"))) == 2
