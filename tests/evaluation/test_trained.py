"""Which weights are taken where none are named: those that are here, those that were released, the best of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from evaluation.conftest import dehazing_run, leave_checkpoint

from reprolib.data.images import write_png
from reprolib.errors import UserError
from reprolib.evaluation import trained as module
from reprolib.evaluation.apply import apply
from reprolib.evaluation.networks import load
from reprolib.evaluation.record import write_records
from reprolib.evaluation.run import measure_run
from reprolib.evaluation.trained import RELEASED, described, trained
from reprolib.runs.places import Places
from reprolib.runs.run import DehazingRun

LARGE, SMALL = {"width": 16, "blocks": 2}, {"width": 8, "blocks": 1}


def aecrnet(profile: str, steps: int, network: dict[str, int]) -> DehazingRun:
    """A run of a profile of that name, which is written too."""
    run = dehazing_run(name="net", profile=profile, system="aecrnet", rows=(), steps=steps, network=network)
    folder = Path("profiles") / profile
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"dataset": run.dataset, "steps": steps, "batch": run.batch, "crop": run.crop, "network": network,
                "contrast": None, "rows": []}
    (folder / "params.yaml").write_text(yaml.safe_dump({"systems": {"aecrnet": {"runs": {"net": settings}}}}))
    return run


def release(run: DehazingRun) -> Path:
    """What `dvc push` leaves of a checkpoint, which is then no longer here."""
    entries = []
    folder = Path("checkpoints") / run.profile / run.system
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        entries.append({"md5": _store(path.read_bytes()), "relpath": path.relative_to(folder).as_posix()})
    listing = _store(json.dumps(entries).encode(), ".dir")
    lock = {"stages": {f"train@{run.system}": {"outs": [{"path": folder.as_posix(), "md5": listing}]}}}
    (Path("profiles") / run.profile / "dvc.lock").write_text(yaml.safe_dump(lock))
    shutil.rmtree("checkpoints")
    return RELEASED


def _store(content: bytes, ending: str = "") -> str:
    md5 = hashlib.md5(content).hexdigest() + ending
    path = RELEASED / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5


def test_the_largest_network_of_all_profiles_then_the_longest_training(place: Path) -> None:
    short, long, small = aecrnet("b", 5, LARGE), aecrnet("a", 9, LARGE), aecrnet("c", 99, SMALL)
    for run in (short, long, small):
        leave_checkpoint(run)
    assert trained("aecrnet") == Places(long).weights
    assert trained("aecrnet", "c") == Places(small).weights
    assert "net of profile a" in described(trained("aecrnet")) and "9 steps" in described(trained("aecrnet"))


def test_a_person_is_told_what_pictures_the_network_that_was_taken_knows(place: Path) -> None:
    """A translator from label maps takes a photo without complaint."""
    run = aecrnet("a", 9, LARGE)
    leave_checkpoint(run)
    write_png(Path("photo.png"), np.zeros((8, 8, 3), np.uint8))
    (note,) = apply(Path("photo.png"), Path("out.png"), "dehazing", "aecrnet", None, None).notes
    assert note.startswith("with net of profile a: ") and note.endswith(f", trained on {run.dataset}")


def test_a_network_is_chosen_by_what_it_was_trained_on(place: Path) -> None:
    """The best of all may translate other things than a person has."""
    small, best = aecrnet("a", 9, SMALL), aecrnet("b", 9, LARGE)
    other = best.model_copy(update={"dataset": "haze-dense"})
    path = Path("profiles/b/params.yaml")
    path.write_text(path.read_text().replace(best.dataset, other.dataset))
    leave_checkpoint(small)
    leave_checkpoint(other)
    write_png(Path("photo.png"), np.zeros((8, 8, 3), np.uint8))
    taken = {}
    for dataset in (None, small.dataset, other.dataset):
        outcome = apply(Path("photo.png"), Path("out.png"), "dehazing", "aecrnet", None, None, dataset=dataset)
        taken[dataset] = outcome.notes[0].rpartition(", trained on ")[2]
    assert taken == {None: other.dataset, small.dataset: small.dataset, other.dataset: other.dataset}
    with pytest.raises(UserError, match="did you mean 'haze-dense'"):
        apply(Path("photo.png"), Path("out.png"), "dehazing", "aecrnet", None, None, dataset="haze-dens")
    with pytest.raises(UserError, match="no trained aecrnet on sots-indoor"):
        apply(Path("photo.png"), Path("out.png"), "dehazing", "aecrnet", None, None, dataset="sots-indoor")


def test_a_network_that_scores_better_on_real_pictures_goes_before_a_larger_one(place: Path) -> None:
    scores = {"large": (LARGE, 19.0), "small": (SMALL, 22.0), "unmeasured": (LARGE, None)}
    runs = {name: aecrnet(name, 5, network) for name, (network, _) in scores.items()}
    for name, run in runs.items():
        leave_checkpoint(run)
        if (value := scores[name][1]) is not None:
            measured = measure_run(run)
            write_records(Places(run).records, [replace(r, value=value, status="ok") for r in measured])
    assert trained("aecrnet") == Places(runs["small"]).weights


def test_a_network_that_betters_more_kinds_of_pictures_goes_before_one_with_a_higher_score(place: Path) -> None:
    """Measured with `weights_of` on a second test set, where it is above its input; a third, where not, counts less."""
    rooms, streets, gardens = (aecrnet(name, 5, SMALL) for name in ("rooms", "streets", "gardens"))
    for run, value, second in ((rooms, 22.0, None), (streets, 15.0, 11.0), (gardens, 16.0, 9.0)):
        leave_checkpoint(run)
        measured = [replace(r, value=value, input_value=10.0, status="ok") for r in measure_run(run)]
        write_records(Places(run).records, measured)
        if second is not None:
            path = Path("profiles") / run.profile / "params.yaml"
            content = yaml.safe_load(path.read_text())
            content["systems"]["aecrnet"]["runs"]["second"] = {"weights_of": "net"}
            path.write_text(yaml.safe_dump(content))
            write_records(Places(run.model_copy(update={"name": "second", "weights_of": "net"})).records,
                          [replace(r, value=second) for r in measured])
    assert trained("aecrnet") == Places(streets).weights


def test_a_released_network_is_used_without_being_pulled(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = aecrnet("desk", 5, SMALL)
    before = leave_checkpoint(run).read_bytes()
    release(run)
    found = trained("aecrnet", "desk")
    assert found.is_relative_to(RELEASED) and found.read_bytes() == before
    assert sum(p.numel() for p in load("aecrnet", "desk").parameters()) > 0
    # the photo may lie anywhere: then the checkout of the running package is asked
    (place / "elsewhere").mkdir()
    monkeypatch.setattr(module, "CHECKOUT", place)
    monkeypatch.chdir(place / "elsewhere")
    assert trained("aecrnet", "desk").read_bytes() == before


def test_what_is_neither_here_nor_released_is_told(place: Path) -> None:
    run = aecrnet("desk", 5, SMALL)
    leave_checkpoint(run)
    shutil.rmtree(release(run))
    for profile in ("desk", None):
        with pytest.raises(UserError, match="no trained aecrnet.*give --weights FILE"):
            trained("aecrnet", profile)
