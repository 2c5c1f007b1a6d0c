"""The published recipes: settings that a run takes as they stand, and the authors' figures out of which they come."""

from __future__ import annotations

from pathlib import Path

import pytest

from reprolib import models
from reprolib.runs.profile import build_objective, read_profile
from reprolib.runs.run import DehazingRun, TranslationRun

TRAINED = [name for name in models.names() if models.get(name).trained]
DATASET = {"dehazing": "reside-its", "translation": "horse2zebra"}


@pytest.fixture
def published(tmp_path: Path) -> dict[str, DehazingRun | TranslationRun]:
    """A run of each system by its recipe and nothing else, by the system's name."""
    folder = tmp_path / "profiles" / "plain"
    folder.mkdir(parents=True)
    lines = ["defaults:"]
    for task in models.TASKS:  # what a run must have; a recipe that leaves it open would show
        lines.append(f"  {task}: {{recipe: published, steps: 1, batch: 1, crop: 7, learning_rate: 7.0}}")
    lines.append("systems:")
    lines += [f"  {name}: {{runs: {{{name}-run: {{dataset: {DATASET[models.get(name).task]}}}}}}}" for name in TRAINED]
    (folder / "params.yaml").write_text("\n".join(lines))
    return {run.system: run for run in read_profile("plain", tmp_path).runs.values()}


def test_every_recipe_is_whole(published: dict[str, DehazingRun | TranslationRun]) -> None:
    assert set(published) == set(TRAINED)
    for name, run in published.items():
        assert run.steps > 1 and run.learning_rate < 1, name
        assert run.crop != 7 or name == "gcanet", f"{name}: only GCANet's authors leave the crop open"
        if isinstance(run, TranslationRun):
            build_objective(run)


def test_msbdn_counts_patches_not_pairs(published: dict[str, DehazingRun | TranslationRun]) -> None:
    """184 GB of single-precision pairs of 3x256x256 are what an epoch has."""
    run = published["msbdn"]
    epoch = 184e9 / (2 * 3 * 256 * 256 * 4)
    assert run.steps == pytest.approx(100 * epoch / run.batch, rel=0.01)
    assert run.schedule.milestones == (0.49, 0.99) and run.schedule.factor == 0.1


def test_griddehazenet_and_fdu_count_their_epochs(published: dict[str, DehazingRun | TranslationRun]) -> None:
    grid, fdu = published["griddehazenet"], published["fdu"]
    assert grid.steps == 100 * -(-13_990 // grid.batch), "the last batch of an epoch is smaller, and is one"
    assert fdu.steps == 1000 * 16_384 // fdu.batch
    assert isinstance(fdu, DehazingRun) and fdu.optimiser.kind == "adamw" and fdu.schedule.end == 0.01


def test_released_variants_are_the_recipes_choice(published: dict[str, DehazingRun | TranslationRun]) -> None:
    assert published["ffanet"].network == {"blocks": 19} and published["gcgan"].network == {"shared": False}
    assert published["aecrnet"].network == {"operator": "dcnv2"}
    chosen = {name: build_objective(run) for name, run in published.items() if isinstance(run, TranslationRun)}
    assert chosen["gcgan"].transform == "rot270"  # type: ignore[attr-defined]
    assert chosen["selfdistance"].statistics == chosen["distancegan"].statistics == "domain"  # type: ignore[attr-defined]
    assert chosen["fastcut"].allow_fewer and chosen["fastcut"].lambda_x == 10  # type: ignore[attr-defined]


def test_published_networks_have_the_published_counts(published: dict[str, DehazingRun | TranslationRun]) -> None:
    import torch

    for name, count in {"ffanet": 4_455_913, "aecrnet": 2_614_229, "gcgan": 28_285_832}.items():
        with torch.device("meta"):
            assert models.count_parameters(models.get(name).build(**published[name].network)) == count


@pytest.mark.parametrize(("dataset", "larger", "epochs"), [("horse2zebra", 1334, 1200), ("cityscapes", 2975, 1009),
                                                           ("afhq-cat2dog", 5153, 583)])
def test_drit_stops_at_1200_epochs_or_500000_counted_iterations(dataset: str, larger: int, epochs: int,
                                                                project: Path) -> None:
    runs = read_profile("paper", project).of_system("drit")
    run = next(r for r in runs if r.dataset == dataset)
    whole, every = larger // run.batch, -(-larger // run.batch)
    assert run.steps == pytest.approx(epochs * whole, rel=2e-3)
    # Every third batch counts, and the last two of an epoch always do; an incomplete one is skipped.
    counted = len({i for i in range(whole) if i % 3 == 2 or i >= every - 2})
    assert run.steps * counted / whole == pytest.approx(500_000 if epochs < 1200 else 267_600, abs=2)
    if run.schedule.kind == "linear":
        assert run.schedule.start == pytest.approx(600 / epochs, abs=1e-3)
        assert run.schedule.end == pytest.approx(1 - (epochs - 601) / 601 if epochs < 1200 else 0, abs=3e-3)
    else:
        assert epochs < 600, "it never comes to decay"


def test_gcgan_on_cityscapes_is_the_authors_script(project: Path) -> None:
    run = next(r for r in read_profile("paper", project).of_system("gcgan") if r.dataset == "cityscapes")
    assert isinstance(run, TranslationRun)
    assert (run.load, run.crop, run.batch, run.network["blocks"], run.network["shared"]) == (144, 128, 12, 6, True)
    assert run.steps == 200 * -(-2975 // 12)


def test_nothing_released_enters_the_common_recipe(project: Path) -> None:
    """Profile mini, whose numbers are kept, chooses none of the options that the published recipes do."""
    for run in read_profile("mini", project).runs.values():
        assert run.recipe == "common" and "operator" not in run.network and "affine" not in run.network
        assert run.schedule.end == 0 and not run.schedule.milestones and run.schedule.kind != "step"
        if isinstance(run, TranslationRun):
            assert run.resample == "bicubic" and run.rounding == "nearest"
            assert not {"transform", "statistics", "allow_fewer"} & set(run.objective)
