"""PatchNCE against loops, closed forms, the released formulation and its own gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.contrast.memory_bank import MemoryBank
from reprolib.contrast.patchnce import EPS, NEGATIVES, TAU, PatchNCELoss, patch_nce, project, sample_positions
from reprolib.errors import UserError


def units(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=dtype), dim=-1)


def case(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Queries near their keys, and a bank."""
    key = units(3, 6, 5, seed=1, dtype=dtype)
    return F.normalize(key + 0.5 * units(3, 6, 5, seed=2, dtype=dtype), dim=2), key, units(7, 5, seed=3, dtype=dtype)


def by_hand(query: Tensor, key: Tensor, bank: Tensor, tau: float, negatives: str) -> float:
    """The slides' equation, one patch after the other."""
    batch, patches, _ = query.shape
    losses = []
    for b in range(batch):
        for s in range(patches):
            others: list[Tensor] = []
            if negatives in ("internal", "both"):
                others += [key[b, t] for t in range(patches) if t != s]
            if negatives == "minibatch":
                others += [key[c, t] for c in range(batch) for t in range(patches) if (c, t) != (b, s)]
            if negatives in ("external", "both"):
                others += list(bank)
            positive = math.exp(float(query[b, s] @ key[b, s]) / tau)
            negative = sum(math.exp(float(query[b, s] @ other) / tau) for other in others)
            losses.append(-math.log(positive / (positive + negative)))
    return sum(losses) / len(losses)


# The loss


@pytest.mark.parametrize("tau", [TAU, 0.5])
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_against_loops(negatives: str, tau: float) -> None:
    query, key, bank = case()
    loss = patch_nce(query, key, bank, tau=tau, negatives=negatives)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(by_hand(query, key, bank, tau, negatives), rel=1e-9)


def test_against_the_released_formulation() -> None:
    """A column for the positive, and -10 in place of the positive among the rest: the same within 1e-50."""
    query, key, _ = case()
    rest = query @ key.transpose(1, 2)
    rest = rest.masked_fill(torch.eye(6, dtype=torch.bool), -10.0)
    logits = torch.cat(((query * key).sum(2, keepdim=True), rest), 2).flatten(0, 1) / 0.07
    assert logits.shape == (18, 7)
    wanted = F.cross_entropy(logits, torch.zeros(18, dtype=torch.long))
    torch.testing.assert_close(patch_nce(query, key), wanted, rtol=1e-12, atol=0)


def test_closed_forms_at_tau() -> None:
    patches, size = 8, 16
    orthogonal = torch.eye(size, dtype=torch.float64)
    query, bank = orthogonal[None, :patches], orthogonal[patches:]
    e = math.exp(1 / 0.07)
    assert patch_nce(query, query).item() == pytest.approx(-math.log(e / (e + patches - 1)), rel=1e-6)
    for negatives, count in (("external", size - patches), ("both", size - 1)):
        found = patch_nce(query, query, bank, negatives=negatives).item()
        assert found == pytest.approx(-math.log(e / (e + count)), rel=1e-6)
    constant = torch.ones(2, patches, 1, dtype=torch.float64)  # nothing tells patches apart
    assert patch_nce(constant, constant).item() == pytest.approx(math.log(patches))
    assert patch_nce(constant, constant, negatives="minibatch").item() == pytest.approx(math.log(2 * patches))
    assert patch_nce(constant, constant, constant[0, :3], negatives="external").item() == pytest.approx(math.log(4))
    assert patch_nce(constant, constant, constant[0, :0], negatives="external").item() == 0
    opposite = torch.tensor([[[1.0], [-1.0]]], dtype=torch.float64)
    assert patch_nce(opposite, -opposite).item() == pytest.approx(2 / 0.07, rel=1e-6)


@pytest.mark.parametrize("negatives", ["internal", "external", "both"])
def test_pictures_of_a_batch_do_not_meet(negatives: str) -> None:
    query, key, bank = case()
    alone = [patch_nce(query[i : i + 1], key[i : i + 1], bank, negatives=negatives) for i in range(3)]
    torch.testing.assert_close(patch_nce(query, key, bank, negatives=negatives), torch.stack(alone).mean())


def test_the_order_of_patches_does_not_matter() -> None:
    query, key, _ = case()
    order = torch.randperm(6)
    torch.testing.assert_close(patch_nce(query[:, order], key[:, order]), patch_nce(query, key))


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_gradients(negatives: str) -> None:
    query, key, bank = (x.requires_grad_() for x in case())
    assert torch.autograd.gradcheck(lambda q: patch_nce(q, key, bank, negatives=negatives, tau=0.3), query)
    patch_nce(query, key, bank, negatives=negatives).backward()
    assert query.grad is not None and query.grad.any()
    assert key.grad is None and bank.grad is None


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_full_precision_inside_autocast(negatives: str) -> None:
    query, key, bank = case(torch.float32)
    wanted = patch_nce(query, key, bank, negatives=negatives)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (query @ key.transpose(1, 2)).dtype == torch.bfloat16
        inside = patch_nce(query, key, bank, negatives=negatives)
    assert inside.dtype == torch.float32 and torch.equal(inside, wanted)
    halves = [x.bfloat16() for x in (query, key, bank)]
    again = patch_nce(*halves, negatives=negatives)
    assert torch.equal(again, patch_nce(*(x.float() for x in halves), negatives=negatives))


def test_kinds_of_negatives_are_named() -> None:
    query, key, _ = case()
    for call in (lambda: patch_nce(query, key, negatives="extern"), lambda: PatchNCELoss(negatives="extern")):
        with pytest.raises(UserError, match="did you mean 'external'"):
            call()


def test_the_module_is_the_mean_over_layers() -> None:
    query, key, _ = case(torch.float32)
    queries, keys = [query, 0.5 * query[:, :4]], [key, key[:, :4]]
    wanted = (patch_nce(queries[0], keys[0], tau=0.1) + patch_nce(queries[1], keys[1], tau=0.1)) / 2
    torch.testing.assert_close(PatchNCELoss(tau=0.1)(queries, keys), wanted)
    bank = MemoryBank(2, size=9, channels=5)
    bank.enqueue([units(1, 4, 5, seed=7), units(1, 4, 5, seed=8)])
    wanted = sum(patch_nce(q, k, bank[i], negatives="both") for i, (q, k) in enumerate(zip(queries, keys, strict=True)))
    torch.testing.assert_close(PatchNCELoss(negatives="both")(queries, keys, bank), wanted / 2)


# Samples and features


def test_positions_are_distinct_uniform_and_the_generators() -> None:
    features = [torch.zeros(2, 3, 5, 4), torch.zeros(2, 8, 3, 3)]
    positions = sample_positions(features, 9, torch.Generator().manual_seed(3))
    assert [len(set(p.tolist())) for p in positions] == [9, 9]
    assert sorted(positions[1].tolist()) == list(range(9)) and int(positions[0].max()) < 20
    torch.manual_seed(99)
    again = sample_positions(features, 9, torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b) for a, b in zip(positions, again, strict=True))
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(20)
    for _ in range(2000):  # each call draws anew; every position has p = 1/4
        counts[sample_positions(features[:1], 5, generator)[0]] += 1
    assert (counts / 2000 - 0.25).abs().max() < 0.05


def test_more_patches_than_positions() -> None:
    features = [torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 4, 8)]
    with pytest.raises(UserError, match="256 patches asked of a layer with 8x4 positions: lower patches to 32"):
        sample_positions(features, 256, torch.Generator())
    assert len(sample_positions(features, 32, torch.Generator())[1]) == 32


def test_projection_by_hand() -> None:
    features = [torch.randn(2, 3, 4, 5, dtype=torch.float64), torch.randn(2, 2, 3, 3, dtype=torch.float64)]
    heads = nn.ModuleList([nn.Linear(3, 6), nn.Linear(2, 6)]).double()
    positions = [torch.tensor([0, 7, 19]), torch.tensor([5])]
    projected = project(features, heads, positions)
    assert [tuple(z.shape) for z in projected] == [(2, 3, 6), (2, 1, 6)]
    v = heads[0](features[0][1, :, 1, 2])  # 7 is row 1, column 2 of 5 columns
    torch.testing.assert_close(projected[0][1, 1], v / ((v**2).sum().sqrt() + EPS))
    torch.testing.assert_close(projected[1].norm(dim=2), torch.ones(2, 1, dtype=torch.float64))


def test_the_epsilon_stands_beside_the_norm() -> None:
    """Features as small as those of fresh networks keep a length below 1, which another place would not give."""
    feature = torch.full((1, 4, 2, 2), 1e-7)
    (z,) = project([feature], [nn.Identity()], [torch.arange(4)])
    torch.testing.assert_close(z.norm(dim=2), torch.full((1, 4), 2 / 3))
    (zero,) = project([0 * feature], [nn.Identity()], [torch.arange(4)])
    assert not zero.any()


def test_projection_in_full_precision_inside_autocast() -> None:
    feature, head = torch.randn(2, 3, 4, 4), nn.Linear(3, 8)
    wanted = project([feature], [head], [torch.arange(9)])[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert head(feature.permute(0, 2, 3, 1)).dtype == torch.bfloat16
        assert torch.equal(project([feature], [head], [torch.arange(9)])[0], wanted)
        half = project([feature.bfloat16()], [head], [torch.arange(9)])[0]
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, wanted, rtol=0.05, atol=0.05)


def test_gradients_reach_head_and_chosen_positions() -> None:
    feature, head = torch.randn(1, 3, 4, 4, requires_grad=True), nn.Linear(3, 8)
    query = project([feature], [head], [torch.tensor([1, 6])])[0]
    patch_nce(query, units(1, 2, 8, dtype=torch.float32)).backward()
    assert feature.grad is not None and head.weight.grad is not None and head.weight.grad.any()
    assert feature.grad.flatten(2).any(1)[0].nonzero().flatten().tolist() == [1, 6]


def test_gradients_through_an_instance_norm_of_one_picture() -> None:
    """torch (2.14, CPU) gets these wrong, in silence, where they arrive in channels-last order: `project` must not."""
    x, head = torch.randn(1, 4, 5, 6, dtype=torch.float64, requires_grad=True), nn.Linear(4, 3).double()

    def loss(x: Tensor) -> Tensor:
        return project([F.instance_norm(x)], [head], [torch.tensor([0, 3, 17])])[0]

    assert torch.autograd.gradcheck(loss, x)


def test_a_matching_output_has_the_lower_loss() -> None:
    """The claim behind it: an output that keeps the input's structure costs less than a shuffled one."""
    feature = torch.randn(1, 16, 8, 8)
    positions = sample_positions([feature], 32, torch.Generator().manual_seed(0))
    keys, same, moved = (project([x], [nn.Identity()], positions)
                         for x in (feature, feature + 0.3 * torch.randn_like(feature), feature.roll(3, 2)))
    nce = PatchNCELoss()
    assert nce(same, keys) < 0.1 < 2 < nce(moved, keys)
