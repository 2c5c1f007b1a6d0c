"""The three axes of the contrastive term, each against an independent statement of it."""

from __future__ import annotations

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from reprolib.contrast.features import TRUNKS, VGGFeatures, load_features
from reprolib.contrast.losses import WEIGHTS, ContrastiveRegularisation, contrastive_regularisation, mean_distance
from reprolib.contrast.samples import Rate, draw
from reprolib.errors import UserError


def features(batch: int = 4, seed: int = 0, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, 2 + i, 4, 3, generator=generator, dtype=dtype) for i in range(5)]


def by_hand(a, p, n, pi, ni, reduction: str) -> float:  # type: ignore[no-untyped-def]
    """The slides' equation in plain loops."""
    total = 0.0
    for layer, omega in enumerate((1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)):
        pull, push = [], []
        for j in range(len(a[layer])):
            pull.append(sum(float((a[layer][j] - p[layer][k]).abs().mean()) for k in pi[j]) / len(pi[j]))
            if n is not None:
                push.append(sum(float((a[layer][j] - n[layer][k]).abs().mean()) for k in ni[j]) / len(ni[j]))
        if n is None:
            total += omega * sum(pull) / len(pull)
        elif reduction == "batch":
            total += omega * sum(pull) / sum(push)
        else:
            total += omega * sum(x / y for x, y in zip(pull, push, strict=True)) / len(pull)
    return total


@pytest.mark.parametrize("reduction", ["batch", "image"])
@pytest.mark.parametrize("rate", ["1:1", "1:4", "3:1", "4:2", "2:0"])
def test_against_loops(rate: str, reduction: str) -> None:
    a, p, n = features(seed=1), features(seed=2), features(seed=3)
    pi, ni = draw(4, Rate.parse(rate), torch.Generator().manual_seed(5))
    negatives = n if Rate.parse(rate).negatives else None
    loss, _ = contrastive_regularisation(a, p, negatives, pi, ni, reduction=reduction)
    assert float(loss) == pytest.approx(by_hand(a, p, negatives, pi.tolist(), ni.tolist(), reduction), rel=1e-5)


def test_limits() -> None:
    a, p = features(seed=1), features(seed=2)
    own = torch.arange(4)[:, None]
    assert float(contrastive_regularisation(a, a, p, own, own)[0]) == 0
    assert float(contrastive_regularisation(a, p, p, own, own)[0]) == pytest.approx(1.46875, rel=1e-5)
    loss, logs = contrastive_regularisation(a, p, a, own, own)
    assert torch.isfinite(loss) and loss > 1e5
    assert int(logs["guarded"]) == 5
    assert float(logs["denominator_min"]) == 0
    star, logs = contrastive_regularisation(a, p, None, own)
    assert float(star) == pytest.approx(float(logs["numerator"]))
    assert "denominator" not in logs


def test_equal_samples_make_the_rate_irrelevant() -> None:
    a, p, n = features(seed=1), [f[:1].expand(4, -1, -1, -1) for f in features(seed=2)], features(seed=3)
    n = [f[:1].expand(4, -1, -1, -1) for f in n]
    one, many = (contrastive_regularisation(a, p, n, *draw(4, Rate(r, r)))[0] for r in (1, 4))
    assert float(one) == pytest.approx(float(many), rel=1e-6)


def test_scale_of_features_does_not_matter() -> None:
    a, p, n = features(seed=1), features(seed=2), features(seed=3)
    own = torch.arange(4)[:, None]
    big = [[7 * f for f in side] for side in (a, p, n)]
    assert float(contrastive_regularisation(a, p, n, own, own)[0]) == pytest.approx(
        float(contrastive_regularisation(*big, own, own)[0]), rel=1e-5)


def test_readings_agree_on_one_image() -> None:
    a, p, n = (features(1, s) for s in (1, 2, 3))
    own = torch.zeros(1, 1, dtype=torch.long)
    both = [float(contrastive_regularisation(a, p, n, own, own, reduction=r)[0]) for r in ("batch", "image")]
    assert both[0] == pytest.approx(both[1], rel=1e-6)


def test_gradient_is_that_of_autograd_and_reaches_the_anchor_only() -> None:
    """Numerator and denominator both count: the reference differentiates the whole expression."""
    samples = torch.randn(4, 2, 3, 3, requires_grad=True)
    index = draw(4, Rate(1, 3), torch.Generator().manual_seed(1))[1]
    a, b = (torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(2)).requires_grad_() for _ in range(2))
    ratio = mean_distance(a, samples, index[:, :1]) / mean_distance(a, samples, index)
    ratio.sum().backward()
    plain = [torch.stack([(b - samples.detach()[i[:, k]]).abs().mean((1, 2, 3)) for k in range(i.shape[1])]).mean(0)
             for i in (index[:, :1], index)]
    (plain[0] / plain[1]).sum().backward()
    assert torch.allclose(a.grad, b.grad, atol=1e-6)
    assert samples.grad is None


def test_gradcheck() -> None:
    """In float64 the distance is differentiated exactly; mean_distance itself computes in float32."""
    from reprolib.contrast.losses import _MeanDistance

    samples = torch.randn(3, 2, 2, 2, dtype=torch.float64)
    anchor = torch.randn(3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    index = draw(3, Rate(1, 2))[1]
    assert torch.autograd.gradcheck(lambda x: _MeanDistance.apply(x, samples, index), (anchor,))


def test_samples_own_first_distinct_and_even() -> None:
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(6, 6)
    for _ in range(2000):
        p, n = draw(6, Rate(3, 6), generator)
        assert torch.equal(p[:, 0], torch.arange(6)) and torch.equal(n[:, 0], torch.arange(6))
        assert all(len(set(row.tolist())) == len(row) for row in [*p, *n])
        for j in range(6):
            counts[j, p[j, 1:]] += 1
    others = counts[~torch.eye(6, dtype=torch.bool)] / 2000
    assert torch.all((others - 2 / 5).abs() < 0.06)  # 5 standard deviations


@pytest.mark.parametrize("rate", ["1:5", "5:1"])
def test_rate_beyond_the_batch(rate: str) -> None:
    with pytest.raises(UserError, match="needs 5 pictures, a batch has 4"):
        draw(4, Rate.parse(rate))


@pytest.mark.parametrize("rate", ["1", "a:b", "0:1", "1:-1"])
def test_bad_rate(rate: str) -> None:
    with pytest.raises(UserError):
        Rate.parse(rate)


class Taps(nn.Module):
    """A cheap extractor with five layers."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x * (i + 1) - x.mean() for i in range(5)]


def test_module_is_the_function_and_leaves_the_truth_alone() -> None:
    restored, clear, hazy = (torch.rand(4, 3, 8, 8, requires_grad=True) for _ in range(3))
    module = ContrastiveRegularisation(Taps(), Rate(1, 3))
    loss, _ = module(restored, clear, hazy, torch.Generator().manual_seed(3))
    both = Taps()(torch.cat((clear, hazy)))
    pi, ni = draw(4, Rate(1, 3), torch.Generator().manual_seed(3))
    want, _ = contrastive_regularisation(Taps()(restored), [f[:4] for f in both], [f[4:] for f in both], pi, ni)
    assert float(loss) == pytest.approx(float(want), rel=1e-6)
    loss.backward()
    assert restored.grad is not None and clear.grad is None and hazy.grad is None


@pytest.mark.parametrize("name", sorted(TRUNKS))
def test_taps_are_those_of_torchvision(name: str) -> None:
    """relu1_1 .. relu5_1 of the reference network with the same random weights, bit for bit."""
    reference = getattr(torchvision.models, name)(weights=None).features.eval()
    ours = VGGFeatures(name, "none")
    wanted = ours.state_dict()
    given = {f"features.{k}": v for k, v in reference.state_dict().items()}
    ours.load_state_dict({k: v for k, v in given.items() if k in wanted})
    x, taps, indices = torch.rand(1, 3, 32, 32), [], {"vgg19": (1, 6, 11, 20, 29), "vgg16": (1, 6, 11, 18, 25)}[name]
    y = x
    for i, layer in enumerate(reference):
        y = layer(y)
        if i in indices:
            taps.append(y.clone())
    assert len(taps) == 5
    assert all(torch.equal(a, b) for a, b in zip(ours(x), taps, strict=True))


def test_normalisations() -> None:
    x = torch.rand(1, 3, 16, 16)
    seen = {}
    for name in ("none", "imagenet", "caffe"):
        net = VGGFeatures("vgg16", name)
        net.features[0].register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
        net(x)
    assert torch.equal(seen["none"], x)
    assert torch.allclose(255 * seen["caffe"][:, 0], x[:, 2] * 255 - 103.939, atol=1e-3)
    assert torch.allclose(seen["imagenet"][:, 1], (x[:, 1] - 0.456) / 0.224, atol=1e-5)


def test_caffe_features_are_the_original_network_s_in_units_of_the_picture_range(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Independent: the original input in levels, unchanged biases, and one division at the end."""
    stored = VGGFeatures("vgg16").state_dict()
    save_file(stored, tmp_path / "vgg16.safetensors")
    ours = load_features("vgg16", tmp_path / "vgg16.safetensors")
    x = torch.rand(2, 3, 32, 32)
    y = 255 * x.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    convolutions = [stored[f"features.{i}.{kind}"] for i in (0, 2, 5) for kind in ("weight", "bias")]
    first = torch.relu(torch.nn.functional.conv2d(y, *convolutions[:2], padding=1))
    second = torch.relu(torch.nn.functional.conv2d(first, *convolutions[2:4], padding=1))
    third = torch.relu(torch.nn.functional.conv2d(
        torch.nn.functional.max_pool2d(second, 2), *convolutions[4:], padding=1))
    found = ours(x)
    assert torch.allclose(found[0], first / 255, rtol=1e-4, atol=1e-5)
    assert torch.allclose(found[1], third / 255, rtol=1e-4, atol=1e-5)


def test_extractor_is_frozen_and_runs_in_bf16() -> None:
    net = VGGFeatures("vgg16").train()
    assert not net.training and not any(p.requires_grad for p in net.parameters())
    restored = torch.rand(2, 3, 32, 32, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = ContrastiveRegularisation(net)(restored, torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32))
    assert loss.dtype == torch.float32 and torch.isfinite(loss)
    loss.backward()
    assert torch.isfinite(restored.grad).all()


def test_missing_weights_say_what_to_do(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="reprolib data prepare vgg16"):
        load_features("vgg16")
    with pytest.raises(UserError, match="did you mean 'vgg16'"):
        load_features("vgg6")


def test_weights_sum() -> None:
    assert sum(WEIGHTS) == pytest.approx(1.46875)
