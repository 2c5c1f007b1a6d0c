"""Every option and argument of every command, with every sort of odd value: never a traceback.

What would compute, download or write is replaced, so that this is about parsing, looking up and refusing.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import reprolib
from reprolib.commands.main import app, run
from reprolib.errors import UserError

VALUES = ("", " ", "-1", "0", "1", "999999999999999999999999", "1e999", "nan", "é中[/x]", os.fsdecode(b"\xe9.png"),
          "missing/file.png", "..", "FOLDER", "FILE", "%s{0}", "-",
          "hazy=FOLDER,clear=FOLDER/other", "a=FOLDER,b=FOLDER/other", "a\nb", "x" * 300, "=", "{a: 1}")

GOOD = {
    "targets": "aodnet", "target": "dcp", "system": "dcp", "name": "vgg16", "names": "table1", "dataset": "haze-dense",
    "source": "FILE", "output": "FOLDER/out.png", "outputs": "FOLDER", "truth": "FOLDER", "path": "FOLDER",
}
"""Values of the other required parameters while one is odd."""

REPLACED = (
    "bench.run.bench", "bench.run.keep", "bench.translators.write_costs", "data.make.make", "data.prepare.prepare",
    "data.wheels.fetch", "evaluation.apply.apply", "data.sample.choose_pictures",
    "evaluation.evaluate.evaluate", "evaluation.protocols.measure_protocols", "evaluation.run.measure_run",
    "report.bench.write_notebook", "report.ledger.write", "report.notebooks.write", "report.pictures.write",
    "report.plots.write", "report.readme.write", "report.site.write", "report.summary.write",
    "results.calibration.calibrate", "results.ledger.build", "runs.concurrent.side_by_side", "runs.inputs.write",
    "training.run.train", "training.run.train_system", "training.segmentation.train_segmenters",
    "training.submit.submit", "evaluation.verify.verify_run",
)


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands with their words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
            if command.invoke_without_command:
                yield (*words, name), command
        else:
            yield (*words, name), command


COMMAND = typer.main.get_command(app)
COMMANDS = list(commands(COMMAND))


def given(parameter: Any, value: str) -> list[str]:
    """A parameter with a value, as words."""
    return [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]


def takes_value(parameter: Any) -> bool:
    return parameter.param_type_name == "argument" or not getattr(parameter, "is_flag", False)


@pytest.fixture(scope="module")
def loaded() -> None:
    """A module that is loaded while others are replaced would keep what replaces them, in later tests as well."""
    for module in pkgutil.walk_packages(reprolib.__path__, "reprolib."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


@pytest.fixture
def place(loaded: None, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tiny / "FOLDER" / "other").mkdir(parents=True)
    (tiny / "FILE").write_bytes(b"neither weights nor a picture")

    def reached(*_: object, **__: object) -> None:
        raise UserError("the work itself was reached")

    for name in REPLACED:
        monkeypatch.setattr(f"reprolib.{name}", reached)
    monkeypatch.setattr("reprolib.data.registry.REGISTERED", tiny / "registered.json")
    monkeypatch.setattr("reprolib.commands.main.app", COMMAND)  # built once
    return tiny


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
def test_kind_12_odd_values_are_one_line(place: Path, words: tuple[str, ...], command: Any,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    parameters = [p for p in command.params if takes_value(p) and p.name != "help"]
    for odd in parameters:
        others = [word for p in parameters if p.required and p is not odd for word in given(p, GOOD[p.name])]
        for value in VALUES:
            code = run([*words, *others, *given(odd, value)])
            out, err = capsys.readouterr()
            told = f"{' '.join(words)} {odd.name}={value!r}: exit {code}, {err!r}"
            reported = code == 1 and ": something is wrong\n  - " in out  # what `data verify` is for
            assert (code in (0, 2) or reported) and "Traceback" not in out + err, told
            assert code != 2 or sum(line.startswith("reprolib: ") for line in err.splitlines()) == 1, told
    assert sorted(p.name for p in place.iterdir()) == ["FILE", "FOLDER", "data", "profiles"], "something was written"
