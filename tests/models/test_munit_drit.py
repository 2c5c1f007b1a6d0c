"""MUNIT and DRIT: counts, official key names, layers stated anew, one-sided translation that can be made again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib import models
from reprolib.errors import UserError
from reprolib.models.inference import translate
from reprolib.models.layers.multiscale import MultiScaleDiscriminator
from reprolib.models.layers.normalisation import LayerNorm, adain
from reprolib.models.layers.style import picture_styles
from reprolib.models.translation import drit, munit

State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


def meta(system: str, *args: object, **options: object) -> nn.Module:
    with torch.device("meta"):
        return models.get(system).build(*args, **options)


def kept(system: models.System, network: nn.Module) -> nn.Module:
    """What a file of weights holds."""
    return nn.ModuleDict({name: network.get_submodule(name) for name in system.inference})


def counts(network: nn.Module) -> dict[str, int]:
    return {name: models.count_parameters(child) for name, child in network.named_children()}


def layers(shapes: dict[str, tuple[int, ...]], transposed: tuple[str, ...] = ()) -> Shapes:
    """Weight and bias of layers given by the shape of their weight."""
    both: Shapes = {}
    for name, weight in shapes.items():
        outputs = weight[1] if name in transposed else weight[0]
        both |= {f"{name}.weight": weight, f"{name}.bias": (outputs,)}
    return both


def official_munit(w: int) -> Shapes:
    """Names and shapes of one generator in the official file, written out from its layer table."""
    c = 4 * w
    shapes = layers({
        "enc_style.model.0.conv": (w, 3, 7, 7), "enc_style.model.1.conv": (2 * w, w, 4, 4),
        "enc_style.model.2.conv": (c, 2 * w, 4, 4), "enc_style.model.3.conv": (c, c, 4, 4),
        "enc_style.model.4.conv": (c, c, 4, 4), "enc_style.model.6": (8, c, 1, 1),
        "enc_content.model.0.conv": (w, 3, 7, 7), "enc_content.model.1.conv": (2 * w, w, 4, 4),
        "enc_content.model.2.conv": (c, 2 * w, 4, 4),
        **{f"{p}.model.{r}.model.{i}.conv": (c, c, 3, 3)
           for p in ("enc_content.model.3", "dec.model.0") for r in range(4) for i in range(2)},
        "dec.model.2.conv": (2 * w, c, 5, 5), "dec.model.4.conv": (w, 2 * w, 5, 5), "dec.model.5.conv": (3, w, 7, 7),
        "mlp.model.0.fc": (c, 8), "mlp.model.1.fc": (c, c), "mlp.model.2.fc": (16 * c, c),
    })
    for i, channels in ((2, 2 * w), (4, w)):
        shapes |= {f"dec.model.{i}.norm.gamma": (channels,), f"dec.model.{i}.norm.beta": (channels,)}
    for r in range(4):
        for i in range(2):
            for statistic in ("mean", "var"):
                shapes[f"dec.model.0.model.{r}.model.{i}.norm.running_{statistic}"] = (c,)
    return shapes


def official_drit(w: int, concat: bool) -> Shapes:
    """Names and shapes of encoders and generator in the official checkpoint, written out from its layer tables."""
    c, shapes, transposed = 4 * w, {}, []
    norms: Shapes = {}

    def block(stem: str, channels: int) -> None:
        shapes.update({f"{stem}.model.{i}": (channels, channels, 3, 3) for i in (1, 5)})

    def up(stem: str, channels: int, out: int) -> None:
        shapes[f"{stem}.model.0"] = (channels, out, 3, 3)
        transposed.append(f"{stem}.model.0")
        norms.update({f"{stem}.model.1.weight": (out, 1, 1), f"{stem}.model.1.bias": (out, 1, 1)})

    block("enc_c.conv_share.0", c)
    for s in "AB":
        shapes |= {f"enc_c.conv{s}.0.model.1": (w, 3, 7, 7), f"enc_c.conv{s}.1.model.1": (2 * w, w, 3, 3),
                   f"enc_c.conv{s}.2.model.1": (c, 2 * w, 3, 3)}
        for i in (3, 4, 5):
            block(f"enc_c.conv{s}.{i}", c)
        if concat:
            shapes[f"enc_a.conv_{s}.1"] = (w, 3, 4, 4)
            for i in (2, 3, 4):
                inner, outer = (i - 1) * w, i * w
                shapes |= {f"enc_a.conv_{s}.{i}.conv.2": (inner, inner, 3, 3),
                           f"enc_a.conv_{s}.{i}.conv.4.1": (outer, inner, 3, 3),
                           f"enc_a.conv_{s}.{i}.shortcut.1": (outer, inner, 1, 1)}
            shapes |= {f"enc_a.fc_{s}.0": (8, c), f"enc_a.fcVar_{s}.0": (8, c)}
            half = (c + 16) // 2
            quarter = (half + 8) // 2
            for i in range(3):
                block(f"gen.dec{s}1.{i}", c + 8)
            up(f"gen.dec{s}2.0", c + 16, half)
            up(f"gen.dec{s}3.0", half + 8, quarter)
            last = f"gen.dec{s}4.0", (quarter + 8, 3, 1, 1)
        else:
            a = f"enc_a.model_{s.lower()}"
            shapes |= {f"{a}.1": (w, 3, 7, 7), f"{a}.4": (2 * w, w, 4, 4), f"{a}.7": (c, 2 * w, 4, 4),
                       f"{a}.10": (c, c, 4, 4), f"{a}.13": (c, c, 4, 4), f"{a}.16": (8, c, 1, 1)}
            shapes |= {f"gen.mlp{s}.0": (c, 8), f"gen.mlp{s}.2": (c, c), f"gen.mlp{s}.4": (4 * c, c)}
            for i in (1, 2, 3, 4):
                for j in (1, 2):
                    shapes |= {f"gen.dec{s}{i}.conv{j}.0.1": (c, c, 3, 3),
                               f"gen.dec{s}{i}.blk{j}.0": (2 * c, 2 * c, 1, 1),
                               f"gen.dec{s}{i}.blk{j}.2": (c, 2 * c, 1, 1)}
            up(f"gen.dec{s}5.0", c, 2 * w)
            up(f"gen.dec{s}5.1", 2 * w, w)
            last = f"gen.dec{s}5.2", (w, 3, 1, 1)
        shapes[last[0]] = last[1]
        transposed.append(last[0])
    if concat:
        block("gen.dec_share.0", c)
    return layers(shapes, tuple(transposed)) | norms


def filled(shapes: Shapes, scale: float = 0.05) -> State:
    return {name: torch.randn(shape) * scale for name, shape in shapes.items()}


def conv(state: State, stem: str, x: Tensor, stride: int, pad: int) -> Tensor:
    x = F.pad(x, (pad,) * 4, mode="reflect") if pad else x
    return F.conv2d(x, state[f"{stem}.weight"], state[f"{stem}.bias"], stride)


def normal(x: Tensor, dims: tuple[int, ...] = (2, 3)) -> Tensor:
    mean = x.mean(dims, keepdim=True)
    return (x - mean) / ((x - mean).square().mean(dims, keepdim=True) + 1e-5).sqrt()


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    pictures = []
    for picture in x:
        values = picture.flatten()
        variance = (values - values.sum() / len(values)).square().sum() / (len(values) - 1)
        plain = (picture - values.mean()) / (variance.sqrt() + 1e-5)
        pictures.append(plain * gamma.view(-1, 1, 1) + beta.view(-1, 1, 1))
    return torch.stack(pictures)


# ---- counts ----------------------------------------------------------------------------------------------------


def test_munit_has_the_published_counts() -> None:
    network = meta("munit")
    assert counts(network) == {"gen_a": 15_026_187, "gen_b": 15_026_187, "dis_a": 8_271_171, "dis_b": 8_271_171}
    assert counts(network.gen_a) == {"enc_style": 2_764_936, "enc_content": 5_385_856, "dec": 5_754_627,
                                     "mlp": 1_120_768}


@pytest.mark.parametrize(("form", "attributes", "generator"),
                         [("concat", 2_688_160, 9_564_710), ("feature", 5_529_872, 17_146_374)])
def test_drit_has_the_published_counts(form: str, attributes: int, generator: int) -> None:
    network = meta("drit", form)
    assert counts(network.translator) == {"content": 9_018_112, "attributes": attributes, "generator": generator}
    others = counts(network)
    assert others.pop("translator") == 9_018_112 + attributes + generator
    assert others.pop("dis_content") == 10_683_649
    assert list(others) == ["dis_a", "dis_b", "dis_a2", "dis_b2"] and set(others.values()) == {8_271_171}


# ---- key names and official files --------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [64, 8])
def test_munit_takes_the_official_file_and_gives_it_back(width: int) -> None:
    network = meta("munit", width)
    shapes = {f"{side}.{name}": shape for side in "ab" for name, shape in official_munit(width).items()}
    official = {name: torch.zeros(shape, device="meta") for name, shape in shapes.items()}
    old = {f"{side}.enc_content.model.1.norm.running_mean": torch.zeros(2 * width) for side in "ab"}
    part = kept(munit.SYSTEM, network)
    ours = munit.importer({**official, **old})
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in part.state_dict().items()}
    assert {k: tuple(v.shape) for k, v in munit.exporter(ours).items()} == shapes


def test_munit_discriminator_has_the_official_names() -> None:
    shapes = layers({f"cnns.{s}.{name}": shape for s in range(3) for name, shape in {
        "0.conv": (8, 3, 4, 4), "1.conv": (16, 8, 4, 4), "2.conv": (32, 16, 4, 4), "3.conv": (64, 32, 4, 4),
        "4": (1, 64, 1, 1)}.items()})
    assert {k: tuple(v.shape) for k, v in MultiScaleDiscriminator(8).state_dict().items()} == shapes


@pytest.mark.parametrize("form", ["concat", "feature"])
@pytest.mark.parametrize("width", [64, 8])
def test_drit_takes_the_official_checkpoint(form: str, width: int) -> None:
    network = meta("drit", form, width=width)
    shapes = official_drit(width, form == "concat")
    official = {name: torch.zeros(shape, device="meta") for name, shape in shapes.items()}
    ours = drit.importer({**official, "disA.Diss.0.4.bias": torch.zeros(1), "gen_opt.state.0.exp_avg": torch.zeros(1)})
    part = kept(drit.SYSTEM, network)
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in part.state_dict().items()}
    with pytest.raises(KeyError, match="gen.dec_odd"):
        drit.importer({"gen.dec_odd.weight": torch.zeros(1)})


# ---- layers stated anew ------------------------------------------------------------------------------------------


def test_adain_and_layer_norm_stated_anew() -> None:
    x, shift, scale = torch.randn(2, 3, 5, 7).double(), torch.randn(2, 3).double(), torch.randn(2, 3).double()
    styled = adain(x, shift, scale)
    torch.testing.assert_close(styled, normal(x) * scale.view(2, 3, 1, 1) + shift.view(2, 3, 1, 1))
    torch.testing.assert_close(styled.mean((2, 3)), shift)
    norm = LayerNorm(3).double()
    assert norm.gamma.min() >= 0 and norm.gamma.max() < 1 and not norm.beta.any()
    torch.testing.assert_close(norm(x), layer_norm(x, norm.gamma, norm.beta))


def test_munit_translation_stated_anew() -> None:
    """The whole way from A to B, written as functions of the official names; batch of two, not square."""
    w, state = 8, filled({f"{s}.{n}": shape for s in "ab" for n, shape in official_munit(8).items()}, 0.15)
    network = munit.MUNIT(w)
    kept(munit.SYSTEM, network).load_state_dict(munit.importer(state))
    network.double()
    state = {name: tensor.double() for name, tensor in state.items()}
    source, style = torch.rand(2, 3, 16, 24).double() * 2 - 1, torch.randn(2, 8).double()

    x = source
    for i, (stride, pad) in enumerate(((1, 3), (2, 1), (2, 1))):
        x = normal(conv(state, f"a.enc_content.model.{i}.conv", x, stride, pad)).relu()
    for r in range(4):
        stem = f"a.enc_content.model.3.model.{r}.model"
        y = normal(conv(state, f"{stem}.0.conv", x, 1, 1)).relu()
        x = x + normal(conv(state, f"{stem}.1.conv", y, 1, 1))
    numbers = style
    for i in range(3):
        numbers = F.linear(numbers, state[f"b.mlp.model.{i}.fc.weight"], state[f"b.mlp.model.{i}.fc.bias"])
        numbers = numbers.relu() if i < 2 else numbers
    numbers = numbers.view(2, 4, 2, 2, 4 * w, 1, 1)  # picture, block, layer, shift or scale, channel
    for r in range(4):
        y = x
        for i in range(2):
            y = normal(conv(state, f"b.dec.model.0.model.{r}.model.{i}.conv", y, 1, 1))
            y = y * numbers[:, r, i, 1] + numbers[:, r, i, 0]
            y = y.relu() if i == 0 else y
        x = x + y
    for i in (2, 4):
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = conv(state, f"b.dec.model.{i}.conv", x, 1, 2)
        x = layer_norm(x, state[f"b.dec.model.{i}.norm.gamma"], state[f"b.dec.model.{i}.norm.beta"]).relu()
    wanted = conv(state, "b.dec.model.5.conv", x, 1, 3).tanh()

    torch.testing.assert_close(network(source, style), wanted, rtol=1e-8, atol=1e-10)


def residual(state: State, stem: str, x: Tensor) -> Tensor:
    y = normal(conv(state, f"{stem}.model.1", x, 1, 1)).relu()
    return x + normal(conv(state, f"{stem}.model.5", y, 1, 1))


def doubled(state: State, stem: str, x: Tensor) -> Tensor:
    x = F.conv_transpose2d(x, state[f"{stem}.model.0.weight"], state[f"{stem}.model.0.bias"], 2, 1, 1)
    weight, bias = (state[f"{stem}.model.1.{k}"].expand(x.shape[1:]) for k in ("weight", "bias"))
    return F.layer_norm(x, x.shape[1:], weight, bias).relu()


def beside(x: Tensor, z: Tensor) -> Tensor:
    return torch.cat([x, z.view(*z.shape, 1, 1).expand(*z.shape, *x.shape[2:])], 1)


def drit_translation(state: State, concat: bool, x: Tensor, z: Tensor) -> Tensor:
    """A to B as functions of the official names."""
    x = F.leaky_relu(conv(state, "enc_c.convA.0.model.1", x, 1, 3), 0.01)
    for i in (1, 2):
        x = normal(conv(state, f"enc_c.convA.{i}.model.1", x, 2, 1)).relu()
    for stem in ("enc_c.convA.3", "enc_c.convA.4", "enc_c.convA.5", "enc_c.conv_share.0"):
        x = residual(state, stem, x)
    if concat:
        x = beside(residual(state, "gen.dec_share.0", x), z)
        for i in range(3):
            x = residual(state, f"gen.decB1.{i}", x)
        x = doubled(state, "gen.decB3.0", beside(doubled(state, "gen.decB2.0", beside(x, z)), z))
        last, x = "gen.decB4.0", beside(x, z)
    else:
        for i in (0, 2, 4):
            z = F.linear(z, state[f"gen.mlpB.{i}.weight"], state[f"gen.mlpB.{i}.bias"])
            z = z.relu() if i < 4 else z
        for i, part in enumerate(z.split(x.shape[1], 1), start=1):
            y = x
            for j in (1, 2):
                y = beside(normal(conv(state, f"gen.decB{i}.conv{j}.0.1", y, 1, 1)), part)
                for k in (0, 2):
                    y = conv(state, f"gen.decB{i}.blk{j}.{k}", y, 1, 0).relu()
            x = x + y
        last, x = "gen.decB5.2", doubled(state, "gen.decB5.1", doubled(state, "gen.decB5.0", x))
    return F.conv_transpose2d(x, state[f"{last}.weight"], state[f"{last}.bias"]).tanh()


def drit_attribute(state: State, concat: bool, x: Tensor) -> list[Tensor]:
    """Attribute of pictures of B as functions of the official names."""
    if not concat:
        for i, (stride, pad) in zip((1, 4, 7, 10, 13), ((1, 3), *[(2, 1)] * 4), strict=True):
            x = conv(state, f"enc_a.model_b.{i}", x, stride, pad).relu()
        return [conv(state, "enc_a.model_b.16", x.mean((2, 3), keepdim=True), 1, 0).flatten(1)]
    x = conv(state, "enc_a.conv_B.1", x, 2, 1)
    for i in (2, 3, 4):
        y = conv(state, f"enc_a.conv_B.{i}.conv.2", F.leaky_relu(x, 0.2), 1, 1)
        y = F.avg_pool2d(conv(state, f"enc_a.conv_B.{i}.conv.4.1", F.leaky_relu(y, 0.2), 1, 1), 2)
        x = y + conv(state, f"enc_a.conv_B.{i}.shortcut.1", F.avg_pool2d(x, 2), 1, 0)
    x = F.leaky_relu(x, 0.2).mean((2, 3))
    return [F.linear(x, state[f"enc_a.{k}_B.0.weight"], state[f"enc_a.{k}_B.0.bias"]) for k in ("fc", "fcVar")]


@pytest.mark.parametrize("form", ["concat", "feature"])
def test_drit_translation_and_attribute_stated_anew(form: str) -> None:
    concat, state = form == "concat", filled(official_drit(8, form == "concat"), 0.15)
    network = drit.DRIT(form, width=8)
    kept(drit.SYSTEM, network).load_state_dict(drit.importer(state))
    network.double()
    state = {name: tensor.double() for name, tensor in state.items()}
    source, style = torch.rand(2, 3, 16, 24).double() * 2 - 1, torch.randn(2, 8).double()
    torch.testing.assert_close(network(source, style), drit_translation(state, concat, source, style),
                               rtol=1e-8, atol=1e-10)
    found = [x for x in network.translator.attribute(source, "b") if x is not None]
    torch.testing.assert_close(found, drit_attribute(state, concat, source), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("slope", [0.2, 0.01])
def test_discriminator_sees_three_scales(slope: float) -> None:
    """Three networks on a picture that is averaged over 3x3 windows, of which only the part inside counts."""
    network, x = MultiScaleDiscriminator(4, slope).double(), torch.randn(2, 3, 64, 96).double()
    state, found = network.state_dict(), network(x)
    assert [tuple(o.shape) for o in found] == [(2, 1, 4, 6), (2, 1, 2, 3), (2, 1, 1, 1)]
    for s, logits in enumerate(found):
        y = x
        for i in range(4):
            y = F.leaky_relu(conv(state, f"cnns.{s}.{i}.conv", y, 2, 1), slope)
        torch.testing.assert_close(logits, conv(state, f"cnns.{s}.4", y, 1, 0), rtol=1e-10, atol=1e-12)
        kernel = torch.ones(3, 1, 3, 3).double()
        inside = F.conv2d(torch.ones_like(x), kernel, stride=2, padding=1, groups=3)
        x = F.conv2d(x, kernel, stride=2, padding=1, groups=3) / inside
    assert [tuple(o.shape[2:]) for o in network(torch.zeros(1, 3, 256, 256).double())] == [(16, 16), (8, 8), (4, 4)]


def test_initial_weights_are_the_papers() -> None:
    network = munit.MUNIT(16)
    for name, weight in network.named_parameters():
        if name.endswith("bias"):
            assert not weight.any()
        elif weight.numel() > 5000:
            wanted = 0.02 if name.startswith("dis") else (2 / weight[0].numel()) ** 0.5
            assert weight.std().item() == pytest.approx(wanted, rel=0.05), name
    for name, module in drit.DRIT(width=16).named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.weight.numel() > 5000:
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.05), name


# ---- one-sided translation ---------------------------------------------------------------------------------------


def small(system: str, *args: object) -> nn.Module:
    return models.get(system).build(*args, width=4).eval()


NETWORKS = [("munit",), ("drit", "concat"), ("drit", "feature")]


@pytest.mark.parametrize("system", NETWORKS, ids="-".join)
@torch.no_grad()
def test_style_follows_from_the_picture(system: tuple[str, ...]) -> None:
    network, x = small(*system), torch.rand(3, 3, 16, 24) * 2 - 1
    made = network(x)
    assert made.shape == x.shape and made.abs().max() <= 1
    torch.testing.assert_close(made[1:2], network(x[1:2]))  # neither batch nor order matters
    assert torch.equal(made, network(x, picture_styles(x)))
    assert not torch.equal(made, network(x, torch.randn(3, 8)))
    styles = picture_styles(x)
    assert styles.shape == (3, 8) and not torch.equal(styles[0], styles[1])


def test_styles_are_standard_normal() -> None:
    styles = picture_styles(torch.rand(2000, 3, 8, 8) * 2 - 1)
    assert styles.mean().item() == pytest.approx(0, abs=0.03) and styles.std().item() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("system", NETWORKS, ids="-".join)
@pytest.mark.parametrize(("height", "width"), [(8, 8), (37, 50), (21, 9)])
def test_pictures_of_any_size(system: tuple[str, ...], height: int, width: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    made = translate(small(*system), picture, models.get(system[0]).multiple)
    assert made.shape == (height, width, 3) and np.isfinite(made).all()


@pytest.mark.parametrize("system", NETWORKS, ids="-".join)
@torch.no_grad()
def test_bf16_autocast(system: tuple[str, ...]) -> None:
    network, x = small(*system), torch.rand(1, 3, 32, 16) * 2 - 1
    with torch.autocast("cpu", torch.bfloat16):
        half = network(x)
    torch.testing.assert_close(half.float(), network(x), atol=0.1, rtol=0)


def test_too_small_and_unknown_are_said_in_one_line() -> None:
    for system in NETWORKS:
        with pytest.raises(UserError, match="pictures of 8x4 are too small.*at least 8"):
            small(*system)(torch.zeros(1, 3, 4, 8))
    with pytest.raises(UserError, match="pictures of 64x60 are too small.*at least 64"):
        MultiScaleDiscriminator(4)(torch.zeros(1, 3, 60, 64))
    with pytest.raises(UserError, match="did you mean 'concat'"):
        drit.DRIT("concatenate")


@pytest.mark.parametrize(("depth", "smallest"), [(3, 212), (2, 100), (1, 44)])
def test_content_discriminator_says_what_it_needs(depth: int, smallest: int) -> None:
    network = drit.ContentDiscriminator(1, depth)
    assert network(torch.zeros(1, 4, smallest // 4, smallest // 4)).shape == (1, 1, 1, 1)
    with pytest.raises(UserError, match=f"crop at least {smallest}"):
        network(torch.zeros(1, 4, smallest // 4, smallest // 4 - 1))
    if depth == 3:  # the paper's crop, and the output's size at 256
        assert network(torch.zeros(1, 4, 54, 54)).shape == (1, 1, 1, 1)
        assert network(torch.zeros(1, 4, 64, 64)).shape == (1, 1, 2, 2)
