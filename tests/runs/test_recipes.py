"""Published recipes are settings of a run."""

from __future__ import annotations

import pytest

from reprolib import models
from reprolib.runs.profile import _build

CONTENT = {"systems": {}, "defaults": {}}


@pytest.mark.parametrize("name", [n for n in models.names() if models.get(n).recipe])
def test_a_recipe_makes_a_run(name: str) -> None:
    system = models.get(name)
    dataset = "nh-haze" if system.task == "dehazing" else "horse2zebra"
    run = _build("paper", name, name, {"dataset": dataset, "recipe": "published"}, CONTENT, "here")  # type: ignore[arg-type]
    settings = run.settings
    for key, value in system.recipe.items():
        nested = settings[key] if isinstance(value, dict) else {key: settings[key]}
        wanted = value if isinstance(value, dict) else {key: value}
        for inner, number in wanted.items():
            assert nested[inner] == (list(number) if isinstance(number, tuple) else number), (name, key, inner)
