"""A copy of the project that a test may change, and its real commands run in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import layouts
import pytest

from reprolib.files import write_yaml

TINY = {"steps": 2, "batch": 2, "crop": 16, "validate_every": 2, "save_every": 2}


class Checkout:
    """The project's tracked files in a folder of their own; nothing but what a test writes differs from them."""

    def __init__(self, project: Path, folder: Path):
        self.folder = folder
        for name in ("reprolib", "notebooks", "profiles"):
            shutil.copytree(project / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("dvc.yaml", "README.md", ".dvcignore", "pyproject.toml"):
            shutil.copy(project / name, folder / name)

    def run(self, *words: str, fails: bool = False) -> str:
        """A module of the copy as a command; its output."""
        return self.python("-m", *words, fails=fails)

    def python(self, *words: str, fails: bool = False) -> str:
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1", "REPROLIB_DATA": ""}
        result = subprocess.run([sys.executable, *words], cwd=self.folder, env=environment, text=True,
                                capture_output=True, check=False)
        output = result.stdout + result.stderr
        assert (result.returncode != 0) == fails, f"{' '.join(words)}: {output[-3000:]}"
        return output

    def reprolib(self, *words: str, fails: bool = False) -> str:
        return self.run("reprolib", *words, fails=fails)

    def several(self, *commands: str) -> str:
        """Commands of the copy one after another in one process, which loads its libraries once."""
        script = ("import json, sys; from reprolib.commands.main import app\n"
                  "for words in json.loads(sys.argv[1]): app(words, standalone_mode=False)")
        return self.python("-c", script, json.dumps([command.split() for command in commands]))

    def write(self, path: str, text: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def replace(self, path: str, old: str, new: str) -> None:
        """Change one line of a file that is there."""
        text = (self.folder / path).read_text()
        assert text.count(old) == 1, f"{path} has {text.count(old)} times {old!r}"
        (self.folder / path).write_text(text.replace(old, new))

    def profile(self, systems: dict[str, object]) -> None:
        """A profile 'tiny' of a few steps."""
        tiny = {"dehazing": TINY, "translation": {**TINY, "batch": 1}}
        write_yaml(self.folder / "profiles/tiny/params.yaml", {"defaults": tiny, "systems": systems})
        stages = (self.folder / "profiles/paper/dvc.yaml").read_text()
        self.write("profiles/tiny/dvc.yaml", stages.replace("this: paper", "this: tiny"))

    def through(self, *systems: str) -> None:
        """Train and measure systems of 'tiny', and draw the ledger."""
        work = [(f"train {system} --resume", f"measure {system}") for system in systems]
        steps = [command for pair in work for command in pair]
        self.several(*(f"{command} --profile tiny" for command in
                       ("runs inputs", *steps, "report ledger", "report summary")))


@pytest.fixture
def checkout(project: Path, tmp_path: Path) -> Checkout:
    copy = Checkout(project, tmp_path / "project")
    layouts.install(copy.folder, ["nh-haze"])
    return copy
