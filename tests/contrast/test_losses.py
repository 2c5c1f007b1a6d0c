"""CR: the function against loops, closed forms and invariants; the module, which computes it faster, against both."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from reprolib.contrast import features as extractors
from reprolib.contrast import losses, patchnce
from reprolib.contrast.features import VGGFeatures
from reprolib.contrast.losses import (
    LAYER_WEIGHTS,
    REDUCTIONS,
    ContrastiveRegularisation,
    contrastive_regularisation,
    l1_distance,
)
from reprolib.contrast.samples import Rate, draw
from reprolib.errors import UserError

Maps = list[Tensor]
OMEGA = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Written down anew from the paper."""


def features(batch: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> Maps:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, 2 + i, 4, 3, generator=generator, dtype=dtype) for i in range(5)]


def chosen(maps: Maps, index_Bn: Tensor) -> Maps:
    """Each anchor's samples: n, B, C, H, W a layer."""
    return [f[index_Bn.T] for f in maps]


def by_hand(a: Maps, p: Maps, n: Maps | None, pi: Tensor, ni: Tensor, reduction: str) -> float:
    """The slides' equation in plain loops."""
    total = 0.0
    for layer, omega in enumerate(OMEGA):
        pull, push = [], []
        for j in range(len(a[layer])):
            pull.append(sum(float((a[layer][j] - p[layer][int(k)]).abs().mean()) for k in pi[j]) / len(pi[j]))
            if n is not None:
                push.append(sum(float((a[layer][j] - n[layer][int(k)]).abs().mean()) for k in ni[j]) / len(ni[j]))
        if n is None:
            total += omega * sum(pull) / len(pull)
        elif reduction == "batch":
            total += omega * sum(pull) / sum(push)
        else:
            total += omega * sum(x / y for x, y in zip(pull, push, strict=True)) / len(pull)
    return total


# The function


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("rate", ["1:1", "1:4", "3:1", "4:2", "2:0"])
def test_against_loops(rate: str, reduction: str) -> None:
    a, p, n = features(seed=1), features(seed=2), features(seed=3)
    pi, ni = draw(4, Rate.parse(rate), torch.Generator().manual_seed(5))
    negatives = n if Rate.parse(rate).negatives else None
    loss = contrastive_regularisation(a, chosen(p, pi), None if negatives is None else chosen(n, ni),
                                      reduction=reduction, guard=0.0)
    assert float(loss) == pytest.approx(by_hand(a, p, negatives, pi, ni, reduction), rel=1e-12)


def test_one_sample_needs_no_axis_of_samples() -> None:
    a, p, n = features(seed=1), features(seed=2), features(seed=3)
    assert torch.equal(contrastive_regularisation(a, p, n),
                       contrastive_regularisation(a, [f[None] for f in p], [f[None] for f in n]))


def test_limits() -> None:
    a, p = features(seed=1), features(seed=2)
    assert float(contrastive_regularisation(a, a, p)) == 0
    assert float(contrastive_regularisation(a, p, p)) == pytest.approx(sum(OMEGA), rel=1e-5)
    at_the_negative = contrastive_regularisation(a, p, a)
    assert torch.isfinite(at_the_negative) and at_the_negative > 1e5


def test_scale_of_features_does_not_matter_to_the_ratio_and_multiplies_the_numerator() -> None:
    a, p, n = features(seed=1), features(seed=2), features(seed=3)
    big = [[7 * f for f in side] for side in (a, p, n)]
    torch.testing.assert_close(contrastive_regularisation(a, p, n, guard=0.0),
                               contrastive_regularisation(*big, guard=0.0))
    torch.testing.assert_close(7 * contrastive_regularisation(a, p, None),
                               contrastive_regularisation(big[0], big[1], None))


def test_reductions_agree_on_one_picture() -> None:
    a, p, n = (features(1, s) for s in (1, 2, 3))
    both = [contrastive_regularisation(a, p, n, reduction=r) for r in REDUCTIONS]
    torch.testing.assert_close(both[0], both[1])


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_linear_in_the_layer_weights(reduction: str) -> None:
    a, p, n = features(seed=1), features(seed=2), features(seed=3)
    layers = [contrastive_regularisation(a, p, n, layer_weights=[float(i == j) for j in range(5)], reduction=reduction)
              for i in range(5)]
    found = contrastive_regularisation(a, p, n, layer_weights=[0.5, 0, 3, 0, 1], reduction=reduction)
    torch.testing.assert_close(found, 0.5 * layers[0] + 3 * layers[2] + layers[4])
    torch.testing.assert_close(contrastive_regularisation(a, p, n, reduction=reduction),
                               sum(w * x for w, x in zip(OMEGA, layers, strict=True)))


def test_gradient_reaches_the_anchors_only() -> None:
    a, p, n = ([f.requires_grad_() for f in features(2, seed)] for seed in (1, 2, 3))

    def loss(*anchors: Tensor) -> Tensor:
        return contrastive_regularisation(list(anchors), p, n)

    assert torch.autograd.gradcheck(loss, tuple(a))
    loss(*a).backward()
    assert all(f.grad is not None and f.grad.any() for f in a)
    assert all(f.grad is None for f in (*p, *n))


def test_halves_are_compared_in_full_precision() -> None:
    a, p = (f.bfloat16() for f in (features(seed=1)[0], features(seed=2)[0]))
    assert torch.equal(l1_distance(a, p), l1_distance(a.float(), p.float()))
    assert l1_distance(a, p).dtype == torch.float32


WRONG = {"4 layer weights .*5 layers": [1.0] * 4, "0 layer weights .none. for 5": [], "nan": [1, 1, 1, 1, float("nan")],
         "inf": [float("inf"), 1, 1, 1, 1], "-0.5": [1, 1, 1, 1, -0.5], "0, 0, 0, 0, 0": [0.0] * 5}


@pytest.mark.parametrize("message", WRONG)
def test_layer_weights_that_cannot_be_meant(message: str) -> None:
    a, p = features(seed=1), features(seed=2)
    for call in (lambda: contrastive_regularisation(a, p, p, layer_weights=WRONG[message]),
                 lambda: ContrastiveRegularisation(VGGFeatures("vgg16"), layer_weights=WRONG[message])):
        with pytest.raises(UserError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value) and "layer_weights" in str(caught.value)


def test_a_module_with_other_features_refuses_wrong_weights_in_its_first_step() -> None:
    module = ContrastiveRegularisation(Taps(), layer_weights=[1.0, 1.0])
    with pytest.raises(UserError, match="2 layer weights .* 5 layers"):
        module(*torch.rand(3, 2, 3, 8, 8))


def test_names_are_known() -> None:
    with pytest.raises(UserError, match="did you mean 'batch'"):
        contrastive_regularisation(features(), features(), None, reduction="bach")
    with pytest.raises(UserError, match="did you mean 'image'"):
        ContrastiveRegularisation(Taps(), reduction="images")
    with pytest.raises(UserError, match="did you mean 'local'"):
        ContrastiveRegularisation(Taps(), pool="locally")


# The module


class Taps(nn.Module):
    """A cheap extractor with five layers."""

    def forward(self, x: Tensor) -> Maps:
        return [(x * (i + 1) - x.mean((1, 2, 3), keepdim=True)).sin() for i in range(5)]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("rate", ["1:1", "1:3", "4:1", "2:4", "1:0", "3:0"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_module_is_the_function(rate: str, reduction: str, dtype: torch.dtype) -> None:
    """Values and gradients: the kernel, the drawing and the means of the module against the plain equation."""
    generator = torch.Generator().manual_seed(1)
    pictures = torch.rand(3, 4, 3, 8, 8, generator=generator, dtype=dtype)
    ours, plain = (pictures[0].clone().requires_grad_() for _ in range(2))
    clear, hazy = (x.clone().requires_grad_() for x in pictures[1:])
    module = ContrastiveRegularisation(Taps(), Rate.parse(rate), reduction, layer_weights=(1, 0, 0.5, 2, 0.1))
    loss, _ = module(ours, clear, hazy, torch.Generator().manual_seed(3))
    pi, ni = draw(4, Rate.parse(rate), torch.Generator().manual_seed(3))
    wanted = contrastive_regularisation(
        Taps()(plain), chosen(Taps()(clear), pi), chosen(Taps()(hazy), ni) if Rate.parse(rate).negatives else None,
        layer_weights=(1, 0, 0.5, 2, 0.1), reduction=reduction)
    loss.backward()
    wanted.backward()
    relative = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(loss, wanted, rtol=relative, atol=0)
    torch.testing.assert_close(ours.grad, plain.grad, rtol=relative, atol=relative * float(plain.grad.abs().max()))
    assert clear.grad is None and hazy.grad is None


def test_equal_pictures_make_the_rate_irrelevant() -> None:
    restored = torch.rand(4, 3, 8, 8)
    clear, hazy = (torch.rand(1, 3, 8, 8).expand(4, -1, -1, -1) for _ in range(2))
    one, many = (ContrastiveRegularisation(Taps(), Rate(r, r))(restored, clear, hazy)[0] for r in (1, 4))
    torch.testing.assert_close(one, many)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_what_is_logged(reduction: str) -> None:
    restored, clear, hazy = torch.rand(3, 2, 3, 8, 8)
    hazy[0] = restored[0]  # one division by the guard where pictures divide alone
    _, logs = ContrastiveRegularisation(Taps(), reduction=reduction)(restored, clear, hazy)
    above, below = ([l1_distance(a, s) for a, s in zip(Taps()(restored), Taps()(side), strict=True)]
                    for side in (clear, hazy))
    for name, distances in (("numerator", above), ("denominator", below)):
        wanted = sum(w * d.mean() for w, d in zip(LAYER_WEIGHTS, distances, strict=True))
        torch.testing.assert_close(logs[name], wanted)
    smallest = min(float(d.mean() if reduction == "batch" else d.min()) for d in below)
    assert float(logs["denominator_min"]) == pytest.approx(smallest, rel=1e-5)
    assert int(logs["guarded"]) == (0 if reduction == "batch" else 5)
    star, logs = ContrastiveRegularisation(Taps(), Rate(1, 0))(restored, clear, hazy)
    assert logs.keys() == {"numerator"} and torch.equal(star, logs["numerator"])


def test_the_module_runs_in_bf16() -> None:
    restored = torch.rand(2, 3, 32, 32, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = ContrastiveRegularisation(VGGFeatures("vgg16"))(restored, *torch.rand(2, 2, 3, 32, 32))
    assert loss.dtype == torch.float32 and torch.isfinite(loss)
    loss.backward()
    assert restored.grad is not None and torch.isfinite(restored.grad).all()


@pytest.mark.parametrize("module", [losses, patchnce, extractors])
def test_examples_run(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0
