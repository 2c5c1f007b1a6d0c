"""Training CUT, FastCUT, CycleGAN, GcGAN and DistanceGAN: who moves, losses stated anew, resumed bit for bit."""

from __future__ import annotations

import copy
import io
from itertools import combinations
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib import models
from reprolib.contrast.patchnce import PatchNCE, project, sample_positions
from reprolib.errors import UserError
from reprolib.experiment import Experiment, Optimiser
from reprolib.models.translation.cut import CUT
from reprolib.training.translation import cut, cyclegan, distance, gcgan
from reprolib.training.translation.gan import ImagePool, frozen, judge, least_squares
from reprolib.training.translation.task import TranslationTask

RATE = 1e-3
SIZE = (32, 40)
METHODS: dict[str, Any] = {"cut": cut, "cyclegan": cyclegan, "gcgan": gcgan, "distance": distance}

CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "cut": ("cut", {}, {"patches": 16}),
    "cut-external": ("cut", {}, {"patches": 16, "negatives": "external", "bank": 40}),
    "cut-both": ("cut", {}, {"patches": 16, "negatives": "both", "bank": 40}),
    "fastcut": ("fastcut", {}, {"patches": 16}),
    "cyclegan": ("cyclegan", {}, {}),
    "cyclegan-no-identity": ("cyclegan", {}, {"identity": 0.0}),
    "gcgan": ("gcgan", {}, {}),
    "gcgan-unshared-vflip": ("gcgan", {"shared": False}, {"transform": "vflip", "identity": 0.0}),
    "distancegan": ("distancegan", {}, {}),
    "distancegan-one-sided": ("distancegan", {}, {"two_sided": False}),
    "selfdistance": ("selfdistance", {}, {}),
}


class Batches:
    """Random pictures as `UnpairedBatches` gives them."""

    def __init__(self, steps: int = 4, batch: int = 2, steps_per_epoch: int = 100):
        self.steps, self.batch, self.steps_per_epoch = steps, batch, steps_per_epoch

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        return batch(step, self.batch)[:2]


def batch(step: int, size: int = 2) -> tuple[Tensor, Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(step)
    a = torch.rand(size, 3, *SIZE, generator=generator) * 2 - 1
    b = torch.rand(size, 3, *SIZE, generator=generator) ** 2 * 2 - 1
    return a, b, generator


def build(case: str, precision: Any = "32-true", **options: Any) -> tuple[Any, Any]:
    name, network_options, method_options = CASES[case]
    system = models.get(name)
    assert system.method is not None
    torch.manual_seed(0)
    network = system.build(width=4, blocks=2, **network_options)
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    options = {**system.options, **method_options, **options}
    return network, METHODS[system.method].Method(network, fabric, RATE, **options)


def prepared(case: str, **options: Any) -> tuple[Any, Any]:
    network, method = build(case, **options)
    if hasattr(method, "prepare"):
        method.prepare(Batches())
    return network, method


def small_pools(method: Any) -> None:
    """Pools that are full after the first step, so that later steps draw."""
    for extra in method.extras.values():
        if isinstance(extra, ImagePool):
            extra.size = 3


def run(method: Any, steps: range) -> list[dict[str, Tensor]]:
    return [method.step(*batch(step)) for step in steps]


def parts_moved(network: nn.Module, before: dict[str, Tensor]) -> set[str]:
    after = network.state_dict()
    return {name.split(".")[0] for name, tensor in after.items() if not torch.equal(tensor, before[name])}


def copy_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def state(network: nn.Module, method: Any) -> dict[str, Any]:
    """As the loop saves it: through a file, read without running code."""
    stream = io.BytesIO()
    torch.save({
        "network": network.state_dict(),
        "optimisers": {k: o.state_dict() for k, o in method.optimisers.items()},
        "extras": {k: e.state_dict() for k, e in method.extras.items()},
    }, stream)
    stream.seek(0)
    content: dict[str, Any] = torch.load(stream, weights_only=True)
    return content


# Every method


@pytest.mark.parametrize("case", CASES)
def test_steps_move_everything_and_resume_bit_for_bit(case: str) -> None:
    network, method = prepared(case)
    small_pools(method)
    before = copy_of(network)
    run(method, range(2))
    saved = state(network, method)
    logs = run(method, range(2, 4))
    assert all(torch.isfinite(term) and term.ndim == 0 and not term.requires_grad for log in logs for term in
               log.values())
    everything = {name for name, _ in network.named_children()}
    if case == "distancegan-one-sided":
        everything = {"generator_ab", "discriminator_b"}
    assert parts_moved(network, before) == everything
    assert all(p.requires_grad for p in network.parameters())

    again, resumed = build(case)
    small_pools(resumed)
    again.load_state_dict(saved["network"])
    for name, optimiser in resumed.optimisers.items():
        optimiser.load_state_dict(saved["optimisers"][name])
    for name, extra in resumed.extras.items():
        extra.load_state_dict(saved["extras"][name])
    torch.manual_seed(99)  # no draw comes from the global stream
    assert run(resumed, range(2, 4)) == logs
    assert all(torch.equal(x, y) for x, y in zip(network.state_dict().values(), again.state_dict().values(),
                                                 strict=True))
    extras = (state(network, method)["extras"], state(again, resumed)["extras"])
    torch.testing.assert_close(*extras, rtol=0, atol=0)


@pytest.mark.parametrize("case", ["cut", "cut-both", "fastcut", "cyclegan", "gcgan", "distancegan", "selfdistance"])
def test_every_weight_is_trained(case: str) -> None:
    """Biases before an instance norm have no effect; all else moves, in every network."""
    network, method = prepared(case)
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and "cut" in case:
            module.weight.data.mul_(50)  # at first all but grey: some gradients vanish in rounding
    run(method, range(2))
    idle = [name for name, p in network.named_parameters() if name.endswith("weight")
            and (p.grad is None or not p.grad.any())]
    assert idle == []


@pytest.mark.parametrize("case", ["cut", "cut-both", "fastcut", "cyclegan", "gcgan", "distancegan"])
def test_bf16_autocast_stays_near(case: str) -> None:
    (_, full), (network, half) = prepared(case), build(case, precision="bf16-mixed")
    if hasattr(half, "prepare"):
        half.prepare(Batches())
    wanted, found = run(full, range(1))[0], run(half, range(1))[0]
    assert found.keys() == wanted.keys()
    for name, term in found.items():
        assert term.dtype == torch.float32
        torch.testing.assert_close(term, wanted[name], rtol=0.1, atol=0.05)
    assert all(p.dtype == torch.float32 for p in network.parameters())


@pytest.mark.parametrize("case", CASES)
def test_every_optimiser_is_the_published_adam(case: str) -> None:
    network, method = build(case)
    held = [p for o in method.optimisers.values() for g in o.param_groups for p in g["params"]]
    assert {id(p) for p in held} == {id(p) for p in network.parameters()} and len(held) == len(set(map(id, held)))
    for optimiser in method.optimisers.values():
        assert isinstance(optimiser, torch.optim.Adam)
        assert all(g["lr"] == RATE and g["betas"] == (0.5, 0.999) for g in optimiser.param_groups)


# Stated anew: with optimisers that only record, a step's gradients are those of the published losses


def recording(method: Any) -> dict[str, dict[int, Tensor]]:
    """Optimisers that copy the gradients instead of stepping."""
    given: dict[str, dict[int, Tensor]] = {}
    held = {name: [p for g in o.param_groups for p in g["params"]] for name, o in method.optimisers.items()}
    for name, optimiser in method.optimisers.items():
        def step(name: str = name) -> None:
            given[name] = {id(p): p.grad.clone() for p in held[name] if p.grad is not None}
            if name == "generators":  # the first to step, through frozen discriminators
                assert all(p.grad is None for p in held["discriminators"])
        optimiser.step = step
    return given


def check(given: dict[str, dict[int, Tensor]], wanted: dict[str, tuple[Tensor, list[nn.Module]]]) -> None:
    """The gradients of each loss, in the networks that it trains, to which no other loss adds later."""
    assert given.keys() == wanted.keys()
    for name, (loss, networks) in wanted.items():
        parameters = [p for network in networks for p in network.parameters()]
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        largest = max(g.abs().max().item() for g in gradients if g is not None)
        assert largest > 0
        for p, gradient in zip(parameters, gradients, strict=True):
            if gradient is None:
                assert id(p) not in given[name]
            else:
                torch.testing.assert_close(given[name][id(p)], gradient, rtol=1e-5, atol=1e-7 * largest)
                assert p.grad is not None and torch.equal(p.grad, given[name][id(p)])


def lively(network: nn.Module) -> None:
    """Double precision, and weights larger than the first ones, which hide differences."""
    network.double()
    for p in network.parameters():
        if p.ndim > 1:
            p.data.mul_(0.3 / p.std())


def doubles(step: int, size: int = 2) -> tuple[Tensor, Tensor, torch.Generator]:
    a, b, generator = batch(step, size)
    return a.double(), b.double(), generator


def square(logits: Tensor, target: float) -> Tensor:
    return ((logits - target) ** 2).mean()


def l1(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).abs().mean()


def judged(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return (square(discriminator(real), 1) + square(discriminator(fake.detach()), 0)) / 2


@pytest.mark.parametrize("options", [
    {}, {"average": False, "lambda_x": 2.0}, {"lambda_y": 0.0}, {"lambda_x": 0.0},
    {"negatives": "minibatch", "tau": 0.2}, {"flip": True}, {"flip": True, "lambda_x": 10.0, "lambda_y": 0.0},
])
def test_cut_stated_anew(options: dict[str, Any]) -> None:
    """As the released code goes: keys from an encoder's pass over the sources of its own."""
    network, method = build("cut", **options)
    lively(network)
    given = recording(method)
    flips = 0
    for seed in range(4 if "flip" in options else 1):
        a, b, generator = doubles(seed)
        same = torch.Generator()
        same.set_state(generator.get_state())
        terms = method.step(a, b, generator)
        flipped = options.get("flip", False) and bool(torch.rand((), generator=same) < 0.5)
        flips += flipped
        weight_x, weight_y = options.get("lambda_x", 1.0), options.get("lambda_y", 1.0)
        halved = 0.5 if options.get("average", True) and weight_x and weight_y else 1.0
        turn = (lambda x: torch.flip(x, [3])) if flipped else (lambda x: x)
        nce = PatchNCE(options.get("tau", 0.07), options.get("negatives", "internal"))
        generate, taps = network.generator, network.taps
        fake = generate(turn(a))
        adversarial = square(network.discriminator(fake), 1)
        loss = adversarial
        for name, weight, source in (("x", weight_x, a), ("y", weight_y, b)):
            assert (f"nce_{name}" in terms) == bool(weight)
            if weight:
                keys = [feature.detach() for feature in generate.encode(source, taps)]
                queries = [turn(feature) for feature in generate.encode(generate(turn(source)), taps)]
                positions = sample_positions(keys, 16, same)
                term = nce(project(queries, network.heads, positions), project(keys, network.heads, positions))
                torch.testing.assert_close(terms[f"nce_{name}"], term.detach())
                loss = loss + halved * weight * term
        torch.testing.assert_close(terms["loss"], loss.detach())
        torch.testing.assert_close(terms["adversarial"], adversarial.detach())
        discriminator = judged(network.discriminator, b, fake)
        torch.testing.assert_close(terms["discriminator"], discriminator.detach())
        check(given, {"generator": (loss, [network.generator]), "heads": (loss, [network.heads]),
                      "discriminator": (discriminator, [network.discriminator])})
    assert (0 < flips < 4) == options.get("flip", False)


@pytest.mark.parametrize("identity", [0.0, 0.5])
def test_cyclegan_stated_anew(identity: float) -> None:
    network, method = build("cyclegan", identity=identity)
    lively(network)
    given = recording(method)
    a, b, generator = doubles(1)
    terms = method.step(a, b, generator)
    g_ab, g_ba, d_a, d_b = network.generator_ab, network.generator_ba, network.discriminator_a, network.discriminator_b
    fake_a, fake_b = g_ba(b), g_ab(a)
    loss = square(d_a(fake_a), 1) + square(d_b(fake_b), 1) + 10 * (l1(g_ba(fake_b), a) + l1(g_ab(fake_a), b))
    if identity:
        loss = loss + 5 * (l1(g_ab(b), b) + l1(g_ba(a), a))
    discriminators = judged(d_a, a, fake_a) + judged(d_b, b, fake_b)
    torch.testing.assert_close(terms["loss"], loss.detach(), rtol=1e-6, atol=0)  # L1 distances are taken in float32
    torch.testing.assert_close(terms["discriminator"], discriminators.detach())
    assert ("identity" in terms) == bool(identity)
    check(given, {"generators": (loss, [g_ab, g_ba]), "discriminators": (discriminators, [d_a, d_b])})


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("transform", ["rot90", "vflip"])
def test_gcgan_stated_anew(transform: str, shared: bool) -> None:
    case = "gcgan" if shared else "gcgan-unshared-vflip"
    network, method = build(case, transform=transform, identity=0.3)
    lively(network)
    given = recording(method)
    a, b, generator = doubles(1)
    terms = method.step(a, b, generator)
    turn = (lambda x: x.transpose(2, 3).flip(2)) if transform == "rot90" else (lambda x: x.flip(2))
    back = (lambda x: x.flip(2).transpose(2, 3)) if transform == "rot90" else turn
    torch.testing.assert_close(back(turn(a)), a)
    g, d, d_t = network.generator, network.discriminator, network.discriminator_transformed
    g_t = g if shared else network.generator_transformed
    y, y_t = g(a), g_t(turn(a))
    loss = (square(d(y), 1) + square(d_t(y_t), 1)
            + 20 * (l1(y, back(y_t).detach()) + l1(y_t, turn(y).detach()))
            + 3 * (l1(g(b), b) + l1(g_t(turn(b)), turn(b))))
    discriminators = judged(d, b, y) + judged(d_t, turn(b), y_t)
    torch.testing.assert_close(terms["loss"], loss.detach(), rtol=1e-6, atol=0)
    check(given, {"generators": (loss, [g] if shared else [g, g_t]), "discriminators": (discriminators, [d, d_t])})


@pytest.mark.parametrize(("case", "size"), [("distancegan", 2), ("distancegan", 3), ("selfdistance", 1),
                                            ("selfdistance", 2), ("distancegan-one-sided", 2)])
def test_distancegan_stated_anew(case: str, size: int) -> None:
    network, method = prepared(case)
    lively(network)
    given = recording(method)
    a, b, generator = doubles(9, size)
    terms = method.step(a, b, generator)
    s = method.statistics
    mean, std = {"a": s.mean_a, "b": s.mean_b}, {"a": s.std_a, "b": s.std_b}

    def distances(x: Tensor) -> list[Tensor]:
        if case == "selfdistance":
            return [l1(picture[:, :16], picture[:, 16:]) for picture in x]
        return [l1(x[i], x[j]) for i, j in combinations(range(len(x)), 2)]

    loss, discriminators = torch.zeros(()), torch.zeros(())
    for g, d, x, target, own, other in (
        (network.generator_ab, network.discriminator_b, a, b, "a", "b"),
        (network.generator_ba, network.discriminator_a, b, a, "b", "a"),
    )[: 1 if case.endswith("one-sided") else 2]:
        fake = g(x)
        changes = [((was - mean[own]) / std[own] - (now - mean[other]) / std[other]).abs()
                   for was, now in zip(distances(x), distances(fake), strict=True)]
        loss = loss + square(d(fake), 1) + sum(changes) / len(changes)
        discriminators = discriminators + judged(d, target, fake)
    torch.testing.assert_close(terms["loss"], loss.detach(), rtol=1e-5, atol=0, check_dtype=False)
    judges, generators = ([network.discriminator_b], [network.generator_ab])
    if not case.endswith("one-sided"):
        judges, generators = [*judges, network.discriminator_a], [*generators, network.generator_ba]
    check(given, {"generators": (loss, generators), "discriminators": (discriminators, judges)})


# CUT


def test_cut_runs_the_encoder_no_more_than_needed() -> None:
    """Keys are seen on the generator's way; only mirrored sources and external keys need a pass of their own."""
    for case, passes in (("cut", {2}), ("fastcut", {2, 3})):
        network, method = build(case)
        calls: list[int] = []
        network.generator.model[1].register_forward_hook(lambda *_, calls=calls: calls.append(1))
        found = set()
        for step in range(6):
            calls.clear()
            method.step(*batch(step))
            found.add(len(calls))
        assert found == passes


def test_cut_at_the_full_depth_with_one_picture_and_the_last_tap_only() -> None:
    torch.manual_seed(0)
    network = CUT(4, 5, taps=[16])
    method = cut.Method(network, Fabric(accelerator="cpu", devices=1), RATE, patches=16)
    terms = method.step(*batch(0, size=1))
    assert len(network.heads) == 1 and torch.isfinite(terms["loss"])


def test_fastcut_is_the_published_setting() -> None:
    _, method = build("fastcut")
    assert (method.lambda_x, method.lambda_y, method.flip) == (10.0, 0.0, True)
    _, method = build("cut")
    assert (method.lambda_x, method.lambda_y, method.flip) == (0.5, 0.5, False)


def test_external_keys_come_from_moving_averages() -> None:
    network, method = build("cut-external")
    first = {name: p.clone() for name, p in method.teacher.named_parameters()}
    assert not any(p.requires_grad for p in method.teacher.parameters())
    assert list(method.extras) == ["teacher", "bank_x", "bank_y"]
    terms = method.step(*batch(0))
    assert terms["nce_x"] == 0 and terms["nce_y"] == 0  # nothing to be told from yet
    live = {**{f"encoder.{k}": p for k, p in network.generator.named_parameters()},
            **{f"heads.{k}": p for k, p in network.heads.named_parameters()}}
    for name, p in method.teacher.named_parameters():
        torch.testing.assert_close(p, 0.999 * first[name] + 0.001 * live[name], rtol=1e-5, atol=1e-9)
    assert not any(name.startswith("encoder.model.14") for name in first)
    assert method.banks["x"][0].shape == (32, 256)  # 16 patches of each of 2 pictures
    kept = method.banks["x"][0].clone()
    terms = method.step(*batch(1))
    assert terms["nce_x"] > 0 and method.banks["x"][0].shape == (40, 256)
    assert not torch.equal(method.banks["x"][0][:8], kept[:8])
    assert not torch.equal(method.banks["x"][1], method.banks["y"][1])


def test_external_loss_stated_anew() -> None:
    """The second step: keys by the teacher as it was, negatives from the first step's pictures only."""
    network, method = build("cut-external", lambda_y=0.0)
    assert list(method.banks) == ["x"]
    method.step(*batch(0))
    before, teacher, bank = copy.deepcopy(network), copy.deepcopy(method.teacher), copy.deepcopy(method.banks["x"])
    a, b, generator = batch(1)
    same = torch.Generator()
    same.set_state(generator.get_state())
    terms = method.step(a, b, generator)
    queries = before.generator.encode(before.generator(a), before.taps)
    keys = teacher.encoder.encode(a, before.taps)
    positions = sample_positions(keys, 16, same)
    q, k = project(queries, before.heads, positions), project(keys, teacher.heads, positions)
    wanted = []
    for layer in range(len(k)):
        logits = torch.cat(((q[layer] * k[layer]).sum(2, keepdim=True), q[layer] @ bank[layer].T), 2).flatten(0, 1)
        wanted.append(F.cross_entropy(logits / 0.07, torch.zeros(len(logits), dtype=torch.long)))
    torch.testing.assert_close(terms["nce_x"], torch.stack(wanted).mean().detach())
    torch.testing.assert_close(torch.stack(k).flatten(1, 2)[:, 8:], torch.stack(
        [method.banks["x"][layer][:24] for layer in range(len(k))]))


def test_wrong_settings_of_cut_are_said() -> None:
    for options, message in (({"lambda_x": 0.0, "lambda_y": 0.0}, "nothing to contrast"),
                             ({"lambda_x": -1.0}, "nothing to contrast"),
                             ({"negatives": "externl"}, "did you mean 'external'")):
        with pytest.raises(UserError, match=message):
            build("cut", **options)
    _, method = build("cut", patches=256)
    with pytest.raises(UserError, match="256 patches asked of a layer with 10x8 positions: ask for at most 80"):
        method.step(*batch(0))


# GcGAN and DistanceGAN


def test_wrong_choices_are_said() -> None:
    with pytest.raises(UserError, match="did you mean 'rot90'"):
        build("gcgan", transform="rot9")
    with pytest.raises(UserError, match="did you mean 'pictures'"):
        build("distancegan", pairs="picture")


def test_distance_needs_two_pictures() -> None:
    _, method = build("distancegan")
    with pytest.raises(UserError, match="a batch has one: set batch to 2 or more, or train selfdistance"):
        method.prepare(Batches(batch=1))
    _, method = prepared("distancegan")
    with pytest.raises(UserError, match="a batch has one"):
        method.step(*batch(0, size=1))


@pytest.mark.parametrize("case", ["distancegan", "selfdistance"])
def test_statistics_by_hand(case: str) -> None:
    """Of whole batches: one distance a pair of batches, or one a batch."""
    _, method = build(case)
    method.prepare(Batches(steps=9, steps_per_epoch=5))
    for side, name in enumerate("ab"):
        pictures = [batch(step)[side] for step in range(5)]  # one epoch
        if case == "selfdistance":
            found = torch.tensor([l1(x[:, :, :16], x[:, :, 16:]) for x in pictures])
        else:
            found = torch.tensor([l1(x, y) for x, y in combinations(pictures, 2)])
            assert len(found) == 10
        s = method.statistics
        assert getattr(s, f"mean_{name}") == pytest.approx(found.mean().item(), rel=1e-5)
        assert getattr(s, f"std_{name}") == pytest.approx(found.std(correction=0).item(), rel=1e-3)


@pytest.mark.parametrize("case", ["distancegan", "selfdistance"])
def test_statistics_of_too_little(case: str) -> None:
    _, method = build(case)
    with pytest.raises(UserError, match="the 1 batches of domain A have no two different distances"):
        method.prepare(Batches(steps=1))

    class Same(Batches):
        def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
            return batch(step)[0], torch.zeros(2, 3, *SIZE)

    with pytest.raises(UserError, match="the 4 batches of domain B"):
        method.prepare(Same())


# What they share


def test_least_squares_and_halves_of_the_discriminator() -> None:
    logits = torch.tensor([0.5, 2.0], dtype=torch.bfloat16)
    assert least_squares(logits, 1.0).dtype == torch.float32
    assert least_squares(logits, 1.0).item() == 0.625 and least_squares(logits, 0.0).item() == 2.125
    x = torch.rand(2, 3, 4, 4, requires_grad=True)
    network = nn.Conv2d(3, 1, 1)
    loss = judge(Fabric(accelerator="cpu", devices=1), network, torch.rand(1, 3, 4, 4), x)
    loss.backward()
    assert x.grad is None and network.weight.grad is not None


def test_frozen_networks_pass_gradients_and_gather_none() -> None:
    network, x = nn.Linear(2, 1), torch.rand(1, 2, requires_grad=True)
    with pytest.raises(KeyError), frozen(network):
        network(x).sum().backward()
        raise KeyError
    assert x.grad is not None and network.weight.grad is None and network.weight.requires_grad


def test_pool_fills_then_exchanges_half() -> None:
    pool, generator = ImagePool(50), torch.Generator().manual_seed(0)
    numbered = torch.arange(1050.0).view(-1, 1, 1, 1).expand(-1, 3, 1, 1)
    assert torch.equal(pool.exchange(numbered[:50], generator), numbered[:50])
    shown = torch.cat([pool.exchange(image[None], generator) for image in numbered[50:]])[:, 0, 0, 0]
    old = shown != torch.arange(50.0, 1050)
    assert 440 < int(old.sum()) < 560 and len(pool.images) == 50
    assert bool((shown[old] < torch.arange(50.0, 1050)[old]).all())
    stored = [float(image[0]) for image in pool.images]
    assert sorted([*shown.tolist(), *stored]) == list(range(1050))  # nothing is lost or shown twice
    passed = torch.rand(2, 3, 1, 1, requires_grad=True)
    assert not ImagePool().exchange(passed, generator).requires_grad


def test_pool_never_changes_what_it_holds() -> None:
    pool, image = ImagePool(1), torch.zeros(1, 3, 2, 2)
    pool.exchange(image, torch.Generator())
    image.add_(1)
    assert not pool.images[0].any()


def test_an_optimiser_that_would_be_ignored_is_refused() -> None:
    def task(**optimiser: Any) -> TranslationTask:
        e = Experiment("e", "p", "cut", "d", network={"width": 4, "blocks": 2}, optimiser=Optimiser(**optimiser))
        return TranslationTask(e, Fabric(accelerator="cpu", devices=1), ())  # type: ignore[arg-type]

    assert task().optimisers and task(betas=(0.5, 0.999)).optimisers
    with pytest.raises(UserError, match="the optimisers of 'cut' are its method's own"):
        task(kind="sgd")
