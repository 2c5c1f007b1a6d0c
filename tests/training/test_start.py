"""Runs of a profile that start from the weights of another one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from safetensors.torch import load_file
from test_beginnings import tiny

from reprolib.errors import UserError
from reprolib.models.weights import read_header
from reprolib.runs.places import Places
from reprolib.training.run import train, train_system
from reprolib.training.start import in_turn
from reprolib.training.verify import train_again

FIRST, THEN = tiny(name="first"), tiny(name="then", init="first", steps=3)


@pytest.fixture(autouse=True)
def here(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "haze-homogeneous").symlink_to(dataset)


def test_it_is_the_training_from_that_file() -> None:
    """The pipeline's way against `--from FILE`, which is another run of the same steps."""
    first, then = train_system("aodnet", [FIRST, THEN], "test", accelerator="cpu")
    given = train(tiny(name="then", steps=3), init=first.folder / "last.safetensors", accelerator="cpu")
    assert then.run.own and not given.run.own and then.folder != given.folder
    assert (then.folder / "log.csv").read_bytes() == (given.folder / "log.csv").read_bytes()
    mine, others = (load_file(trained.folder / "last.safetensors") for trained in (then, given))
    assert all(tensor.equal(others[name]) for name, tensor in mine.items())
    headers = [read_header(trained.folder / "last.safetensors") for trained in (then, given)]
    assert headers[0].data["init"] == headers[1].data["init"], "the weights are named by their contents"
    assert train_again(THEN).same
    shorter = train(THEN.changed(steps=2), accelerator="cpu")
    assert read_header(shorter.folder / "last.safetensors").data["init"] == headers[0].data["init"]


def test_it_waits_for_them_whatever_the_order() -> None:
    last = tiny(name="last", init="then")
    assert [[run.name for run in group] for group in in_turn([last, THEN, FIRST])] == [["first"], ["then"], ["last"]]
    assert [[run.name for run in group] for group in in_turn([last, THEN])] == [["then"], ["last"]]
    trained = train_system("aodnet", [last, THEN, FIRST], "test", jobs=3, accelerator="cpu")
    assert [one.run.name for one in trained] == ["last", "then", "first"] and all(one.fresh for one in trained)
    assert not any(one.fresh for one in train_system("aodnet", [last, THEN, FIRST], "test", accelerator="cpu"))


def test_runs_that_share_a_beginning_start_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    from extractors import random_vgg

    from reprolib.models.objective import Contrast
    from reprolib.training.dehazing import task as dehazing

    monkeypatch.setattr(dehazing, "load_features", random_vgg)
    runs = [FIRST, *(tiny(name=name, init="first", contrast=contrast)
                     for name, contrast in (("with", Contrast(start=0.5)), ("without", None)))]
    for trained in train_system("aodnet", runs, "test", accelerator="cpu")[1:]:
        alone = Path("alone", trained.run.name)
        alone.mkdir(parents=True)
        Places(FIRST, alone).checkpoint.parent.mkdir(parents=True)
        Places(FIRST, alone).checkpoint.symlink_to(Places(FIRST).checkpoint.resolve())
        again = train(trained.run, root=alone, accelerator="cpu")
        assert (again.folder / "log.csv").read_bytes() == (trained.folder / "log.csv").read_bytes()


def test_kind_34_other_weights_to_start_from_train_it_again() -> None:
    train_system("aodnet", [FIRST, THEN], "test", accelerator="cpu")
    other = FIRST.model_copy(update={"learning_rate": 2e-3})
    first, then = train_system("aodnet", [other, THEN], "test", accelerator="cpu")
    assert first.fresh and then.fresh and not math.isnan(then.best)


def test_what_is_not_trained_is_said() -> None:
    with pytest.raises(UserError, match="'then' starts from the weights of 'first', which are not here") as caught:
        train(THEN, accelerator="cpu")
    assert "reprolib train first --profile test" in str(caught.value)
