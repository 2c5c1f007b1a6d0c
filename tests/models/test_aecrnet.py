"""AECR-Net: counts of every variant, key names, and an independent functional re-statement."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

from reprolib import papers
from reprolib.errors import UserError
from reprolib.models import count_parameters
from reprolib.models.dehazing.aecrnet import SYSTEM, AECRNet
from reprolib.models.inference import pad_to_multiple
from reprolib.models.layers.deconvolution import FastDeconv
from reprolib.models.weights import load_weights

COUNTS = {"base": 1_961_912, "base+mixup": 1_961_914, "base+dfe": 2_614_227, "base+dfe+sc": 2_614_227,
          "base+dfe+mixup": 2_614_229, "base+dfe+mixup+cr*": 2_614_229, "ours": 2_614_229}


def options_of(row: str) -> dict[str, Any]:
    """What the network of a row of Table 2 is built with."""
    return dict(papers.rows()[f"table2/{row}"].settings["network"])


@pytest.mark.parametrize("row", COUNTS)
def test_variant_counts(row: str) -> None:
    with torch.device("meta"):
        assert count_parameters(SYSTEM.build(**options_of(row))) == COUNTS[row]
        if row == "ours":
            assert count_parameters(AECRNet(deconv=False)) == 2_614_145


def published_shapes(w: int = 64) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"mix4.w": (1,), "mix5.w": (1,), "deconv.running_mean": (27,),
                                          "deconv.running_deconv": (27, 27)}
    c, r = 4 * w, w // 2
    for stem, weight, bias in (
        ("deconv", (3, 3, 3, 3), 3), ("down1.1", (w, 3, 7, 7), w), ("down2.0", (2 * w, w, 3, 3), 2 * w),
        ("down3.0", (c, 2 * w, 3, 3), c), ("block.conv1", (c, c, 3, 3), c), ("block.conv2", (c, c, 3, 3), c),
        ("block.calayer.ca.0", (r, c, 1, 1), r), ("block.calayer.ca.2", (c, r, 1, 1), c),
        ("block.palayer.pa.0", (r, c, 1, 1), r), ("block.palayer.pa.2", (1, r, 1, 1), 1),
        ("dcn_block.dcn", (c, c, 3, 3), c), ("dcn_block.dcn.conv_offset_mask", (27, c, 3, 3), 27),
        ("up1.0", (c, 2 * w, 3, 3), 2 * w), ("up2.0", (2 * w, w, 3, 3), w), ("up3.1", (3, w, 7, 7), 3),
    ):
        shapes.update({f"{stem}.weight": weight, f"{stem}.bias": (bias,)})
    return shapes


@pytest.mark.parametrize("mixers", [("mix4.w", "mix5.w"), ("mix1.w", "mix2.w")])
def test_published_checkpoint_loads_strictly(mixers: tuple[str, str]) -> None:
    names = dict(zip(("mix4.w", "mix5.w"), mixers, strict=True))
    state = {names.get(key, key): torch.randn(shape) for key, shape in published_shapes().items()}
    model = SYSTEM.build()
    assert SYSTEM.importer is not None
    model.load_state_dict(SYSTEM.importer({f"module.{key}": value for key, value in state.items()}), strict=True)
    assert model.mixing_factors() == pytest.approx({"mix1": state[mixers[0]].sigmoid().item(),
                                                    "mix2": state[mixers[1]].sigmoid().item()})


def restated(s: dict[str, Tensor], x: Tensor, mix: str, dfe: bool) -> Tensor:
    """The forward pass of the layer table in evaluation mode, FA block six times, deformable layer twice."""
    def conv(name: str, x: Tensor, **options: int) -> Tensor:
        return F.conv2d(x, s[f"{name}.weight"], s[f"{name}.bias"], **options)

    def up(name: str, x: Tensor) -> Tensor:
        weight, bias = s[f"{name}.weight"], s[f"{name}.bias"]
        return F.relu(F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1))

    def join(name: str, encoder: Tensor, decoder: Tensor) -> Tensor:
        if mix == "mixup":
            share = s[f"{name}.w"].sigmoid()
            return share * encoder + (1 - share) * decoder
        return encoder + decoder if mix == "skip" else decoder

    whitened = s["deconv.weight"].flatten(1) @ s["deconv.running_deconv"]
    bias = s["deconv.bias"] - whitened @ s["deconv.running_mean"]
    x = F.conv2d(x, whitened.view(3, 3, 3, 3), bias, padding=1)
    x1 = F.relu(conv("down1.1", F.pad(x, (3,) * 4, mode="reflect")))
    x2 = F.relu(conv("down2.0", x1, stride=2, padding=1))
    x3 = y = F.relu(conv("down3.0", x2, stride=2, padding=1))
    for _ in range(6):
        z = conv("block.conv2", F.relu(conv("block.conv1", y, padding=1)) + y, padding=1)
        squeezed = F.relu(conv("block.calayer.ca.0", F.adaptive_avg_pool2d(z, 1)))
        z = z * conv("block.calayer.ca.2", squeezed).sigmoid()
        y = y + z * conv("block.palayer.pa.2", F.relu(conv("block.palayer.pa.0", z))).sigmoid()
    for _ in range(2 * dfe):
        o = conv("dcn_block.dcn.conv_offset_mask", y, padding=1)
        y = deform_conv2d(y, o[:, :18], s["dcn_block.dcn.weight"], s["dcn_block.dcn.bias"], padding=1,
                          mask=o[:, 18:].sigmoid())
    y = up("up2.0", join("mix2", x2, up("up1.0", join("mix1", x3, y))))
    return conv("up3.1", F.pad(y, (3,) * 4, mode="reflect")).tanh()


@pytest.mark.parametrize("row", COUNTS)
def test_forward_is_the_published_one(row: str) -> None:
    options = options_of(row)
    model = AECRNet(width=4, **options).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.add_(0.1 * torch.randn_like(tensor) if "running" in name or "offset" in name else 0)
    x = torch.rand(2, 3, 20, 12)
    expected = restated(model.state_dict(), x, options.get("mix", "mixup"), options.get("dfe", True))
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-6)


def test_mixing_starts_at_the_published_shares() -> None:
    assert AECRNet(width=4).mixing_factors() == pytest.approx({"mix1": 0.2689, "mix2": 0.3543}, abs=1e-4)
    assert AECRNet(width=4, mix="skip").mixing_factors() == {}
    with pytest.raises(UserError, match="mix"):
        AECRNet(width=4, mix="both")


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_trains_on_a_batch_of_one(precision: torch.dtype) -> None:
    model, x = AECRNet(width=8), torch.rand(1, 3, 16, 24)
    plain = model(x)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        out = model(x)
    assert out.shape == x.shape
    torch.testing.assert_close(out.float(), plain, rtol=0, atol=0.03)
    out.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_shared_block_gathers_the_gradients_of_all_its_uses() -> None:
    """Six copies in a chain give six gradients whose sum is the shared block's."""
    shared = AECRNet(width=4).double().block
    copies = [copy.deepcopy(shared) for _ in range(6)]
    x = torch.randn(2, 16, 5, 6, dtype=torch.float64)
    one, six = x, x
    for copied in copies:
        one, six = shared(one), copied(six)
    one.square().mean().backward()
    six.square().mean().backward()
    for name, parameter in shared.named_parameters():
        total = torch.stack([dict(c.named_parameters())[name].grad for c in copies]).sum(0)
        torch.testing.assert_close(parameter.grad, total)


def test_block_count_is_how_often_the_shared_block_runs() -> None:
    model, calls = AECRNet(width=4).eval(), []
    model.block.register_forward_hook(lambda *_: calls.append("block"))
    model.dcn_block.register_forward_hook(lambda *_: calls.append("dfe"))
    model(torch.rand(1, 3, 8, 8))
    assert calls == 6 * ["block"] + 2 * ["dfe"]


@torch.no_grad()
@pytest.mark.parametrize("size", [(5, 7), (33, 18), (4, 4), (460, 620), (413, 550), (461, 621)])
def test_odd_sizes_through_padding(size: tuple[int, int]) -> None:
    padded = pad_to_multiple(torch.rand(1, 3, *size), SYSTEM.multiple)
    out = AECRNet(width=2, blocks=1).eval()(padded)
    assert out.shape == padded.shape and out.isfinite().all()


@torch.no_grad()
def test_one_picture_gives_the_same_alone_and_in_a_batch() -> None:
    """In evaluation: while it trains, FastDeconv whitens with the batch's own statistics."""
    model, x = AECRNet(width=8).eval(), torch.rand(3, 3, 16, 24)
    torch.testing.assert_close(torch.cat([model(one[None]) for one in x]), model(x), rtol=1e-4, atol=1e-5)


def test_another_network_is_refused_with_the_differences(tmp_path: Path) -> None:
    """As of a rebuild with DCNv1, which has no mask and no bias, hence other shapes and names."""
    state = {f"module.{key}": torch.randn(shape) for key, shape in published_shapes(8).items()}
    layer = "module.dcn_block.dcn"
    for kind in ("weight", "bias"):
        state[f"{layer}.conv_offset.{kind}"] = state.pop(f"{layer}.conv_offset_mask.{kind}")[:18]
    del state[f"{layer}.bias"]
    torch.save({"model": state, "step": 1}, tmp_path / "other.pk")
    model = AECRNet(width=8)
    before = model.down1[1].weight.clone()
    with pytest.raises(UserError) as refused:
        load_weights(model, tmp_path / "other.pk", SYSTEM.importer)
    assert "3 missing: dcn_block.dcn.bias, dcn_block.dcn.conv_offset_mask.weight" in str(refused.value)
    assert "2 unexpected: dcn_block.dcn.conv_offset.weight" in str(refused.value)
    assert torch.equal(model.down1[1].weight, before), "nothing of it was loaded"


def test_the_deep_part_is_trained_first() -> None:
    """So many passes of training nothing joins from the encoder; what was counted stands in the checkpoint."""
    torch.manual_seed(0)
    network = AECRNet(width=4, blocks=1, deep_first=2)
    x = torch.rand(1, 3, 16, 16)

    def answers_as(**options: Any) -> bool:
        other = AECRNet(width=4, blocks=1, **options)
        other.load_state_dict({name: values for name, values in network.state_dict().items()
                               if name in other.state_dict()})
        return torch.equal(network.eval()(x), other.eval()(x))

    for _ in range(2):
        assert answers_as(mix="none"), "measuring counts no pass"
        network.train()(x)
    assert answers_as(mix="none")
    network.train()(x).sum().backward()
    assert network.get_buffer("passes").item() == 3 and network.mix1.w.grad is not None
    assert answers_as(mix="mixup") and answers_as(deep_first=2), "from then on it is the published network"
    assert count_parameters(network) == count_parameters(AECRNet(width=4, blocks=1))
    assert "passes" not in SYSTEM.build(width=4).state_dict()
    for option in ("deep_first", "freeze_deconv"):
        with pytest.raises(UserError, match="0 passes") as refused:
            AECRNet(width=4, **{option: 0})
        assert refused.value.where == f"{option} of AECR-Net"


def test_whitening_is_learned_first_and_stands_from_then_on() -> None:
    """So many passes whiten by their batch; then training sees what measuring sees, and the averages do not move."""
    torch.manual_seed(0)
    network = AECRNet(width=4, blocks=1, freeze_deconv=2)
    assert isinstance(network.deconv, FastDeconv)
    dark, bright = torch.rand(2, 3, 16, 16) * 0.1, torch.rand(2, 3, 16, 16)
    for x in (bright, bright):
        assert not torch.equal(network.train()(x), network.eval()(x)), "by the batch, then by averages"
    before = network.deconv.running_deconv.clone()
    assert not torch.equal(before, torch.eye(27))
    assert torch.equal(network.train()(dark), network.eval()(dark))
    assert torch.equal(network.deconv.running_deconv, before)
    network.train()(dark).sum().backward()
    assert network.deconv.weight.grad is not None and network.deconv.weight.grad.abs().sum() > 0, "it still learns"
    assert network.training and network.get_buffer("passes").item() == 4
    again = AECRNet(width=4, blocks=1, freeze_deconv=2)
    again.load_state_dict(network.state_dict())
    assert torch.equal(again.train()(dark), network.eval()(dark)), "a resumed training goes on frozen"
