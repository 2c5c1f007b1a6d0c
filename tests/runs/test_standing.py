"""profiles/NAME/inputs.json is made anew after any change of what it is made from, and stands without one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import layouts
import pytest

from reprolib.files import write_yaml
from reprolib.runs import standing
from reprolib.runs.inputs import write
from reprolib.runs.standing import inputs_file, stands

PACKAGE = Path(standing.__file__).parents[1]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a profile, its data, and a small package that is taken for ours; what the file says is made up,
    since digests of code take seconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    write_yaml(Path("profiles/p/params.yaml"), {"systems": {"aodnet": {"runs": {"small": {"dataset": "nh-haze"}}}}})
    layouts.lay_out("nh-haze", Path("download"))
    Path("data").mkdir()
    next(Path("download").rglob("*_GT.png")).parent.rename("data/nh-haze")
    for path in ("package/module.py", "outputs/p/aodnet/small/1.png", "results/published/x/y.json", "runs/note.txt"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("{}")
    monkeypatch.setattr(standing, "PACKAGE", tmp_path / "package")
    monkeypatch.setattr("reprolib.runs.inputs.inputs", lambda profile, before, root: {"data": {"nh-haze": "seen"}})
    return tmp_path


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


CHANGES: dict[str, Callable[[], object]] = {
    "settings": lambda: append(Path("profiles/p/params.yaml")),
    "code": lambda: append(Path("package/module.py")),
    "new code": lambda: Path("package/other.py").write_text("1"),
    "a picture": lambda: append(next(Path("data/nh-haze").glob("*_GT.png"))),
    "the data go": lambda: shutil.rmtree("data/nh-haze"),
    "a committed record": lambda: append(Path("results/published/x/y.json")),
    "weights come": lambda: (Path("weights").mkdir(), Path("weights/vgg16.safetensors").write_text("1")),
    "the file itself": lambda: append(inputs_file("p")),
    "the file goes": lambda: inputs_file("p").unlink(),
    "what is remembered goes": lambda: shutil.rmtree("runs"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_noticed(what: str, place: Path) -> None:
    assert not stands("p"), "it was never written"
    write("p")
    assert stands("p")
    Path("runs/note.txt").write_text("nothing that counts")
    assert stands("p")
    CHANGES[what]()
    assert not stands("p")
    write("p")
    assert stands("p")


def test_pictures_count_where_their_data_are_not_here(place: Path) -> None:
    picture = Path("outputs/p/aodnet/small/1.png")
    write("p")
    picture.unlink()
    assert stands("p"), "a first run of the pipeline makes them after the file"
    shutil.rmtree("data/nh-haze")
    write("p")
    assert stands("p")
    picture.write_text("")
    assert not stands("p")


@pytest.mark.parametrize("content", ["", "[]", '{"data": 3}', '{"data": ["no such dataset"]}', "{}"])
def test_a_damaged_file_does_not_stand(content: str, place: Path) -> None:
    write("p")
    inputs_file("p").write_text(content)
    assert not stands("p")


def test_what_changes_while_the_file_is_made_is_noticed_next_time(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_from = standing.made_from

    def changed_at_once(*words: object) -> str:
        found = made_from(*words)  # type: ignore[arg-type]
        append(Path("package/module.py"))
        return found

    monkeypatch.setattr("reprolib.runs.inputs.made_from", changed_at_once)
    write("p")
    assert not stands("p")


def test_a_place_that_cannot_be_written_costs_time_alone(place: Path) -> None:
    shutil.rmtree("runs")
    Path("runs").write_text("a file where the folder would be")
    assert json.loads(write("p").read_text())["data"]
    assert not stands("p")


def test_looking_loads_no_torch(place: Path) -> None:
    write("p")
    script = "import sys; from reprolib.runs.standing import stands; stands('p'); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=place, env={"PYTHONPATH": str(PACKAGE.parent)})
