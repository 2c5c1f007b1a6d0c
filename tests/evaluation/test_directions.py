"""Both directions of a translator are kept, and used by whoever asks (kind 41)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluation.conftest import leave_checkpoint, translation_run
from lightning_fabric import Fabric
from torch import nn

from reprolib import load, models
from reprolib.data.images import list_images, read_rgb, write_png
from reprolib.data.unpaired import open_domains
from reprolib.errors import UserError
from reprolib.evaluation.apply import Styles, apply
from reprolib.evaluation.evaluate import evaluate
from reprolib.evaluation.networks import load_network
from reprolib.evaluation.record import read_file
from reprolib.evaluation.run import measure_run
from reprolib.models.direction import OneWay, one_way, random_styles
from reprolib.models.inference import to_uint8, translate
from reprolib.models.weights import Header, save_weights
from reprolib.runs.places import Places
from reprolib.training.start import start_from
from reprolib.training.translation.task import TranslationTask

SMALL: dict[str, dict[str, Any]] = {
    "cyclegan": {"width": 4, "blocks": 1}, "distancegan": {"width": 4, "blocks": 1},
    "selfdistance": {"width": 4, "blocks": 1}, "munit": {"width": 4}, "drit": {"width": 4, "content_depth": 1}}
TWO_WAYS = [name for name in models.names("translation") if models.get(name).reverse]
STYLED = [name for name in models.names("translation") if models.get(name).styles]


def tiny_run(system: str) -> Any:
    return translation_run(name=f"tiny-{system}", system=system, network=SMALL[system], objective={}, rows=())


def whole(system: str) -> nn.Module:
    """The network as `leave_checkpoint` draws it."""
    torch.manual_seed(0)
    return models.get(system).build(**SMALL[system]).eval()


def picture(seed: int = 0, side: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)


def by_hand(system: str, network: Any, x: torch.Tensor) -> torch.Tensor:
    """B to A through the parts that the papers use for it."""
    if system == "munit":
        return network.gen_a.decode(network.gen_b.enc_content(x), torch.ones(1, 8))
    if system == "drit":
        return network.translator.generator(network.translator.content(x, "b"), torch.ones(1, 8), "a")
    return network.generator_ba(x)


def test_systems_with_two_directions() -> None:
    assert {"cyclegan", "distancegan", "selfdistance", "munit", "drit"} == set(TWO_WAYS) and STYLED == ["drit", "munit"]


@pytest.mark.parametrize("system", TWO_WAYS)
@torch.no_grad()
def test_kind_41_a_checkpoint_keeps_the_other_direction(place: Path, system: str) -> None:
    weights, x = leave_checkpoint(tiny_run(system)), torch.rand(1, 3, 32, 32) * 2 - 1
    style = torch.ones(8) if system in STYLED else None
    torch.manual_seed(99)  # nothing that is used may be drawn anew
    back = load_network(models.get(system), weights, direction="ba")
    assert torch.equal(OneWay(back, "ba", style)(x), by_hand(system, whole(system), x))
    there = load_network(models.get(system), weights)
    assert torch.equal(there(x), whole(system)(x)) and one_way(there, "ab") is there
    assert torch.equal(load(system, weights, "ba")(x), one_way(back, "ba")(x))


@pytest.mark.parametrize("system", ["cut", "fastcut", "gcgan"])
def test_kind_41_one_direction_is_said(place: Path, system: str) -> None:
    with pytest.raises(UserError, match=f"{system} has no direction ba.*cyclegan"):
        load_network(models.get(system), None, direction="ba")
    with pytest.raises(UserError, match="has no direction ba"):
        evaluate(system, "horse2zebra", direction="ba")


def test_kind_41_an_old_file_says_that_the_other_direction_is_not_in_it(place: Path) -> None:
    """Files of one generator, as they were written before, still translate and still start a training."""
    system, network = models.get("cyclegan"), whole("cyclegan")
    old = Path("old.safetensors")
    save_weights(system.part(network, "generator_ab"), old, header=Header("cyclegan", SMALL["cyclegan"]))
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(load_network(system, old)(x), network(x))
    with pytest.raises(UserError, match="the other direction is not in these weights of cyclegan") as error:
        load_network(system, old, direction="ba")
    assert str(old) in str(error.value)
    torch.manual_seed(7)
    started = system.build(**SMALL["cyclegan"])
    drawn = {name: tensor.clone() for name, tensor in started.state_dict().items()}
    start_from(started, system, old)
    for name, tensor in started.state_dict().items():
        wanted = network.state_dict()[name] if name.startswith("generator_ab.") else drawn[name]
        assert torch.equal(tensor, wanted), name


def test_kind_41_a_training_starts_from_both_directions(place: Path) -> None:
    weights, system = leave_checkpoint(tiny_run("cyclegan")), models.get("cyclegan")
    torch.manual_seed(7)
    started = system.build(**SMALL["cyclegan"])
    start_from(started, system, weights)
    wanted = whole("cyclegan").state_dict()
    same = {name.partition(".")[0] for name, tensor in started.state_dict().items() if torch.equal(tensor, wanted[name])
            and name.endswith("weight")}
    assert same == {"generator_ab", "generator_ba"}


def test_kind_41_a_published_file_of_one_generator_goes_where_it_is_wanted(tmp_path: Path) -> None:
    system, network = models.get("cyclegan"), whole("cyclegan")
    assert system.exporter is not None
    torch.save(system.exporter(network.state_dict()), tmp_path / "zebra2horse.pth")
    x = torch.rand(1, 3, 32, 32)
    for direction in ("ab", "ba"):
        loaded = load_network(system, tmp_path / "zebra2horse.pth", direction=direction, **SMALL["cyclegan"])
        assert torch.equal(one_way(loaded, direction)(x), network(x))


@pytest.mark.parametrize(("two_sided", "kept"), [(True, {"generator_ab", "generator_ba"}), (False, {"generator_ab"})])
def test_kind_41_a_training_keeps_the_directions_that_it_trains(place: Path, two_sided: bool, kept: set[str]) -> None:
    run = tiny_run("distancegan").model_copy(update={"objective": {"two_sided": two_sided}})
    task = TranslationTask(run, Fabric(accelerator="cpu", devices=1), open_domains("horse2zebra", "val"))
    assert {name.partition(".")[0] for name in task.weights()} == kept


def test_kind_41_measuring_back_uses_the_other_domain_and_fills_no_table(place: Path, brightness: Any) -> None:
    run = tiny_run("cyclegan").model_copy(update={"rows": ("cut/cyclegan",)})
    leave_checkpoint(run)
    leave_checkpoint(run, file="best")
    list_images(next(place.rglob("testB")))[-1].unlink()
    there = measure_run(run)
    before = Places(run).records.read_bytes()
    back = measure_run(run, direction="ba")
    assert Places(run).records.read_bytes() == before and all(r.rows and "direction" not in r.details for r in there)
    assert back == read_file(Places(run).work / "ba" / "records.json")
    assert {(r.rows, r.tabled, r.details["direction"], r.n, r.n_real) for r in back} == {((), False, "ba", 2, 3)}
    assert all("sample: 3 of 120 and 2 of 140" in r.note for r in (*there, *back))
    zebras, horses = open_domains("horse2zebra", "test").b, open_domains("horse2zebra", "test").a
    made = list_images(Places(run).work / "ba" / "pictures")
    assert [path.stem for path in made] == zebras.names
    wanted = to_uint8(translate(OneWay(whole("cyclegan"), "ba"), zebras[0], 4))
    assert np.array_equal(read_rgb(made[0]), wanted)

    def level(pictures: Any) -> float:
        return float(np.mean([p.mean() for p in pictures]))

    assert back[0].value == pytest.approx(abs(level(horses) - level(map(read_rgb, made))), abs=1e-5)
    assert back[0].input_value == there[0].input_value, "brightness is symmetric"


def test_kind_41_evaluating_back(place: Path, brightness: Any) -> None:
    weights = leave_checkpoint(tiny_run("munit"))
    found = evaluate("munit", "horse2zebra", weights=weights, limit=2, direction="ba", pictures=Path("out"))
    assert found.as_json()["direction"] == "ba" and found.n == 2
    assert [p.stem for p in list_images(Path("out"))] == open_domains("horse2zebra", "test", limit=2).b.names
    assert evaluate("munit", "horse2zebra", weights=weights, limit=2).as_json()["direction"] == "ab"
    with pytest.raises(UserError, match="'direction' is no option of dehazing"):
        evaluate("dcp", "nh-haze", direction="ba")


@pytest.mark.parametrize("system", STYLED)
def test_kind_41_styles_of_a_seed_are_the_same_again_and_differ_from_each_other(place: Path, system: str) -> None:
    weights = leave_checkpoint(tiny_run(system))
    for name in "xy":
        write_png(place / "in" / f"{name}.png", picture(ord(name)))
    for folder, styles in (("a", Styles(3, 5)), ("b", Styles(2, 5)), ("c", Styles(2, 6))):
        apply(place / "in", place / folder, "translation", system, weights, "mini", styles=styles)
    names = sorted(os.listdir(place / "a"))
    assert names == ["x-1.png", "x-2.png", "x-3.png", "y-1.png", "y-2.png", "y-3.png"]
    pictures = {folder: {name: read_rgb(place / folder / name) for name in os.listdir(place / folder)}
                for folder in "abc"}
    for name in pictures["b"]:
        assert np.array_equal(pictures["a"][name], pictures["b"][name])
        assert not np.array_equal(pictures["b"][name], pictures["c"][name])
    assert not np.array_equal(pictures["a"]["x-1.png"], pictures["a"]["x-2.png"])
    network, style = whole(system), random_styles(2, 8, 5)[1]
    wanted = to_uint8(translate(OneWay(network, "ab", style), picture(ord("y")), 4))
    assert np.array_equal(pictures["a"]["y-2.png"], wanted), "one style for all pictures"


@pytest.mark.parametrize("system", STYLED)
@torch.no_grad()
def test_kind_41_the_style_of_a_picture(place: Path, system: str) -> None:
    """It is encoded in the domain that is translated to: of B from A to B, of A on the way back."""
    weights, network = leave_checkpoint(tiny_run(system)), whole(system)
    write_png(place / "in.png", picture(1))
    write_png(place / "like.png", picture(2))
    like = torch.from_numpy(picture(2)).permute(2, 0, 1)[None] / 127.5 - 1
    for direction, domain in (("ab", "b"), ("ba", "a")):
        apply(place / "in.png", place / f"{direction}.png", "translation", system, weights, "mini",
              direction=direction, styles=Styles(like=place / "like.png"))  # type: ignore[arg-type]
        if system == "munit":
            style = network.get_submodule(f"gen_{domain}").enc_style(like).flatten(1)  # type: ignore[operator]
        else:
            style = network.translator.attributes[domain](like)[0]  # type: ignore[index,union-attr]
        wanted = to_uint8(translate(OneWay(network, direction, style[0]), picture(1), 4))  # type: ignore[arg-type]
        assert np.array_equal(read_rgb(place / f"{direction}.png"), wanted)
    write_png(place / "small.png", picture(2, side=12))
    with pytest.raises(UserError, match="too small .*small.png"):
        apply(place / "in.png", place / "out.png", "translation", system, weights, "mini",
              styles=Styles(like=place / "small.png"))


def test_styles_where_there_are_none_are_refused(place: Path) -> None:
    write_png(place / "in.png", picture())
    with pytest.raises(UserError, match="cyclegan has no styles.*munit or drit"):
        apply(place / "in.png", place / "out.png", "translation", "cyclegan", None, "mini", styles=Styles(2))


def test_several_styles_of_one_picture_never_replace_it(place: Path) -> None:
    weights = leave_checkpoint(tiny_run("munit"))
    write_png(place / "out-2.png", picture())
    with pytest.raises(UserError, match="would replace the input"):
        apply(place / "out-2.png", place / "out.png", "translation", "munit", weights, "mini", styles=Styles(3))
    assert apply(place / "out-2.png", place / "new.png", "translation", "munit", weights, "mini",
                 styles=Styles(2)).written == 2
    assert (place / "new-1.png").is_file() and (place / "new-2.png").is_file()


def test_kind_33_photos_to_label_maps_are_scored_without_a_segmenter(place: Path, monkeypatch: pytest.MonkeyPatch,
                                                                     brightness: object) -> None:
    """A translator that paints the true maps has 100 %; horse2zebra has no maps, and grey ones are none (kind 37)."""
    from reprolib.data.unpaired import open_domains
    from reprolib.evaluation import evaluate as module

    truth = list(open_domains("cityscapes", "test", direction="ba").b)
    monkeypatch.setattr(module, "translate_all", lambda network, multiple, sources: truth[:len(list(sources))])
    found = evaluate("cyclegan", "cityscapes", direction="ba", network=SMALL["cyclegan"])
    assert {name: found.scores[name] for name in ("pixacc", "classacc", "miou")} == pytest.approx(
        {"pixacc": 100, "classacc": 100, "miou": 100})
    assert evaluate("cyclegan", "cityscapes", direction="ba", metrics=["miou"], network=SMALL["cyclegan"]).n == 3
    for words, said in (({"dataset": "horse2zebra", "metrics": ["miou"]}, "has no label maps"),
                        ({"dataset": "cityscapes", "segmenter": Path("any")}, "leave the segmenter out")):
        with pytest.raises(UserError, match=said):
            evaluate("cyclegan", direction="ba", network=SMALL["cyclegan"], **words)  # type: ignore[arg-type]
    for path in place.rglob("cityscapes/val/*.jpg"):
        path.unlink()
        write_png(path.with_suffix(".png"), np.random.default_rng(0).integers(0, 255, (32, 80, 3), dtype=np.uint8))
    with pytest.raises(UserError, match="% of the pixels of cityscapes's label maps have no colour"):
        evaluate("cyclegan", "cityscapes", direction="ba", network=SMALL["cyclegan"])
