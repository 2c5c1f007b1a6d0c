"""The extractor against torchvision's and Caffe's networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from extractors import random_vgg
from safetensors.torch import save_file
from torch import nn

from reprolib.contrast.features import TRUNKS, VGGFeatures, load_features
from reprolib.contrast.winograd import WinogradConv2d
from reprolib.errors import UserError


@pytest.mark.parametrize("name", sorted(TRUNKS))
def test_taps_are_those_of_torchvision(name: str) -> None:
    """relu1_1 .. relu5_1 of the reference network with the same random weights, bit for bit."""
    reference = getattr(torchvision.models, name.removesuffix("-torchvision"))(weights=None).features.eval()
    ours = VGGFeatures(name, "none", winograd=False)
    wanted = ours.state_dict()
    given = {f"features.{k}": v for k, v in reference.state_dict().items()}
    ours.load_state_dict({k: v for k, v in given.items() if k in wanted})
    x, taps = torch.rand(1, 3, 32, 32), []
    indices = {"vgg19": (1, 6, 11, 20, 29), "vgg16": (1, 6, 11, 18, 25)}[name[:5]]
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


def test_caffe_features_are_the_original_network_s_in_units_of_the_picture_range(tmp_path: Path) -> None:
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


def test_extractor_is_frozen_and_stays_in_evaluation() -> None:
    net = VGGFeatures("vgg16").train()
    assert not net.training and not any(p.requires_grad for p in net.parameters())


def test_winograd_is_a_switch_that_moves_features_by_rounding_only() -> None:
    """The same weights drawn, the same names; features and gradients of a picture large enough for the fast way."""
    found = {}
    x = torch.rand(2, 3, 64, 64)
    for winograd in (True, False):
        net = random_vgg("vgg16", winograd=winograd)
        kinds = {type(layer) for layer in net.features if isinstance(layer, nn.Conv2d)}
        assert kinds == {WinogradConv2d if winograd else nn.Conv2d}
        picture = x.clone().requires_grad_()
        maps = net(picture)
        maps[-1].square().sum().backward()
        found[winograd] = net.state_dict(), [*(f.detach() for f in maps), picture.grad]
    (fast, fast_maps), (plain, plain_maps) = found[True], found[False]
    assert fast.keys() == plain.keys() and all(torch.equal(fast[key], plain[key]) for key in plain)
    assert not torch.equal(fast_maps[-1], plain_maps[-1]), "the fast way was not taken"
    for a, b in zip(fast_maps, plain_maps, strict=True):
        assert a is not None and b is not None and (a - b).norm() <= 2e-5 * b.norm()


def test_missing_weights_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="reprolib weights fetch vgg16"):
        load_features("vgg16")
    with pytest.raises(UserError, match="did you mean 'vgg16'"):
        load_features("vgg6")
