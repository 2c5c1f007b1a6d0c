"""Terms of a dehazer's loss: each against its formula written out, and that each trains what it should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from reprolib import models
from reprolib.contrast.features import VGGFeatures
from reprolib.data.paired import Pair
from reprolib.errors import UserError
from reprolib.models.dehazing.kddn import build
from reprolib.models.objective import Contrast, DehazingObjective
from reprolib.runs.run import DehazingRun, Optimiser
from reprolib.training.dehazing import task as dehazing
from reprolib.training.dehazing import terms
from reprolib.training.dehazing.terms import Restoration, Transmission, build_terms, cut_patches, imitation
from reprolib.training.optimisation import build_optimiser

SMALL = {
    "aecrnet": {"width": 8, "blocks": 1}, "aodnet": {}, "dehazenet": {}, "fdu": {"width": 4, "blocks": 1},
    "ffanet": {"width": 8, "blocks": 1}, "gcanet": {"width": 4}, "griddehazenet": {"width": 2, "growth": 2},
    "kddn": {"width": 4, "blocks": 3}, "msbdn": {"width": 2, "blocks": 1},
}
"""Options of the reduced network of every system that is trained."""


class Known(nn.Module):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.calls = nn.Parameter(torch.tensor(0.5)), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.scale * x


def restoration(network: nn.Module | None = None, size: int = 16, **options: bool) -> Restoration:
    hazy, clear = torch.rand(2, 2, 3, size, size)
    return Restoration(network or Known(), hazy, clear, torch.Generator().manual_seed(1), **options)


def a_run(**settings: object) -> DehazingRun:
    common = {"name": "t", "profile": "test", "dataset": "haze-homogeneous", "steps": 6, "batch": 2, "crop": 32,
              "learning_rate": 1e-3}
    return DehazingRun(**{**common, **settings})  # type: ignore[arg-type]


@pytest.fixture
def random_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    """VGGs with random weights: what is tested is the arithmetic on their features."""
    monkeypatch.setattr(terms, "load_features", lambda name, taps: VGGFeatures(name, taps=taps))


def task(**settings: object) -> tuple[dehazing.DehazingTask, Fabric]:
    fabric = Fabric(accelerator="cpu", devices=1)
    picture = np.zeros((32, 32, 3), np.uint8)
    return dehazing.DehazingTask(a_run(**settings), fabric, [Pair("1", picture, picture)]), fabric  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "by_hand"), [
    ("l1", lambda d: d.abs().mean()),
    ("mse", lambda d: (d * d).mean()),
    ("smooth_l1", lambda d: torch.where(d.abs() < 1, d * d / 2, d.abs() - 0.5).mean()),
])
def test_pixel_terms(name: str, by_hand) -> None:  # type: ignore[no-untyped-def]
    found = build_terms(a_run(system="aodnet", loss={name: 1.0}))[name]
    a = restoration()
    a.clear_B3HW = 3 * a.clear_B3HW  # differences on both sides of smooth L1's bend
    torch.testing.assert_close(found(a), by_hand(0.5 * a.hazy_B3HW - a.clear_B3HW))


def test_the_network_runs_once_however_many_terms_ask_and_never_unasked() -> None:
    network = Known()
    a = restoration(network)
    assert network.calls == 0
    for term in build_terms(a_run(system="aodnet", loss={"l1": 1.0, "mse": 1.0})).values():
        term(a)
    assert network.calls == 1


@pytest.mark.usefixtures("random_vgg")
@pytest.mark.parametrize(("name", "layers", "system"), [
    ("perceptual", [(1, 3), (2, 8), (3, 15)], "griddehazenet"),
    ("features", [(1, 3), (2, 8), (3, 13), (4, 22), (5, 31)], "kddn"),
])
def test_features_of_vgg_restated(name: str, layers: list[tuple[int, int]], system: str) -> None:
    """`layers`: block, and index of its ReLU among torchvision's `features`."""
    term = build_terms(a_run(system=system, loss={name: 1.0}))[name]
    a = restoration(size=16)

    def features(x: Tensor) -> list[Tensor]:
        vgg, found = term.extractor, []
        if vgg.normalisation == "caffe":  # BGR levels about a mean, in units of the picture's range
            x = (x - torch.tensor([123.68, 116.779, 103.939]).view(3, 1, 1) / 255)[:, [2, 1, 0]]
        for index in range(layers[-1][1] + 1):
            layer = vgg.features[index]
            is_relu = isinstance(layer, nn.ReLU)
            x = x.clamp_min(0) if is_relu else layer(x)
            found += [x] if index in [i for _, i in layers] else []
        assert len(vgg.features) == layers[-1][1] + 1, "nothing is computed beyond the last tap"
        return found

    pairs = list(zip(features(0.5 * a.hazy_B3HW), features(a.clear_B3HW), strict=True))
    squared = sum((x - y).square().mean() for x, y in pairs) / len(pairs)
    absolute = sum((x - y).abs().mean() for x, y in pairs)
    found = term(a)
    torch.testing.assert_close(found, squared if name == "perceptual" else absolute, rtol=1e-5, atol=0)
    found.backward()
    assert a.network.scale.grad is not None and a.network.scale.grad != 0  # type: ignore[union-attr, comparison-overlap]
    assert all(p.grad is None for p in term.extractor.parameters())


def test_patches_lie_side_by_side() -> None:
    x = torch.arange(2 * 3 * 40 * 33.0).view(2, 3, 40, 33)
    patches = cut_patches(x, 16)
    assert patches.shape == (2 * 2 * 2, 3, 16, 16)
    assert torch.equal(patches[1], x[0, :, :16, 16:32])
    assert torch.equal(patches[6], x[1, :, 16:32, :16])


def test_transmission_is_the_error_on_synthetic_haze() -> None:
    """A network that reads t off haze over black patches, I = 1 - t, makes no error."""
    class Reader(nn.Module):
        def patch_transmission(self, x: Tensor) -> Tensor:
            seen.append(x)
            return 1 - x.mean((1, 2, 3), keepdim=True)

    seen: list[Tensor] = []
    a = restoration(Reader(), size=40)
    a.clear_B3HW = torch.zeros(2, 3, 40, 40)
    assert Transmission()(a).item() < 1e-12
    t = 1 - seen[0][:, 0, 0, 0]
    assert len(t) == 8 and len(t.unique()) == 8 and t.min() > 0 and t.max() < 1
    a.generator.manual_seed(1)
    Transmission()(a)
    assert torch.equal(seen[0], seen[1]), "the draw is the generator's"
    a.clear_B3HW = torch.ones(2, 3, 40, 40)  # white under white haze: always 1, read as t = 0
    a.generator.manual_seed(1)
    torch.testing.assert_close(Transmission()(a), t.square().mean())


def test_imitation_is_l1_at_each_depth_and_moves_only_the_student() -> None:
    student, teacher = build("student", width=4), build("teacher", width=4)
    hazy, clear = torch.rand(2, 2, 3, 16, 16)
    _, mine = student(hazy, with_features=True)
    theirs = teacher.features(clear)
    loss = imitation(mine, theirs)
    by_hand = sum((a - b).abs().sum() / a.numel() for a, b in zip(mine, theirs, strict=True))
    torch.testing.assert_close(loss, by_hand, rtol=1e-6, atol=0)
    assert imitation(theirs, theirs).item() == 0
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert all(p.grad is not None for p in student.body.parameters())
    assert all(p.grad is None for p in student.upsample.parameters())
    with pytest.raises(ValueError):
        imitation(mine, theirs[:2])


def test_imitation_brings_the_student_nearer() -> None:
    student, teacher = build("student", width=4, blocks=3), build("teacher", width=4, blocks=3)
    x = torch.rand(2, 3, 16, 16)
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-2)
    wanted, distances = teacher.features(x), []
    for _ in range(20):
        distance = imitation(student.features(x), wanted)
        optimiser.zero_grad()
        distance.backward()
        optimiser.step()
        distances.append(distance.item())
    assert distances[-1] < 0.5 * distances[0]


def test_the_teacher_learns_first_and_then_only_the_student() -> None:
    """6 steps: 2 for the teacher, as the share of its epochs, then the student against the frozen teacher."""
    t, fabric = task(system="kddn", network=SMALL["kddn"], loss={"l1": 1.0, "distillation": 0.5})
    assert set(t.networks) == set(t.optimisers) == {"network", "teacher"}
    batch = (torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32))
    for step in range(4):
        before = {name: [p.clone() for p in network.parameters()] for name, network in t.networks.items()}
        logged = t.step(fabric, batch, step, torch.Generator())
        moved = {name: any(not torch.equal(p, q) for p, q in zip(before[name], network.parameters(), strict=True))
                 for name, network in t.networks.items()}
        assert moved == {"network": step >= 2, "teacher": step < 2}
        assert ("teacher" in logged) == (step < 2)
    torch.testing.assert_close(logged["loss"], logged["l1"] + 0.5 * logged["distillation"])
    assert set(t.weights()) == set(t.network.state_dict()), "the teacher is not kept"


@pytest.mark.parametrize("name", models.names("dehazing"))
def test_every_trained_system_takes_a_step_of_its_recipe(name: str, random_vgg: None,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """The published settings as they stand, on a small network and a small crop."""
    monkeypatch.setattr(dehazing, "load_features", VGGFeatures)
    system = models.get(name)
    if not system.trained:
        assert not system.recipe
        return
    objective = system.objective or DehazingObjective()
    assert isinstance(objective, DehazingObjective)
    published = DehazingRun.of({**a_run(system=name).settings, "loss": dict(objective.loss), **system.recipe})
    settings = {key: getattr(published, key) for key in system.recipe if key not in ("network", "contrast")}
    t, fabric = task(system=name, network=SMALL[name], **{"loss": published.loss, **settings, "steps": 1},
                     contrast=objective.contrast)
    before = [p.clone() for p in t.network.parameters()]
    step = 0 if t.distillation is None else 1  # past the teacher's share
    logged = t.step(fabric, (torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)), step, torch.Generator())
    assert {*t.run.loss, "loss"} == {key for key in logged if not key.startswith("cr")}
    assert ("cr" in logged) == (objective.contrast is not None)
    assert logged["loss"].isfinite()
    assert any(not torch.equal(p, q) for p, q in zip(before, t.network.parameters(), strict=True))


def test_gradients_of_a_pixel_loss_flow_through_dehazenets_recovery() -> None:
    """Against finite differences, in double precision."""
    network = models.get("dehazenet").build().double()
    hazy, clear = torch.rand(2, 1, 3, 20, 20, dtype=torch.float64)
    (network(hazy) - clear).abs().mean().backward()
    weight = network.ip.weight
    step = torch.zeros_like(weight)
    step[0, 7, 2, 3] = 1e-6
    with torch.no_grad():
        values = []
        for sign in (1, -1):
            weight += sign * step
            values.append((network(hazy) - clear).abs().mean().item())
            weight -= sign * step
    assert weight.grad is not None
    assert weight.grad[0, 7, 2, 3].item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-3)
    assert weight.grad[0, 7, 2, 3] != 0


@pytest.mark.parametrize("name", ["griddehazenet", "ffanet", "kddn", "msbdn"])
def test_the_contrastive_term_joins_any_system(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's 'CR on other networks': one setting more, and the loss is l1 + 0.1 CR."""
    monkeypatch.setattr(dehazing, "load_features", VGGFeatures)
    t, fabric = task(system=name, network=SMALL[name], contrast=Contrast(weight=0.1))
    logged = t.step(fabric, (torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)), 0, torch.Generator())
    torch.testing.assert_close(logged["loss"], logged["l1"] + 0.1 * logged["cr"])
    assert logged["cr"] > 0


@pytest.mark.parametrize(("settings", "message"), [
    ({"loss": {"l2": 1.0}}, "unknown term of the loss 'l2'"),
    ({"loss": {}}, "no loss"),
    ({"loss": {"transmission": 1.0}}, "'aodnet' has no transmission to train"),
    ({"loss": {"distillation": 1.0}}, "'aodnet' has no distillation to train"),
    ({"system": "dehazenet", "loss": {"transmission": 1.0}, "crop": 12}, "a crop of 12 holds no patch"),
])
def test_wrong_losses_are_told(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_terms(a_run(**{"system": "aodnet", **settings}))


def test_a_crop_that_the_network_cannot_take_is_padded_and_cut_back() -> None:
    """40 pixels for MSBDN, which takes multiples of 16: as whole pictures are restored."""
    network = models.get("msbdn").build(**SMALL["msbdn"])
    hazy, clear = torch.rand(2, 2, 3, 40, 40)
    a = Restoration(network, hazy, clear, torch.Generator(), multiple=16)
    wanted = network(torch.nn.functional.pad(hazy, (0, 8, 0, 8), mode="reflect"))[..., :40, :40]
    torch.testing.assert_close(a.restored_B3HW, wanted)


def test_optimisers() -> None:
    parameters = [nn.Parameter(torch.zeros(1))]
    sgd = build_optimiser(Optimiser(kind="sgd", momentum=0.8, weight_decay=0.1), 1e-3, parameters)
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.defaults["lr"], sgd.defaults["momentum"], sgd.defaults["weight_decay"]) == (1e-3, 0.8, 0.1)
    for kind, made in (("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)):
        adam = build_optimiser(Optimiser(kind=kind, betas=(0.5, 0.9)), 1e-3, parameters)  # type: ignore[arg-type]
        assert isinstance(adam, made) and adam.defaults["betas"] == (0.5, 0.9)


