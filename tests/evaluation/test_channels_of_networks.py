"""Kind 33: translators of grey pictures and of pictures of several channels, from their weights to what they write."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluation.conftest import leave_checkpoint, translation_run
from lightning_fabric import Fabric
from PIL import Image

from reprolib import models
from reprolib.data.channels import read_channels
from reprolib.data.images import list_images, write_image, write_png
from reprolib.data.unpaired import open_domains
from reprolib.errors import UserError
from reprolib.evaluation.apply import apply
from reprolib.evaluation.evaluate import evaluate
from reprolib.evaluation.networks import load_network
from reprolib.evaluation.run import measure_run
from reprolib.models.inference import channels_of, to_uint8, translate
from reprolib.runs.places import Places
from reprolib.training.translation.task import open_run

SMALL: dict[str, dict[str, Any]] = {
    "munit": {"width": 4}, "drit": {"width": 4, "content_depth": 1}, "drit feature": {"width": 4, "content_depth": 1,
                                                                                     "attributes": "feature"}}
RESNETS = {"width": 4, "blocks": 2}
RANDOM = np.random.default_rng(0)


def noise(channels: int, side: int = 32) -> np.ndarray:
    return RANDOM.integers(0, 256, (side, side, channels), dtype=np.uint8)


@pytest.mark.parametrize("name", [*models.names("translation"), "drit feature"])
@pytest.mark.parametrize("channels", [1, 5])
def test_kind_33_published_weights_say_their_channels(tmp_path: Path, name: str, channels: int) -> None:
    system = models.get(name.split()[0])
    torch.manual_seed(0)
    network = system.build(**SMALL.get(name, RESNETS), channels=channels).eval()
    theirs = system.part(network, *system.inference).state_dict()
    if system.exporter:
        theirs = system.exporter(theirs)
    torch.save(theirs, tmp_path / "net.pth")
    loaded = load_network(system, tmp_path / "net.pth")
    assert channels_of(loaded) == channels
    picture = noise(channels)
    assert np.array_equal(translate(loaded, picture, system.multiple), translate(network, picture, system.multiple))


@pytest.mark.parametrize("system", ["cut", "cyclegan", "munit", "drit"])
def test_kind_33_a_step_on_grey_pictures(place: Path, system: str) -> None:
    network = {**SMALL.get(system, RESNETS), "channels": 1}
    side = 64 if system in SMALL else 32
    run = translation_run(system=system, network=network, objective={"patches": 16} if system == "cut" else {}, rows=(),
                          batch=2, crop=side, load=side, steps=1)
    task, batches = open_run(run, Fabric(accelerator="cpu", devices=1))
    task.begin(batches)
    random = torch.Generator().manual_seed(0)
    terms = task.step(Fabric(accelerator="cpu", devices=1), batches[0], 0, random)
    assert math.isfinite(terms["loss"])


def test_kind_33_grey_pictures_are_measured_and_written_in_grey(place: Path, brightness: Any) -> None:
    run = translation_run(network={**RESNETS, "channels": 1}, rows=())
    weights = leave_checkpoint(run)
    leave_checkpoint(run, file="best")
    assert measure_run(run)[0].value is not None
    found = evaluate("cut", "horse2zebra", weights=weights, limit=2, pictures=Path("out"))
    assert found.n == 2
    network, horses = load_network(models.get("cut"), weights), open_domains("horse2zebra", "test").in_channels(1).a
    for folder in (Places(run).pictures, Path("out")):
        first = list_images(folder)[0]
        assert np.array_equal(read_channels(first, 1), to_uint8(translate(network, horses[0], 4)))
        with Image.open(first) as image:
            assert image.mode == "L"


def test_kind_33_a_picture_is_translated_in_grey_and_keeps_its_transparency(place: Path) -> None:
    weights = leave_checkpoint(translation_run(network={**RESNETS, "channels": 1}))
    for name, picture in (("grey", noise(1)), ("colour", noise(3)), ("clear", noise(4))):
        write_png(place / "in" / f"{name}.png", picture)
    assert apply(place / "in", place / "out", "translation", "cut", weights, None, alpha=True).written == 3
    modes = {}
    for path in list_images(place / "out"):
        with Image.open(path) as image:
            modes[path.stem] = image.mode
    assert modes == {"grey": "L", "colour": "L", "clear": "RGBA"}
    assert np.array_equal(read_channels(place / "out/clear.png", 4)[..., 3],
                          read_channels(place / "in/clear.png", 4)[..., 3])


def test_kind_33_pictures_of_five_channels_are_translated_and_not_scored(place: Path) -> None:
    weights = leave_checkpoint(translation_run(network={**RESNETS, "channels": 5}))
    for name in "ab":
        write_image(place / "in" / f"{name}.tif", noise(5))
    with pytest.raises(UserError, match=r"pictures of 5 channels are written as TIFF \(out/a\.png\)"):
        apply(Path("in"), Path("out"), "translation", "cut", weights, None)
    assert apply(Path("in"), Path("out"), "translation", "cut", weights, None, form="keep").written == 2
    wanted = to_uint8(translate(load_network(models.get("cut"), weights), read_channels(Path("in/a.tif"), 5), 4))
    assert np.array_equal(read_channels(Path("out/a.tif"), 5), wanted)
    for side in "AB":
        for path in list_images(next(place.rglob(f"test{side}"))):
            path.unlink()
            write_image(path.with_suffix(".tif"), noise(5))
    with pytest.raises(UserError, match="pictures of 5 channels cannot be scored"):
        evaluate("cut", "horse2zebra", weights=weights, pictures=Path("scored"))
    assert not Path("scored").exists(), "told before anything is translated"
