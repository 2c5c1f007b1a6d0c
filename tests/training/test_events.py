"""TensorBoard shows what the log says, and changes nothing."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_train import KEPT, go, same, stops, tiny  # noqa: F401  # a fixture

from reprolib.errors import UserError
from reprolib.models.weights import read_header
from reprolib.runs.places import Places
from reprolib.training import events
from reprolib.training.events import Events


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Step and value of each curve, as TensorBoard itself reads them."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator",
                                 reason="TensorBoard is not installed")
    found = reader.EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def logged(path: Path) -> dict[str, list[tuple[int, float]]]:
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    return {name: [(int(row["step"]), float(row[name])) for row in rows if row[name]]
            for name in rows[0] if name != "step"}


def approximately(found: dict[str, list[tuple[int, float]]]) -> dict[str, list[tuple[int, Any]]]:
    """Events are float32."""
    return {name: [(step, pytest.approx(value, rel=1e-6)) for step, value in curve] for name, curve in found.items()}


def test_curves_are_those_of_the_log_and_the_run_is_the_same(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    plain, shown = go(tiny(), dataset, tmp_path / "plain"), go(tiny(), dataset, tmp_path / "shown", events=True)
    assert same(plain, shown)
    assert read_header(plain.folder / KEPT[0]) == read_header(shown.folder / KEPT[0])
    assert curves(Places(shown.run, tmp_path / "shown").events) == approximately(logged(shown.folder / "log.csv"))
    assert not Places(plain.run, tmp_path / "plain").events.exists()


def test_a_resumed_run_has_whole_curves(dataset: Path, tmp_path: Path,
                                        stops: Callable[[int], Any]) -> None:  # noqa: F811
    """Even if it was begun without them, or shown twice."""
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    with stops(4):
        go(tiny(save_every=1), dataset, tmp_path, events=True)
    trained = go(tiny(save_every=1), dataset, tmp_path, resume=True, events=True)
    assert curves(Places(trained.run, tmp_path).events) == approximately(logged(trained.folder / "log.csv"))


def test_without_tensorboard_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "find_spec", lambda name: None)
    assert importlib.util.find_spec is not events.find_spec
    with pytest.raises(UserError, match="pip install tensorboard"):
        events.require()


def test_a_disk_that_takes_nothing_ends_no_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    (tmp_path / "file").touch()
    with Events(tmp_path / "file" / "events") as seen:
        seen.add({"step": 1.0, "loss": 0.5})
    assert "no more events for TensorBoard" in capsys.readouterr().err
