"""What the released code does otherwise than our defaults: each option restated, and defaults that did not move."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.contrast.patchnce import sample_positions
from reprolib.data.unpaired import resize
from reprolib.errors import UserError
from reprolib.models.inference import to_uint8
from reprolib.models.translation.distancegan import DistanceGAN, DistanceObjective
from reprolib.models.translation.gcgan import GcGAN, GcGANObjective
from reprolib.runs.profile import read_profile
from reprolib.runs.run import Optimiser, Schedule
from reprolib.training.dehazing import terms
from reprolib.training.optimisation import build_optimiser, learning_rate_factor
from reprolib.training.segmentation import segmenter_run, train_segmenter
from reprolib.training.translation.distance import DistanceMethod
from reprolib.training.translation.gcgan import GcGANMethod

FABRIC = Fabric(accelerator="cpu", devices=1)


def before(schedule: Schedule, step: int, steps: int) -> float:
    """The factor as it was when profile mini's numbers were made."""
    share = step / steps
    rise = min(1.0, (step + 1) / (schedule.warmup * steps)) if schedule.warmup else 1.0
    if schedule.kind == "cosine":
        return rise * 0.5 * (1.0 + math.cos(math.pi * share))
    if schedule.kind == "linear":
        return rise if share <= schedule.start else rise * (1.0 - share) / (1.0 - schedule.start)
    if schedule.kind == "step":
        return rise * float(schedule.factor ** int(share / schedule.every))
    return rise


def test_no_rate_of_profile_mini_moved(project: Path) -> None:
    mini = read_profile("mini", project)
    runs = [*mini.runs.values(), segmenter_run("photos-labels2photo", "mini", mini.segmenter)]
    for run in runs:
        for step in range(run.steps):
            assert learning_rate_factor(run.schedule, step, run.steps) == before(run.schedule, step, run.steps), run.id


@pytest.mark.parametrize(("every", "steps"), [(0.2, 77_700), (0.2, 500_000), (0.1, 1_000_000), (0.4, 116_600),
                                              (1 / 3, 999), (0.3, 7)])
def test_rates_fall_at_whole_parts(every: float, steps: int) -> None:
    """At the first step whose position is not below k parts; the third part of 0.2 came a step late once."""
    schedule = Schedule(kind="step", every=every, factor=0.5)
    for k in range(1, math.ceil(1 / every)):
        first = math.ceil(round(k * every * steps, 6))
        assert learning_rate_factor(schedule, first - 1, steps) == 0.5 ** (k - 1)
        assert learning_rate_factor(schedule, first, steps) == 0.5**k


def test_milestones_are_msbdns_epochs() -> None:
    """lr * 0.1 ** (epoch // 50) with epochs from 1 to 100."""
    schedule = Schedule(kind="step", milestones=(0.49, 0.99), factor=0.1)
    for epoch in range(1, 101):
        for step in ((epoch - 1) * 7300, epoch * 7300 - 1):
            assert learning_rate_factor(schedule, step, 730_000) == pytest.approx(0.1 ** (epoch // 50))


def test_ends_above_zero() -> None:
    linear, cosine = Schedule(kind="linear", start=0.5, end=0.01), Schedule(kind="cosine", end=0.01, warmup=0.05)
    assert learning_rate_factor(linear, 500, 1000) == 1
    assert learning_rate_factor(linear, 750, 1000) == pytest.approx(0.505)
    assert learning_rate_factor(linear, 1000, 1000) == learning_rate_factor(cosine, 1000, 1000) == pytest.approx(0.01)
    # DistanceGAN's rates, constant for 101 epochs and then 0.01 less each: the same sum.
    theirs = sum(min(1.0, 1 - 0.01 * (epoch - 100)) for epoch in range(200)) / 200
    assert sum(learning_rate_factor(linear, s, 2000) for s in range(2000)) / 2000 == pytest.approx(theirs, abs=1e-3)


def test_adamw_decays_weights_apart_from_the_gradient() -> None:
    weight = nn.Parameter(torch.tensor([2.0]))
    optimiser = build_optimiser(Optimiser(kind="adamw", weight_decay=0.1), 0.01, [weight])
    weight.grad = torch.zeros(1)
    optimiser.step()
    assert weight.item() == pytest.approx(2.0 * (1 - 0.01 * 0.1))


class Batches:
    """Random pictures of two domains of different sizes."""

    batch, steps_per_epoch = 2, 5

    class Domains:
        a, b = range(7), range(10)

    domains = Domains()

    def __len__(self) -> int:
        return 40

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(step)
        a = torch.rand(2, 3, 32, 40, generator=generator) * 2 - 1
        return a, torch.rand(2, 3, 32, 40, generator=generator) ** 2 * 2 - 1


def distance_method(**objective: Any) -> DistanceMethod:
    torch.manual_seed(0)
    return DistanceMethod(DistanceGAN(4, 2), FABRIC, 1e-3, DistanceObjective(**objective))


def half_distance(picture_CHW: Tensor) -> Tensor:
    middle = picture_CHW.shape[1] // 2
    return (picture_CHW[:, :middle] - picture_CHW[:, middle:]).abs().mean()


def test_selfdistance_takes_the_change_of_the_batchs_mean() -> None:
    """Two pictures that change in opposite ways cancel, as in the released code; one picture is as it was."""
    method = distance_method(pairs="halves")
    source = torch.rand(2, 3, 16, 20) * 2 - 1
    fake = torch.stack((source[0] * 0.5, (source[1] * 1.5).clamp(-1, 1)))
    own, other = (0.3, 0.2), (0.4, 0.1)

    def change(pictures: slice) -> Tensor:
        was = torch.stack([(half_distance(x) - own[0]) / own[1] for x in source[pictures]])
        now = torch.stack([(half_distance(x) - other[0]) / other[1] for x in fake[pictures]])
        return was.mean() - now.mean()

    torch.testing.assert_close(method._change(source, fake, own, other), change(slice(2)).abs())
    one = method._change(source[:1], fake[:1], own, other)
    torch.testing.assert_close(one, change(slice(1)).abs())
    method.pairs = "pictures"
    mean = (((source[0] - source[1]).abs().mean() - own[0]) / own[1]
            - ((fake[0] - fake[1]).abs().mean() - other[0]) / other[1]).abs()
    torch.testing.assert_close(method._change(source, fake, own, other), mean)


@pytest.mark.parametrize(("statistics", "counts"), [("epoch", (5, 5)), ("domain", (3, 5))])
def test_statistics_stop_at_the_end_of_a_domain(statistics: str, counts: tuple[int, int]) -> None:
    """Five batches make an epoch; a domain of seven pictures has three whole ones."""
    method, batches = distance_method(statistics=statistics), Batches()
    method.prepare(batches)  # type: ignore[arg-type]  # all that it asks of batches
    found = method.statistics
    for side, (mean, std) in enumerate(((found.mean_a, found.std_a), (found.mean_b, found.std_b))):
        rows = [batches[step][side] for step in range(counts[side])]
        distances = torch.stack([(x - y).abs().mean() for x, y in combinations(rows, 2)])
        assert std == pytest.approx(distances.std(correction=0).item(), rel=1e-4)
        assert mean == pytest.approx(distances.mean().item(), rel=1e-5)


@pytest.mark.parametrize(("transform", "turned"), [
    ("rot90", lambda x: x.transpose(2, 3).flip(2)), ("rot270", lambda x: x.transpose(2, 3).flip(3)),
    ("vflip", lambda x: x.flip(2)),
])
def test_gcgans_turns(transform: str, turned: Any) -> None:
    """The released code transposes and reverses columns: clockwise."""
    torch.manual_seed(0)
    method = GcGANMethod(GcGAN(4, 2), FABRIC, 1e-3, GcGANObjective(transform=transform))  # type: ignore[arg-type]
    x = torch.rand(2, 3, 8, 12)
    assert torch.equal(method._turn(x), turned(x))
    assert torch.equal(method._turn_back(method._turn(x)), x)


def test_all_positions_of_a_small_layer_where_that_is_allowed() -> None:
    maps = [torch.rand(1, 4, 16, 20), torch.rand(1, 8, 4, 5)]
    with pytest.raises(UserError, match="256 patches asked of a layer with 5x4 positions"):
        sample_positions(maps, 256, torch.Generator())
    large, small = sample_positions(maps, 256, torch.Generator(), allow_fewer=True)
    assert len(large) == 256 and sorted(small.tolist()) == list(range(20))


def test_levels_are_rounded_or_cut_off() -> None:
    values = np.linspace(-0.1, 1.1, 2001, dtype=np.float32)[:, None, None].repeat(3, 2)
    nearest, down = to_uint8(values).astype(int), to_uint8(values, "down").astype(int)
    levels = 255 * values.clip(0, 1)
    assert (down == np.floor(levels)).all() and (nearest == np.floor(levels + 0.5)).all()
    inside = (values > 0) & (values < 1)
    assert (nearest - down)[inside].mean() == pytest.approx(0.5, abs=0.01)


def test_pictures_are_resized_as_asked() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    for name, resampling in (("bicubic", Image.Resampling.BICUBIC), ("bilinear", Image.Resampling.BILINEAR)):
        assert (resize(picture, 47, name) == np.asarray(Image.fromarray(picture).resize((47, 47), resampling))).all()
    assert (resize(picture, 47) == resize(picture, 47, "bicubic")).all()


def test_plain_perceptual_term_feeds_torchvisions_vgg16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Restated by torchvision's own network; the file lies where the message would send one."""
    from torchvision.models import vgg16

    torch.manual_seed(1)
    network = vgg16(weights=None).eval()
    (tmp_path / "weights").mkdir()
    torch.save(network.state_dict(), tmp_path / "weights" / "vgg16-torchvision.pth")
    monkeypatch.chdir(tmp_path)
    hazy, clear = torch.rand(2, 2, 3, 32, 32)
    found = terms.Perceptual(plain=True)(terms.Restoration(nn.Identity(), hazy, clear, torch.Generator()))
    wanted = []
    with torch.no_grad():
        for last in (3, 8, 15):  # relu1_2, relu2_2, relu3_3
            part = network.features[: last + 1]
            wanted.append(F.mse_loss(part(hazy), part(clear)))
    torch.testing.assert_close(found, torch.stack(wanted).mean(), rtol=1e-4, atol=1e-7)


def test_profile_paper_starts_the_segmenter_from_imagenet(project: Path, tmp_path: Path) -> None:
    run = segmenter_run("cityscapes", "paper", read_profile("paper", project).segmenter)
    assert run.imagenet
    with pytest.raises(UserError, match=r"no ImageNet classifier to start from.*drn_d_22-\*\.pth"):
        train_segmenter(run, root=tmp_path)
    assert segmenter_run("photos-labels2photo", "mini", read_profile("mini", project).segmenter).imagenet is None
