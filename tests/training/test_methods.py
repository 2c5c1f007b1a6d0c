"""Training CUT, FastCUT, CycleGAN, GcGAN and DistanceGAN: who moves, wrong settings, resumed bit for bit."""

from __future__ import annotations

import copy
from itertools import combinations

import pytest
import torch
from lightning_fabric import Fabric
from method_cases import (
    CASES,
    RATE,
    SIZE,
    Batches,
    batch,
    build,
    copy_of,
    parts_moved,
    prepared,
    run,
    small_pools,
    state,
)
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.contrast.patchnce import project, sample_positions
from reprolib.errors import UserError
from reprolib.models.translation.cut import CUT, CUTObjective
from reprolib.training.translation import cut
from reprolib.training.translation.gan import ImagePool, discriminator_loss, frozen, least_squares

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
    method = cut.CUTMethod(network, Fabric(accelerator="cpu", devices=1), RATE, CUTObjective(patches=16))
    terms = method.step(*batch(0, size=1))
    assert len(network.heads) == 1 and torch.isfinite(terms["loss"])


def test_fastcut_is_the_published_setting() -> None:
    _, method = build("fastcut")
    assert (method.lambda_x, method.lambda_y, method.flip) == (10.0, 0.0, True)
    _, method = build("cut")
    assert (method.lambda_x, method.lambda_y, method.flip) == (0.5, 0.5, False)


def test_external_keys_come_from_moving_averages() -> None:
    network, method = build("cut-external")
    first = {name: p.clone() for name, p in method.momentum_encoder.named_parameters()}
    assert not any(p.requires_grad for p in method.momentum_encoder.parameters())
    assert list(method.extras) == ["momentum_encoder", "bank_x", "bank_y"]
    terms = method.step(*batch(0))
    assert terms["nce_x"] == 0 and terms["nce_y"] == 0  # nothing to be told from yet
    live = {**{f"encoder.{k}": p for k, p in network.generator.named_parameters()},
            **{f"heads.{k}": p for k, p in network.heads.named_parameters()}}
    for name, p in method.momentum_encoder.named_parameters():
        torch.testing.assert_close(p, 0.999 * first[name] + 0.001 * live[name], rtol=1e-5, atol=1e-9)
    assert not any(name.startswith("encoder.model.14") for name in first)
    assert method.banks["x"][0].shape == (32, 256)  # 16 patches of each of 2 pictures
    kept = method.banks["x"][0].clone()
    terms = method.step(*batch(1))
    assert terms["nce_x"] > 0 and method.banks["x"][0].shape == (40, 256)
    assert not torch.equal(method.banks["x"][0][:8], kept[:8])
    assert not torch.equal(method.banks["x"][1], method.banks["y"][1])


def test_external_loss_stated_anew() -> None:
    """The second step: keys by the averages as they were, negatives from the first step's pictures only."""
    network, method = build("cut-external", lambda_y=0.0)
    assert list(method.banks) == ["x"]
    method.step(*batch(0))
    before, bank = copy.deepcopy(network), copy.deepcopy(method.banks["x"])
    averages = copy.deepcopy(method.momentum_encoder)
    a, b, generator = batch(1)
    same = torch.Generator()
    same.set_state(generator.get_state())
    terms = method.step(a, b, generator)
    queries = before.generator.encode(before.generator(a), before.taps)
    keys = averages.encoder.encode(a, before.taps)
    positions = sample_positions(keys, 16, same)
    q, k = project(queries, before.heads, positions), project(keys, averages.heads, positions)
    wanted = []
    for layer in range(len(k)):
        logits = torch.cat(((q[layer] * k[layer]).sum(2, keepdim=True), q[layer] @ bank[layer].T), 2).flatten(0, 1)
        wanted.append(F.cross_entropy(logits / 0.07, torch.zeros(len(logits), dtype=torch.long)))
    torch.testing.assert_close(terms["nce_x"], torch.stack(wanted).mean().detach())
    torch.testing.assert_close(torch.stack(k).flatten(1, 2)[:, 8:], torch.stack(
        [method.banks["x"][layer][:24] for layer in range(len(k))]))


def test_wrong_settings_of_cut_are_said() -> None:
    with pytest.raises(UserError, match="nothing to contrast"):
        build("cut", lambda_x=0.0, lambda_y=0.0)
    _, method = build("cut", patches=256)
    with pytest.raises(UserError, match="256 patches asked of a layer with 10x8 positions: lower patches to 80"):
        method.step(*batch(0))


# GcGAN and DistanceGAN


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
            found = torch.tensor([F.l1_loss(x[:, :, :16], x[:, :, 16:]) for x in pictures])
        else:
            found = torch.tensor([F.l1_loss(x, y) for x, y in combinations(pictures, 2)])
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
    loss = discriminator_loss(Fabric(accelerator="cpu", devices=1), network, torch.rand(1, 3, 4, 4), x)
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
