"""Training MUNIT and DRIT: who moves when, resumed bit for bit, losses stated anew."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.errors import UserError
from reprolib.models.translation.drit import DRIT, DRITObjective
from reprolib.models.translation.munit import MUNIT, MUNITObjective
from reprolib.training.translation import drit, munit

RATE = 1e-3
SIZE = (64, 72)


def batch(step: int, size: int = 2) -> tuple[Tensor, Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(step)
    a, b = (torch.rand(size, 3, *SIZE, generator=generator) * 2 - 1 for _ in range(2))
    return a, b, generator


def build(kind: str, precision: Any = "32-true") -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    if kind == "munit":
        network: Any = MUNIT(4)
        return network, munit.MUNITMethod(network, fabric, RATE, MUNITObjective())
    network = DRIT(kind, width=4, content_depth=1)
    return network, drit.DRITMethod(network, fabric, RATE, DRITObjective())


def run(method: Any, steps: range) -> list[dict[str, Tensor]]:
    return [method.step(*batch(step)) for step in steps]


def moved(network: nn.Module, before: dict[str, Tensor]) -> set[str]:
    """Parts with a changed weight; of DRIT's translator its own parts."""
    names = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    return {name.removeprefix("translator.").split(".")[0] for name in names}


def copy_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


KINDS = ["munit", "concat", "feature"]


@pytest.mark.parametrize("kind", KINDS)
def test_three_steps_move_everything_and_resume_bit_for_bit(kind: str) -> None:
    network, method = build(kind)
    before = copy_of(network)
    run(method, range(1))
    saved = copy.deepcopy({
        "network": network.state_dict(),
        "optimisers": {k: o.state_dict() for k, o in method.optimisers.items()},
        "extras": {k: e.state_dict() for k, e in method.extras.items()},
    })
    rest = range(1, 3) if kind == "munit" else range(1, 4)  # of DRIT the full batch and one after it
    logs = run(method, rest)
    assert all(torch.isfinite(term) and not term.requires_grad for log in logs for term in log.values())
    everything = {"gen_a", "gen_b", "dis_a", "dis_b"} if kind == "munit" else {
        "content", "attributes", "generator", "dis_a", "dis_b", "dis_a2", "dis_b2", "dis_content"}
    assert moved(network, before) == everything
    assert all(p.requires_grad for p in network.parameters())

    again, resumed = build(kind)
    again.load_state_dict(saved["network"])
    for name, optimiser in resumed.optimisers.items():
        optimiser.load_state_dict(saved["optimisers"][name])
    for name, extra in resumed.extras.items():
        extra.load_state_dict(saved["extras"][name])
    torch.manual_seed(99)  # no draw comes from the global stream
    relogs = run(resumed, rest)
    assert [{k: v.item() for k, v in log.items()} for log in relogs] == [
        {k: v.item() for k, v in log.items()} for log in logs]
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_autocast_stays_near_float32(kind: str) -> None:
    _, method = build(kind)
    _, half = build(kind, "bf16-mixed")
    last = 0 if kind == "munit" else 2
    exact, rough = run(method, range(last + 1))[-1], run(half, range(last + 1))[-1]
    assert all(term.dtype == torch.float32 and torch.isfinite(term) for term in rough.values())
    for name in ("reconstruction", "discriminator") if kind == "munit" else ("same", "cycle", "discriminators"):
        assert rough[name].item() == pytest.approx(exact[name].item(), rel=0.05), name


def test_two_of_three_batches_train_only_the_content_discriminator() -> None:
    network, method = build("concat")
    for step, wanted in enumerate(({"dis_content"}, {"dis_content"}, None, {"dis_content"})):
        before = copy_of(network)
        terms = method.step(*batch(step))
        assert wanted is None or moved(network, before) == wanted
        assert ("cycle" in terms) == (step >= 2)  # later batches repeat the last full one's terms
    assert method.optimisers["dis_content"].param_groups[0]["lr"] == pytest.approx(0.4 * RATE)
    others = [o for name, o in method.optimisers.items() if name != "dis_content"]
    assert len(others) == 7
    for group in (o.param_groups[0] for o in others):
        assert (group["lr"], group["betas"], group["weight_decay"]) == (RATE, (0.5, 0.999), 1e-4)


def test_drit_needs_two_pictures() -> None:
    _, method = build("concat")
    with pytest.raises(UserError, match="batches of at least two pictures.*set batch to 2"):
        method.step(*batch(0, size=1))


# ---- losses stated anew ------------------------------------------------------------------------------------------


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def held(method: Any) -> list[str]:
    """Stop all optimisers from moving weights or clearing gradients; returns the order in which they stepped."""
    order: list[str] = []
    for name, optimiser in method.optimisers.items():
        optimiser.step = lambda closure=None, name=name: order.append(name)
    return order


def least_squares(logits: list[Tensor], target: float) -> Tensor:
    return sum(((scale - target) ** 2).mean() for scale in logits)  # type: ignore[return-value]


@pytest.mark.parametrize("cycle", [10.0, 0.0])
def test_munit_losses_stated_anew(cycle: float) -> None:
    network, method = build("munit")
    method.cycle = cycle
    order = held(method)
    a, b, generator = batch(5)
    reference = copy.deepcopy(network)
    drawn = torch.Generator().manual_seed(0)
    drawn.set_state(generator.get_state())
    terms = method.step(a, b, generator)
    assert order == ["discriminators", "generators"]

    s_a, s_b, t_a, t_b = (torch.randn(2, 8, generator=drawn) for _ in range(4))
    g_a, g_b, d_a, d_b = reference.gen_a, reference.gen_b, reference.dis_a, reference.dis_b
    judge = sum(least_squares(d(f.detach()), 0) + least_squares(d(r), 1) for d, f, r in (
        (d_a, g_a.decode(g_b.encode(b)[0], s_a), a), (d_b, g_b.decode(g_a.encode(a)[0], s_b), b)))
    judge.backward()
    wanted = gradients(reference)
    reference.zero_grad()
    (c_a, p_a), (c_b, p_b) = g_a.encode(a), g_b.encode(b)
    x_ba, x_ab = g_a.decode(c_b, t_a), g_b.decode(c_a, t_b)
    (c_b2, s_a2), (c_a2, s_b2) = g_a.encode(x_ba), g_b.encode(x_ab)
    l1 = lambda x, y: (x - y).abs().mean()  # noqa: E731
    loss = least_squares(d_a(x_ba), 1) + least_squares(d_b(x_ab), 1)
    loss = loss + 10 * (l1(g_a.decode(c_a, p_a), a) + l1(g_b.decode(c_b, p_b), b))
    loss = loss + l1(s_a2, t_a) + l1(s_b2, t_b) + l1(c_a2, c_a) + l1(c_b2, c_b)
    loss = loss + cycle * (l1(g_a.decode(c_a2, p_a), a) + l1(g_b.decode(c_b2, p_b), b))
    loss.backward()
    wanted |= {k: v for k, v in gradients(reference).items() if k.startswith("gen")}

    torch.testing.assert_close(terms["loss"], loss.detach())
    torch.testing.assert_close(terms["discriminator"], judge.detach())
    assert ("cycle" in terms) == bool(cycle)
    torch.testing.assert_close(gradients(network), wanted, rtol=1e-3, atol=1e-5)


def bce(logits: list[Tensor], target: float) -> Tensor:
    return sum(F.binary_cross_entropy(s.sigmoid(), torch.full_like(s, target)) for s in logits)  # type: ignore[return-value]


@pytest.mark.parametrize("kind", ["concat", "feature"])
def test_drit_losses_stated_anew(kind: str) -> None:
    """The third batch from the same draws: every loss, the order of the optimisers and the gradients they are given."""
    network, method = build(kind)
    network.double()
    for p in network.translator.parameters():
        if p.ndim == 4:  # larger than at the start, where styles hardly show and mode seeking hides the other terms
            p.data.mul_(10)
    method.cycle.step = 2
    order = held(method)
    given: list[dict[str, Tensor]] = []
    method.optimisers["generator"].step = lambda: (order.append("generator"), given.append(gradients(network)))
    a, b, generator = batch(7)
    a, b = a.double(), b.double()
    t = copy.deepcopy(network)
    net, n = t.translator, torch.Generator().manual_seed(0)
    n.set_state(generator.get_state())
    terms = method.step(a, b, generator)
    assert order == ["dis_a", "dis_a2", "dis_b", "dis_b2", "dis_content", "content", "attributes", "generator",
                     "content", "generator"]

    def noise(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=n)

    def sample(image: Tensor, side: str) -> tuple[Tensor, Tensor, Tensor | None]:
        mean, logvar = net.attribute(image, side)
        return (mean, mean, None) if logvar is None else (mean + (0.5 * logvar).exp() * noise(mean), mean, logvar)

    a1, a2, b1, b2 = a[:1], a[1:], b[:1], b[1:]
    z, z2 = (torch.randn(1, 8, generator=n).double() for _ in range(2))
    ca, cb = net.content(a1, "a"), net.content(b1, "b")
    ca = ca + noise(ca)
    cb = cb + noise(cb)
    za, mu_a, lv_a = sample(a1, "a")
    zb, mu_b, lv_b = sample(b1, "b")
    g = net.generator
    fake_a, same_a, rand_a, rand2_a = (g(c, s, "a") for c, s in ((cb, za), (ca, za), (cb, z), (cb, z2)))
    fake_b, same_b, rand_b, rand2_b = (g(c, s, "b") for c, s in ((ca, zb), (cb, zb), (ca, z), (ca, z2)))
    cb2 = net.content(fake_a, "a")
    cb2 = cb2 + noise(cb2)
    ca2 = net.content(fake_b, "b")
    ca2 = ca2 + noise(ca2)
    za2 = sample(fake_a, "a")[0]
    zb2 = sample(fake_b, "b")[0]
    back_a, back_b = g(ca2, za2, "a"), g(cb2, zb2, "b")
    latent_a, latent_b = net.attribute(rand_a, "a")[0], net.attribute(rand_b, "b")[0]

    def prior(mean: Tensor, logvar: Tensor | None) -> Tensor:
        return mean.pow(2).mean() if logvar is None else -0.5 * (1 + logvar - mean.pow(2) - logvar.exp()).sum()

    l1 = lambda x, y: (x - y).abs().mean()  # noqa: E731
    d_c = t.dis_content
    first = (bce(t.dis_a(fake_a), 1) + bce(t.dis_b(fake_b), 1) + bce([d_c(ca)], 0.5) + bce([d_c(cb)], 0.5)
             + 10 * (l1(back_a, a1) + l1(back_b, b1) + l1(same_a, a1) + l1(same_b, b1))
             + 0.01 * (prior(mu_a, lv_a) + prior(mu_b, lv_b) + ca.pow(2).mean() + cb.pow(2).mean()))
    second = (bce(t.dis_a2(rand_a), 1) + bce(t.dis_a2(rand2_a), 1)
              + bce(t.dis_b2(rand_b), 1) + bce(t.dis_b2(rand2_b), 1)
              + 10 * (l1(latent_a, z) + l1(latent_b, z))
              + sum(1 / (l1(y, x) / l1(z2, z) + 1e-5) for x, y in ((rand_a, rand2_a), (rand_b, rand2_b))))
    judges = (bce(t.dis_a(a1), 1) + bce(t.dis_a(fake_a), 0) + bce(t.dis_b(b1), 1) + bce(t.dis_b(fake_b), 0)
              + 2 * bce(t.dis_a2(a2), 1) + bce(t.dis_a2(rand_a), 0) + bce(t.dis_a2(rand2_a), 0)
              + 2 * bce(t.dis_b2(b2), 1) + bce(t.dis_b2(rand_b), 0) + bce(t.dis_b2(rand2_b), 0))
    content = bce([d_c(cb)], 1) + bce([d_c(ca)], 0)
    for name, loss in (("loss", first + second), ("discriminators", judges), ("content_discriminator", content)):
        assert terms[name].item() == pytest.approx(loss.item(), rel=1e-5), name

    parameters = {f"translator.{name}": p for name, p in net.named_parameters()}
    for loss, found, skip in ((first, given[0], ()), (second, given[1], ("translator.attributes",))):
        wanted = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True, allow_unused=True)
        largest = max(gradient.abs().max().item() for gradient in wanted if gradient is not None)
        for (name, _), gradient in zip(parameters.items(), wanted, strict=True):
            if not name.startswith(skip):
                torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-7 * largest)
