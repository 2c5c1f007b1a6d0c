"""Later code that trains the same: a checkpoint counts as its own. Code that does not is found out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_train import go, tiny

from reprolib.errors import UserError
from reprolib.models.objective import Contrast
from reprolib.models.weights import read_header, read_state
from reprolib.runs.places import Places
from reprolib.training import run as training
from reprolib.training.checkpoint import read_state as read_unfinished
from reprolib.training.dehazing.task import DehazingTask
from reprolib.training.verify import Verified, compare, stamp, train_again


def check(dataset: Path, root: Path, steps: int | None = None) -> Any:
    verified: Verified = train_again(tiny(), steps, data_root=dataset, root=root, accelerator="cpu")
    if verified.same:
        stamp(verified, root)
    return verified


@pytest.mark.parametrize("steps", [1, 4, None])
def test_the_same_log_makes_it_the_present_codes(steps: int | None, dataset: Path, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    trained = go(tiny(), dataset, tmp_path)
    before = read_header(trained.folder / "last.safetensors").code
    weights = {name: (trained.folder / name) for name in ("last.safetensors", "best.safetensors")}
    tensors = [path.read_bytes()[-100:] for path in weights.values()]
    monkeypatch.setattr(training, "training_digest", lambda run: "later")
    found = check(dataset, tmp_path, steps)
    assert found.same and (found.before, found.now, found.steps) == (before, "later", steps or 6)
    for path in weights.values():
        header = read_header(path)
        (entry,) = header.verified
        assert header.code == "later" and (entry["from"], entry["to"], entry["steps"]) == (before, "later", steps or 6)
    assert [path.read_bytes()[-100:] for path in weights.values()] == tensors
    assert read_unfinished(Places(tiny(), tmp_path).state)["code"] == "later"
    assert not go(tiny(), dataset, tmp_path, resume=True).fresh, "nothing is to be trained again"


@pytest.mark.parametrize(("start", "says"), [(0.0, ""), (0.4, ""), (0.5, "joins after step 100"), (1.0, "step 200")])
def test_a_term_that_joins_after_the_repeated_steps_is_said(start: float, says: str) -> None:
    run = tiny(steps=200, contrast=Contrast(start=start))
    found = Verified(run, 100, "before", "now", "")
    assert bool(found.unreached) == bool(says) and says in found.unreached
    assert str(found).endswith(f"not repeated: {found.unreached}" if says else "counts as made by now now")


def test_another_log_is_told_and_changes_nothing(dataset: Path, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    trained = go(tiny(), dataset, tmp_path)
    kept = (trained.folder / "last.safetensors").read_bytes()
    step = DehazingTask.step

    def otherwise(self: DehazingTask, fabric: Any, batch: Any, number: int, generator: Any) -> dict[str, torch.Tensor]:
        terms = step(self, fabric, batch, number, generator)
        return {**terms, "loss": terms["loss"] * (1 + 1e-6)} if number == 2 else terms

    monkeypatch.setattr(DehazingTask, "step", otherwise)
    monkeypatch.setattr(training, "training_digest", lambda run: "later")
    found = check(dataset, tmp_path)
    assert not found.same and found.difference.startswith("step 3, loss: ")
    assert (trained.folder / "last.safetensors").read_bytes() == kept


def test_a_checkpoint_that_ships_is_kept_in_half_precision(dataset: Path, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after it was shown to be the present code's; the training itself is the same run."""
    run = tiny(half=True)
    assert run.fingerprint == tiny().fingerprint
    whole = read_state(go(tiny(), dataset, tmp_path / "whole").folder / "last.safetensors")
    path = go(run, dataset, tmp_path).folder / "last.safetensors"
    monkeypatch.setattr(training, "training_digest", lambda run: "later")
    for _ in range(2):
        half = read_state(path)
        assert {t.dtype for t in half.values()} == {torch.float16}
        for name, tensor in whole.items():
            torch.testing.assert_close(half[name].float(), tensor, rtol=1e-3, atol=1e-7)
        stamp(train_again(run, data_root=dataset, root=tmp_path, accelerator="cpu"), tmp_path)
        assert read_header(path).code == "later"


def test_what_cannot_be_compared_is_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint of 'tiny-"):
        check(dataset, tmp_path)
    go(tiny(), dataset, tmp_path)
    with pytest.raises(UserError, match="compare nothing"):
        check(dataset, tmp_path, 0)
    (dataset / "train" / "hazy" / "0_1.png").write_bytes((dataset / "train" / "hazy" / "1_1.png").read_bytes())
    with pytest.raises(UserError, match="made of other haze-homogeneous/train than are here"):
        check(dataset, tmp_path)


def test_only_what_was_done_is_compared() -> None:
    """A validation after the last step trained again stands in a row before it."""
    recorded = [{"step": "1", "loss": "2", "validation": ""}, {"step": "3", "loss": "1", "validation": "20"},
                {"step": "5", "loss": "0", "validation": ""}]
    assert compare(recorded, [{"step": "1", "loss": "2"}, {"step": "3", "loss": "1"}], 3) == ""
    assert "recorded is 20" in compare(recorded, [{"step": "1", "loss": "2"},
                                                 {"step": "3", "loss": "1", "validation": "21"}], 3)
    assert "1 rows" in compare(recorded, [{"step": "1", "loss": "2"}], 3)
