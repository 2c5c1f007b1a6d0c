"""Generators and discriminators of the CycleGAN family: published counts, names, shapes, receptive fields."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib import models
from reprolib.errors import UserError
from reprolib.evaluation.networks import load_network
from reprolib.models.inference import translate
from reprolib.models.layers.heads import projection_heads
from reprolib.models.layers.initialisation import initialise
from reprolib.models.layers.patchgan import PatchGAN
from reprolib.models.layers.resample import BlurDown, BlurUp
from reprolib.models.layers.resnet import ResNetGenerator
from reprolib.models.translation.cut import CUT, TAPS
from reprolib.models.weights import Header, load_weights, save_weights

NAMES = ("cut", "fastcut", "cyclegan", "gcgan", "distancegan", "selfdistance")


def published_shapes(antialias: bool, blocks: int = 9, w: int = 64) -> dict[str, tuple[int, ...]]:
    """Key names and shapes of the released generators, written out from their layer tables."""
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(stem: str, first: int, second: int, kernel: int, bias: int) -> None:
        shapes.update({f"model.{stem}.weight": (first, second, kernel, kernel), f"model.{stem}.bias": (bias,)})

    layer("1", w, 3, 7, w)
    layer("4", 2 * w, w, 3, 2 * w)
    layer("8" if antialias else "7", 4 * w, 2 * w, 3, 4 * w)
    start = 12 if antialias else 10
    for i in range(blocks):
        for j in (1, 5):
            layer(f"{start + i}.conv_block.{j}", 4 * w, 4 * w, 3, 4 * w)
    end = start + blocks
    if antialias:
        for index, channels, kernel in ((7, 2 * w, 3), (11, 4 * w, 3), (end, 4 * w, 4), (end + 4, 2 * w, 4)):
            shapes[f"model.{index}.filt"] = (channels, 1, kernel, kernel)
        layer(str(end + 1), 2 * w, 4 * w, 3, 2 * w)
        layer(str(end + 5), w, 2 * w, 3, w)
        layer(str(end + 9), 3, w, 7, 3)
    else:  # transposed weights have their two channel numbers exchanged
        layer(str(end), 4 * w, 2 * w, 3, 2 * w)
        layer(str(end + 3), 2 * w, w, 3, w)
        layer(str(end + 7), 3, w, 7, 3)
    return shapes


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def small(**options: Any) -> ResNetGenerator:
    """A small generator whose tanh is far from both 0 and saturation."""
    generator = ResNetGenerator(8, 2, **options)
    for p in generator.parameters():
        if p.ndim == 4:
            p.data.mul_(2)
    return generator


# Counts, names and shapes


@pytest.mark.parametrize(("name", "generator", "discriminator"), [
    ("cut", 11_378_179, 2_764_737), ("fastcut", 11_378_179, 2_764_737), ("cyclegan", 11_378_179, 2_764_737),
    ("gcgan", 11_378_179, 2_764_737), ("distancegan", 11_388_675, 2_766_529), ("selfdistance", 11_388_675, 2_766_529),
])
def test_parameters_of_the_full_size(name: str, generator: int, discriminator: int) -> None:
    parts = models.count_parts(name)
    assert next(iter(parts.values())) == generator
    assert {v for k, v in parts.items() if "generator" in k} == {generator}
    assert {v for k, v in parts.items() if "discriminator" in k} == {discriminator}
    assert parts.get("heads", 560_384) == 560_384
    if name == "cut":
        assert sum(parts.values()) == 14_703_300


@pytest.mark.parametrize("antialias", [True, False])
def test_parameters_with_six_blocks(antialias: bool) -> None:
    with torch.device("meta"):
        assert models.count_parameters(ResNetGenerator(blocks=6, antialias=antialias)) == 7_837_699


def test_rows_are_named_as_in_the_table(shared: Path) -> None:
    rows = [line.split("\t")[0].split(" [")[0] for line in (shared / "paper" / "slides.txt").read_text().splitlines()
            if len(line.split("\t")) == 9]
    labels = {models.get(name).label for name in NAMES}
    assert labels == {"CUT", "FastCUT", "CycleGAN", "GCGAN", "Distance", "SelfDistance"}
    assert labels <= set(rows)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("blocks", "width"), [(9, 64), (6, 64), (2, 8)])
def test_names_and_shapes_are_the_published_ones(antialias: bool, blocks: int, width: int) -> None:
    with torch.device("meta"):
        generator = ResNetGenerator(width, blocks, antialias=antialias)
    assert shapes_of(generator) == published_shapes(antialias, blocks, width)
    if antialias and blocks == 9:
        assert len(generator.state_dict()) == 52


def test_names_of_the_discriminators() -> None:
    for antialias, convolutions in ((True, (0, 3, 7, 11, 14)), (False, (0, 2, 5, 8, 11))):
        network = PatchGAN(8, antialias=antialias)
        found = [i for i, layer in enumerate(network.model) if isinstance(layer, nn.Conv2d)]
        assert tuple(found) == convolutions
        assert network(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)


# Layers


def test_blur_up_is_bilinear_interpolation() -> None:
    x = torch.randn(2, 3, 5, 7)
    torch.testing.assert_close(BlurUp(3)(x), F.interpolate(x, scale_factor=2, mode="bilinear"), rtol=1e-5, atol=1e-6)


def test_blur_down_by_hand() -> None:
    x = torch.randn(1, 2, 6, 7, dtype=torch.float64)
    y = BlurDown(2).double()(x)
    assert y.shape == (1, 2, 3, 4)
    weights = (1, 2, 1)

    def at(i: int, j: int, c: int) -> float:
        mirror = lambda k, n: -k if k < 0 else (2 * (n - 1) - k if k >= n else k)  # noqa: E731
        return sum(weights[u] * weights[v] / 16 * float(x[0, c, mirror(2 * i + u - 1, 6), mirror(2 * j + v - 1, 7)])
                   for u in range(3) for v in range(3))

    wanted = torch.tensor([[[at(i, j, c) for j in range(4)] for i in range(3)] for c in range(2)])
    torch.testing.assert_close(y[0].float(), wanted)


def instance_norm(x: Tensor) -> Tensor:
    mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
    return (x - mean) / (var + 1e-5).sqrt()


def reflected(x: Tensor, pad: int) -> Tensor:
    return F.pad(x, (pad,) * 4, mode="reflect")


def restated(state: dict[str, Tensor], x: Tensor, blocks: int, antialias: bool) -> Tensor:
    """The generator once more, as functions of its published state dict."""
    def conv(index: int | str, x: Tensor, **options: Any) -> Tensor:
        return F.conv2d(x, state[f"model.{index}.weight"], state[f"model.{index}.bias"], **options)

    def blurred(index: int, x: Tensor) -> Tensor:
        return F.conv2d(reflected(x, 1), state[f"model.{index}.filt"], groups=x.shape[1])[:, :, ::2, ::2]

    x = instance_norm(conv(1, reflected(x, 3))).relu()
    if antialias:
        x = blurred(7, instance_norm(conv(4, x, padding=1)).relu())
        x = blurred(11, instance_norm(conv(8, x, padding=1)).relu())
    else:
        x = instance_norm(conv(4, x, padding=1, stride=2)).relu()
        x = instance_norm(conv(7, x, padding=1, stride=2)).relu()
    start = 12 if antialias else 10
    for i in range(start, start + blocks):
        y = instance_norm(conv(f"{i}.conv_block.1", reflected(x, 1))).relu()
        x = x + instance_norm(conv(f"{i}.conv_block.5", reflected(y, 1)))
    end = start + blocks
    for step in range(2):
        if antialias:
            x = F.interpolate(x, scale_factor=2, mode="bilinear")
            x = instance_norm(conv(end + 1 + 4 * step, x, padding=1)).relu()
        else:
            stem = f"model.{end + 3 * step}"
            x = F.conv_transpose2d(x, state[f"{stem}.weight"], state[f"{stem}.bias"], stride=2, padding=1,
                                   output_padding=1)
            x = instance_norm(x).relu()
    return conv(end + (9 if antialias else 7), reflected(x, 3)).tanh()


@pytest.mark.parametrize("antialias", [True, False])
@torch.no_grad()
def test_the_whole_generator_restated(antialias: bool) -> None:
    generator, x = small(antialias=antialias).double(), torch.rand(2, 3, 32, 40, dtype=torch.float64) * 2 - 1
    y = generator(x)
    assert y.std() > 0.1
    torch.testing.assert_close(y, restated(generator.state_dict(), x, 2, antialias), rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_distancegan_pads_with_zeros_and_has_affine_norms() -> None:
    """Constant pictures show the border through zero padding only."""
    x = torch.ones(1, 3, 32, 32)
    zeros, reflect = ResNetGenerator(8, 1, reflect=False, affine=True), ResNetGenerator(8, 1)
    first = zeros.model[:2](x)
    assert first.shape == (1, 8, 32, 32) and first[0, 0].std() > 1e-3
    assert reflect.model[:2](x)[0, 0].std() < 1e-6
    assert sum("conv_block.2.weight" in name for name in zeros.state_dict()) == 1


# Taps


@torch.no_grad()
def test_shapes_of_the_taps_at_the_full_size() -> None:
    generator, x = ResNetGenerator(antialias=True, blocks=5), torch.rand(1, 3, 64, 64)
    shapes = [tuple(feature.shape[1:]) for feature in generator.encode(x, TAPS)]
    assert shapes == [(3, 70, 70), (128, 64, 64), (256, 32, 32), (256, 16, 16), (256, 16, 16)]  # 262, 256, 128, 64, 64
    assert generator.tap_channels(TAPS) == [3, 128, 256, 256, 256]


@torch.no_grad()
def test_taps_are_the_layers_outputs() -> None:
    """Number 5 is a normalisation, which a ReLU in place would have changed."""
    generator, x = small(antialias=True), torch.rand(2, 3, 16, 20)
    taps = (0, 4, 5, 8, 13)
    wanted, y = [], x
    for index, layer in enumerate(generator.model):
        y = layer(y)
        wanted += [y.clone()] if index in taps else []
    made, seen = generator.forward_with_taps(x, taps)
    assert torch.equal(made, y) and torch.equal(made, generator(x))
    for features in (seen, generator.encode(x, taps), generator.encode(x, taps[::-1])):
        assert all(torch.equal(a, b) for a, b in zip(features, wanted, strict=True))
    torch.testing.assert_close(wanted[0], reflected(x, 3))
    torch.testing.assert_close(wanted[2], instance_norm(wanted[1]), rtol=1e-4, atol=1e-5)


def test_encode_computes_nothing_behind_the_last_tap() -> None:
    generator = small(antialias=True)
    generator.model[9].register_forward_hook(lambda *_: pytest.fail("layer 9 ran"))
    assert len(generator.encode(torch.rand(1, 3, 16, 16), (0, 4, 8))) == 3


@pytest.mark.parametrize("taps", [(0, 14), (-1, 4), (29,)])
def test_a_tap_outside_the_encoder_is_said(taps: tuple[int, ...]) -> None:
    generator = small(antialias=True)
    for call in (lambda: generator.encode(torch.rand(1, 3, 16, 16), taps), lambda: generator.tap_channels(taps)):
        with pytest.raises(UserError, match=r"tap -?\d+ does not exist .*: taps are layers from 0 to 13"):
            call()
    with pytest.raises(UserError, match="does not exist"):
        CUT(8, 2, taps=taps)


def test_taps_of_reduced_networks() -> None:
    assert CUT(8, 9).taps == CUT(8, 5).taps == TAPS
    assert CUT(8, 2).taps == (0, 4, 8, 12, 13) and CUT(8, 1).taps == (0, 4, 8, 12)
    assert CUT(8, 9, taps=[16]).taps == (16,)
    assert len(CUT(8, 9, taps=[16]).heads) == 1


def extent(layers: nn.Module, size: int) -> int:
    """Width in pixels that one output of a network of convolutions sees."""
    for module in list(layers.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.InstanceNorm2d | nn.ReLU | nn.LeakyReLU):
                setattr(module, name, nn.Identity())
    for p in layers.parameters():
        nn.init.constant_(p, 1e-2)
    x = torch.zeros(1, 3, size, size, requires_grad=True)
    y = layers(x)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    assert x.grad is not None
    columns = x.grad[0, 0].ne(0).any(0).nonzero()
    return int(columns.max() - columns.min()) + 1


def test_receptive_fields() -> None:
    """1, 9, 15, 35 and 99 pixels are the paper's; only the network with blurs has them."""
    for antialias, taps, fields in ((True, TAPS, (1, 9, 15, 35, 99)), (False, (0, 4, 7, 10, 14), (1, 9, 13, 29, 93))):
        for tap, field in zip(taps, fields, strict=True):
            assert extent(ResNetGenerator(1, 5, antialias=antialias).model[: tap + 1], 128) == field
    assert extent(PatchGAN(1).model, 128) == 70
    assert extent(PatchGAN(1, antialias=True).model, 128) == 84


# Initial weights


@pytest.mark.parametrize(("name", "kind", "zero"), [
    ("cut", "xavier", True), ("cyclegan", "normal", True), ("gcgan", "xavier", False), ("distancegan", "normal", False),
])
def test_initial_weights(name: str, kind: str, zero: bool) -> None:
    network = models.get(name).build(width=32, blocks=2)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and layer.weight.numel() > 5000:
            receptive = layer.weight[0, 0].numel()
            fans = receptive * (layer.weight.shape[0] + layer.weight.shape[1])
            wanted = 0.02 if kind == "normal" else 0.02 * (2 / fans) ** 0.5
            assert layer.weight.std().item() == pytest.approx(wanted, rel=0.06)
            assert layer.bias is not None and bool((layer.bias == 0).all()) == zero
        elif isinstance(layer, nn.InstanceNorm2d) and name == "distancegan":
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.02) and not layer.bias.any()


def test_initialisation_leaves_other_layers_alone() -> None:
    layers = nn.Sequential(nn.BatchNorm2d(3), nn.Linear(3, 3))
    before = layers[1].bias.clone()
    initialise(layers, "normal", zero_biases=False)
    assert torch.equal(layers[0].weight, torch.ones(3)) and torch.equal(layers[1].bias, before)


# Sizes and precision


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_translation_of_any_size(name: str) -> None:
    system = models.get(name)
    network = system.build(width=8, blocks=2)
    assert network(torch.zeros(2, 3, 20, 36)).shape == (2, 3, 20, 36)
    for height, width in ((31, 46), (9, 17)):
        picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        translated = translate(network, picture, system.multiple)
        assert translated.shape == (height, width, 3) and 0 <= translated.min() <= translated.max() <= 1


@pytest.mark.parametrize("size", [(30, 32), (32, 34), (4, 32)])
def test_sizes_that_the_generator_cannot_take(size: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="multiples of 4"):
        small()(torch.zeros(1, 3, *size))


@pytest.mark.parametrize("antialias", [True, False])
def test_smallest_pictures_of_the_discriminator(antialias: bool) -> None:
    network = PatchGAN(4, antialias=antialias)
    assert network(torch.zeros(1, 3, 24, 40)).shape == (1, 1, 1, 3)
    with pytest.raises(UserError, match="too small"):
        network(torch.zeros(1, 3, 23, 40))


@torch.no_grad()
def test_one_picture_gives_the_same_alone_and_in_a_batch() -> None:
    x = torch.rand(3, 3, 32, 24)
    for network in (small(antialias=True), PatchGAN(8, antialias=True)):
        torch.testing.assert_close(network(x[1:2]), network(x)[1:2], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_bf16_autocast_on_the_cpu() -> None:
    for antialias in (True, False):
        generator, x = small(antialias=antialias), torch.rand(1, 3, 32, 32)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = generator(x)
        torch.testing.assert_close(half.float(), generator(x), rtol=0.1, atol=0.1)


# Published weights


@pytest.mark.parametrize(("name", "antialias"), [("cut", True), ("fastcut", True), ("cyclegan", False),
                                                 ("gcgan", False)])
def test_published_generators_load_and_go_back(name: str, antialias: bool, tmp_path: Path) -> None:
    """One generator a file, in the released names; no other network of the system is in it or needed."""
    system = models.get(name)
    shapes = published_shapes(antialias)
    state = {key: torch.full(shape, i / 100) for i, (key, shape) in enumerate(shapes.items())}
    torch.save(state, tmp_path / "latest_net_G.pth")
    network = load_network(system, tmp_path / "latest_net_G.pth")
    loaded = network.get_submodule(system.inference[0]).state_dict()
    assert {k: tuple(v.shape) for k, v in loaded.items()} == shapes
    assert all(torch.equal(tensor, state[key]) for key, tensor in loaded.items())
    assert system.exporter is not None
    back = system.exporter(network.state_dict())
    assert set(back) == set(shapes) and all(torch.equal(back[key], state[key]) for key in shapes)


def test_published_generators_with_dropout_and_running_statistics(tmp_path: Path) -> None:
    system, shapes = models.get("cyclegan"), published_shapes(False, blocks=2, w=8)
    state = {key: torch.full(shape, float(i)) for i, (key, shape) in enumerate(shapes.items())}
    old = {f"module.{key.replace('conv_block.5', 'conv_block.6')}": tensor for key, tensor in state.items()}
    old |= {"module.model.2.running_mean": torch.zeros(8), "module.model.2.running_var": torch.ones(8)}
    torch.save(old, tmp_path / "old.pth")
    network = system.build(width=8, blocks=2)
    load_weights(system.part(network, *system.inference), tmp_path / "old.pth", system.importer)
    loaded = network.get_submodule("generator_ab").state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in loaded.items())


@torch.no_grad()
def test_our_own_files_translate_the_same(tmp_path: Path) -> None:
    system, options = models.get("cut"), {"width": 8, "blocks": 2}
    network, x = system.build(**options), torch.rand(1, 3, 16, 16)
    kept = system.part(network, *system.saved)
    save_weights(kept, tmp_path / "last.safetensors", header=Header("cut", options))
    torch.manual_seed(5)
    again = load_network(system, tmp_path / "last.safetensors")
    assert torch.equal(again(x), network(x))


def test_weights_of_the_other_layout_are_refused(tmp_path: Path) -> None:
    system = models.get("cut")
    torch.save({k: torch.zeros(s) for k, s in published_shapes(False, 2, 8).items()}, tmp_path / "plain.pth")
    network = system.build(width=8, blocks=2)
    before = network.generator.model[1].weight.clone()
    with pytest.raises(UserError, match="belong to another network"):
        load_weights(system.part(network, "generator"), tmp_path / "plain.pth", system.importer)
    assert torch.equal(network.generator.model[1].weight, before)


def test_heads_have_the_released_shapes() -> None:
    shapes = shapes_of(projection_heads([3, 128, 256, 256, 256]))
    assert sum(prod(shape) for shape in shapes.values()) == 560_384
    assert shapes["1.0.weight"] == (256, 128) and shapes["0.2.bias"] == (256,)
