"""Making the embedded datasets: what lies where, the same bytes every time, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from reprolib.data import haze, photos, prepare
from reprolib.data.paired import open_split
from reprolib.data.registry import get_dataset
from reprolib.errors import UserError
from reprolib.files import write_atomically

FEW = {"train": ["1", "7"], "val": ["9"], "test": ["0"]}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "split", lambda split: FEW[split])


def digests(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.usefixtures("few")
def test_layout_parameters_and_bytes(tmp_path: Path) -> None:
    first = prepare.prepare("haze-nonhomogeneous", tmp_path / "a")
    expected = {f"{s}/clear/{n}.png" for s in FEW for n in FEW[s]}
    expected |= {"haze.json", "val/hazy/9_1.png", "test/hazy/0_1.png"}
    expected |= {f"train/hazy/{n}_{v}.png" for n in FEW["train"] for v in range(1, 5)}
    assert set(digests(first)) == expected
    assert digests(prepare.prepare("haze-nonhomogeneous", tmp_path / "b")) == digests(first)

    drawn, train = json.loads((first / "haze.json").read_text()), open_split("haze-nonhomogeneous", "train", first)
    assert train.names == [f"{n}_{v}" for n in FEW["train"] for v in range(1, 5)]
    for pair in train:
        photo, variant = pair.name.split("_")
        hazy, parameters = haze.synthesise(pair.clear, "haze-nonhomogeneous", photo, int(variant))
        assert np.array_equal(pair.hazy, hazy) and drawn[f"train/hazy/{pair.name}.png"] == parameters
        assert pair.clear.shape[1::-1] == get_dataset("haze-nonhomogeneous").size
    assert len({d["beta"] for d in drawn.values()}) == len(drawn) == 10


def test_motorcycle(tmp_path: Path) -> None:
    folder = prepare.prepare("motorcycle", tmp_path / "m")
    pairs = open_split("motorcycle", "test", folder)
    assert pairs.names == [f"motorcycle_{v}" for v in (1, 2, 3, 4)] and pairs[0].hazy.shape == (500, 741, 3)
    metres = np.asarray(Image.open(folder / "test" / "depth" / "motorcycle.png")) / 1000
    drawn = json.loads((folder / "haze.json").read_text())
    for pair in pairs:
        p = drawn[f"test/hazy/{pair.name}.png"]
        t = np.exp(-p["beta"] * metres)[..., None]
        again = 255 * (pair.clear / 255 * t + p["light"] * (1 - t))
        assert np.abs(pair.hazy - again).max() < 0.6, "the depth on disk, to a millimetre, explains every pixel"


@pytest.mark.usefixtures("few")
def test_made_again_in_place_of_the_old(tmp_path: Path) -> None:
    out = prepare.prepare("haze-dense", tmp_path / "data" / "haze-dense")
    before = digests(out)
    (out / "test" / "hazy" / "0_1.png").write_bytes(b"damaged")
    (out / "test" / "hazy" / "stray.png").touch()
    prepare.prepare("haze-dense", out)
    assert digests(out) == before
    assert [p.name for p in out.parent.iterdir()] == ["haze-dense"], "nothing temporary is left"


@pytest.mark.usefixtures("few")
def test_folder_with_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="holds something else.*move it away"):
        prepare.prepare("haze-dense", tmp_path)
    assert digests(tmp_path).keys() == {"thesis.tex"}
    with pytest.raises(UserError, match="holds something else"):
        prepare.prepare("haze-dense", tmp_path / "thesis.tex")
    with pytest.raises(UserError, match="cannot write"):
        prepare.prepare("haze-dense", tmp_path / "thesis.tex" / "x")


@pytest.mark.usefixtures("few")
def test_what_a_killed_process_left_is_removed_and_what_a_running_one_makes_is_not(tmp_path: Path) -> None:
    for name in (".haze-dense-aaaaaaaa", ".haze-dense-bbbbbbbb", ".haze-dense-mine"):
        (tmp_path / name / "new" / "train").mkdir(parents=True)
    for name in (".haze-dense-aaaaaaaa", ".haze-dense-bbbbbbbb"):
        (tmp_path / name / "lock").touch()
    (tmp_path / ".haze-dense-cccccccc").mkdir()  # killed before it had a lock
    with FileLock(tmp_path / ".haze-dense-bbbbbbbb" / "lock"):
        prepare.prepare("haze-dense", tmp_path / "haze-dense")
    assert {p.name for p in tmp_path.iterdir()} == {"haze-dense", ".haze-dense-bbbbbbbb", ".haze-dense-mine"}


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("fault", [UserError("cannot write", fix="the disk is full"), KeyboardInterrupt()])
def test_failure_in_the_middle_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     fault: BaseException) -> None:
    out = prepare.prepare("haze-dense", tmp_path / "haze-dense")
    before, written = digests(out), []

    def failing(path: Path, image: np.ndarray) -> None:
        written.append(path)
        if len(written) == 5:
            raise fault
        write_atomically(path, lambda s: s.write(b"x"))

    monkeypatch.setattr(prepare, "write_png", failing)
    with pytest.raises(type(fault)):
        prepare.prepare("haze-dense", out)
    assert len(written) >= 5
    assert digests(out) == before and [p.name for p in tmp_path.iterdir()] == ["haze-dense"]


@pytest.mark.usefixtures("few")
def test_failure_of_the_last_step_puts_the_old_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = prepare.prepare("haze-dense", tmp_path / "haze-dense")
    before, rename = digests(out), Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(UserError, match="cannot write: No space left on device"):
        prepare.prepare("haze-dense", out)
    assert digests(out) == before


def test_real_datasets_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be made here.*reprolib data register nh-haze"):
        prepare.prepare("nh-haze", tmp_path / "x")
    with pytest.raises(UserError, match="did you mean 'haze-dense'"):
        prepare.prepare("haze-dens", tmp_path / "x")
