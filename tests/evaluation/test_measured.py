"""What was measured stays, as long as measuring it again would write the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evaluation.conftest import dehazing_run, leave_checkpoint, translation_run

from reprolib.data.images import list_images, read_rgb, write_image
from reprolib.evaluation import measured
from reprolib.evaluation import run as measuring
from reprolib.evaluation.run import measure_run
from reprolib.metrics import Score
from reprolib.runs import inputs
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun


class Measured(Exception):
    """In place of a measurement."""


@pytest.fixture
def only_said(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From here on a measurement says that it would be made, and makes nothing."""
    def refuse(*_: Any) -> None:
        raise Measured

    return lambda: monkeypatch.setattr(measuring, "_measure", refuse)


def test_what_would_come_out_the_same_stands(
        place: Path, only_said: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> None:
    run = dehazing_run()
    leave_checkpoint(run)
    records = measure_run(run, again=False)
    only_said()
    assert measure_run(run, again=False) == records
    assert capsys.readouterr().err.endswith("tiny: measured already; its records stand\n")
    with pytest.raises(Measured):
        measure_run(run)
    with pytest.raises(Measured):
        measure_run(run, into=place / "elsewhere", again=False)


def test_a_translators_too(place: Path, brightness: Callable[..., dict[str, Score]],
                           only_said: Callable[[], None]) -> None:
    run = translation_run()
    for file in ("last", "best"):
        leave_checkpoint(run, file=file)
    records = measure_run(run, again=False)
    only_said()
    assert measure_run(run, again=False) == records
    leave_checkpoint(run, file="best", seed=1)
    with pytest.raises(Measured):
        measure_run(run, again=False)


def other_pixels(path: Path) -> None:
    write_image(path, 255 - read_rgb(path))


def last_pair(run: TaskRun, place: Path) -> list[Path]:
    """The hazy and the clear picture that a run was measured on last."""
    return sorted(place.rglob(f"{list_images(Places(run).pictures)[-1].stem}_*.png"), reverse=True)


def another_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "measuring_digest", lambda *_: "another")


CHANGES: dict[str, Callable[[TaskRun, Path, pytest.MonkeyPatch], object]] = {
    "other weights": lambda run, place, patch: leave_checkpoint(run, seed=1),
    "another test picture": lambda run, place, patch: other_pixels(last_pair(run, place)[0]),
    "one less": lambda run, place, patch: [path.unlink() for path in last_pair(run, place)],
    "another code": lambda run, place, patch: another_code(patch),
    "another machine": lambda run, place, patch: patch.setattr(measured, "environment", lambda _: {"cpu": "another"}),
    "a picture that is gone": lambda run, place, patch: list_images(Places(run).pictures)[0].unlink(),
    "a picture that was touched": lambda run, place, patch: other_pixels(list_images(Places(run).pictures)[0]),
    "a record that was edited": lambda run, place, patch: Places(run).records.write_text("[]"),
    "records that are gone": lambda run, place, patch: Places(run).records.unlink(),
    "numbers by picture that are gone": lambda run, place, patch: Places(run).images.unlink(),
    "a damaged note of it": lambda run, place, patch: (Places(run).work / measured.STAMP).write_text("[1"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_after_a_change_it_is_measured_again(place: Path, change: str, only_said: Callable[[], None],
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    run = dehazing_run()
    leave_checkpoint(run)
    measure_run(run)
    CHANGES[change](run, place, monkeypatch)
    only_said()
    with pytest.raises(Measured):
        measure_run(run, again=False)


def test_what_changes_while_it_is_measured_is_noticed(place: Path, only_said: Callable[[], None],
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    run, measure = dehazing_run(), measuring._measure
    leave_checkpoint(run)
    monkeypatch.setattr(measuring, "_measure", lambda *a: (measure(*a), leave_checkpoint(run, seed=1))[0])
    measure_run(run)
    only_said()
    with pytest.raises(Measured):
        measure_run(run, again=False)


def test_another_row_or_note_is_another_record(place: Path) -> None:
    leave_checkpoint(dehazing_run())
    measure_run(dehazing_run())
    assert {r.note.partition(";")[0] for r in measure_run(dehazing_run(note="a note"), again=False)} == {"a note"}
    assert {r.rows for r in measure_run(dehazing_run(rows=()), again=False)} == {()}


def test_pictures_of_a_former_test_set_go(place: Path) -> None:
    run = dehazing_run()
    leave_checkpoint(run)
    measure_run(run)
    made = [path.name for path in list_images(Places(run).pictures)]
    for path in last_pair(run, place):
        path.unlink()
    assert measure_run(run, again=False)[0].n == 2
    assert [path.name for path in list_images(Places(run).pictures)] == made[:2]
