"""Each step stated anew. With optimisers that only record, a step's gradients are those of the published losses."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
import torch
from method_cases import batch, build, prepared
from torch import Tensor, nn

from reprolib.contrast.patchnce import PatchNCELoss, project, sample_positions


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
        nce = PatchNCELoss(options.get("tau", 0.07), options.get("negatives", "internal"))
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
        changes = [(was - mean[own]) / std[own] - (now - mean[other]) / std[other]
                   for was, now in zip(distances(x), distances(fake), strict=True)]
        if case == "selfdistance":  # the change of the batch's mean
            changes = [sum(changes) / len(changes)]
        loss = loss + square(d(fake), 1) + sum(change.abs() for change in changes) / len(changes)
        discriminators = discriminators + judged(d, target, fake)
    torch.testing.assert_close(terms["loss"], loss.detach(), rtol=1e-5, atol=0, check_dtype=False)
    judges, generators = ([network.discriminator_b], [network.generator_ab])
    if not case.endswith("one-sided"):
        judges, generators = [*judges, network.discriminator_a], [*generators, network.generator_ba]
    check(given, {"generators": (loss, generators), "discriminators": (discriminators, judges)})
