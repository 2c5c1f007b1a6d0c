"""Kind 14: published weights in the wild, for every system by one function: wrappers, spare keys, other sizes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from reprolib import models
from reprolib.errors import UserError
from reprolib.evaluation.networks import load_network
from reprolib.models.weights import Header, load_weights, save_weights

State = dict[str, Tensor]


def prefixed(prefix: str) -> Callable[[State], object]:
    return lambda state: {f"{prefix}{name}": tensor for name, tensor in state.items()}


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.PReLU(), nn.BatchNorm2d(4)))


@pytest.mark.filterwarnings("ignore:.*(left out|running average)")
@pytest.mark.parametrize("wrapped", [
    prefixed("module."), prefixed("model."), prefixed("net."), prefixed("generator."), prefixed("_orig_mod."),
    prefixed("student."), prefixed("lit.dehazer."),
    prefixed("module._orig_mod."), prefixed("model.module."), prefixed("netG.module._orig_mod."),
    lambda state: {name.replace("1.", "1._orig_mod."): tensor for name, tensor in state.items()},
    lambda state: {"model_state_dict": state, "epoch": 3},
    lambda state: {"params_ema": state},
    lambda state: {"G": state, "D": {"0.weight": torch.ones(2)}, "optimizer": {"lr": 1}},
    lambda state: {"generator_state_dict": state, "step": 3},
    lambda state: {"netG": state, "netD": {"0.weight": torch.ones(2)}},
    lambda state: {"state_dict": {**prefixed("model.")(state), "loss.vgg.0.weight": torch.ones(3)}, "epoch": 1},
    lambda state: {"params": {name: tensor + 1 for name, tensor in state.items()}, "params_ema": state},
    lambda state: {**prefixed("model.")({n: t + 1 for n, t in state.items()}), **prefixed("ema.")(state)},
    lambda state: {**prefixed("module.")(state), "n_averaged": torch.tensor(7)},
    lambda state: {**state, "la.conv.weight": torch.ones(2), "last.bias": torch.ones(1)},
])
def test_kind_14_wrappers_that_the_ecosystem_writes(tmp_path: Path, wrapped: Callable[[State], object]) -> None:
    source, target = network(), network()
    torch.save(wrapped(dict(source.state_dict())), tmp_path / "w.ckpt")
    load_weights(target, tmp_path / "w.ckpt")
    assert all(torch.equal(source.state_dict()[name], tensor) for name, tensor in target.state_dict().items())


def test_kind_14_what_is_left_out_is_said_and_parts_of_a_larger_network_are_not_left_out(tmp_path: Path) -> None:
    state = network().state_dict()
    torch.save({**state, "la.weight": torch.ones(1), "last.bias": torch.ones(1)}, tmp_path / "spare.pth")
    with pytest.warns(UserWarning, match=r"spare.pth: left out.*2 \(la.weight, last.bias\)"):
        load_weights(network(), tmp_path / "spare.pth")
    torch.save({"params": state, "params_ema": state}, tmp_path / "two.pth")
    with pytest.warns(UserWarning, match="of params_ema, params the running average 'params_ema' is taken"):
        load_weights(network(), tmp_path / "two.pth")
    torch.save({**prefixed("model.")(state), **prefixed("ema.")(state)}, tmp_path / "flat.pth")  # type: ignore[dict-item]
    with pytest.warns(UserWarning, match="flat.pth: the running average is taken"):
        load_weights(network(), tmp_path / "flat.pth")
    torch.save({**state, "1.2.weight": torch.ones(1)}, tmp_path / "larger.pth")
    with pytest.raises(UserError, match=r"another network.*1 unexpected: 1.2.weight"):
        load_weights(network(), tmp_path / "larger.pth")


@pytest.mark.parametrize(("name", "options"), [
    ("ffanet", {"width": 8, "blocks": 3}), ("gcanet", {"width": 8}), ("aecrnet", {"width": 8}),
    ("fdu", {"width": 8, "blocks": 2}), ("kddn", {"width": 8, "blocks": 4}), ("msbdn", {"width": 4, "blocks": 2}),
    ("griddehazenet", {"width": 8, "growth": 4}), ("cut", {"width": 8, "blocks": 3}), ("gcgan", {"width": 8}),
    ("cyclegan", {"width": 8, "blocks": 2}),
])
def test_kind_14_sizes_are_found_in_the_weights(tmp_path: Path, name: str, options: dict[str, object]) -> None:
    system = models.get(name)
    source = system.build(**options).eval()
    state = system.part(source, *system.inference).state_dict()
    if system.exporter is not None:
        state = system.exporter(state)
    torch.save({"model": {f"module.{key}": tensor for key, tensor in state.items()}, "step": 9}, tmp_path / "w.pk")
    spare = {"restorer.la.0.weight": torch.ones(2), "restorer.last.bias": torch.ones(1)}
    torch.save({**{f"restorer.{key}": tensor for key, tensor in state.items()}, **spare}, tmp_path / "spare.pth")
    x = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(load_network(system, tmp_path / "w.pk")(x), source(x))
        assert torch.equal(load_network(system, tmp_path / "w.pk", **options)(x), source(x))
        with pytest.warns(UserWarning, match="left out, of no use here: 2"):
            assert torch.equal(load_network(system, tmp_path / "spare.pth")(x), source(x))
    with pytest.raises(UserError, match="another network"):
        load_network(system, tmp_path / "w.pk", width=16)


def test_kind_14_a_file_of_ours_is_never_resized(tmp_path: Path) -> None:
    system = models.get("ffanet")
    save_weights(system.build(width=8, blocks=2), tmp_path / "w.safetensors",
                 header=Header("ffanet", {"width": 8, "blocks": 3}))
    with pytest.raises(UserError, match="another network"):
        load_network(system, tmp_path / "w.safetensors")


def test_kind_14_weights_of_no_size_of_this_network_are_refused(tmp_path: Path) -> None:
    torch.save(models.get("kddn").build(width=8).state_dict(), tmp_path / "w.pth")
    with pytest.raises(UserError, match="another network, nothing was loaded"):
        load_network(models.get("fdu"), tmp_path / "w.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_kind_3_weights_that_are_not_finite_are_refused_by_name(tmp_path: Path, value: float) -> None:
    state = network().state_dict()
    state["1.0.weight"] = torch.tensor([value])
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"'1.0.weight' holds numbers that are not finite \(.*w.pth\)"):
        load_weights(network(), tmp_path / "w.pth")


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "bztar", "xztar"])
def test_kind_46_an_archive_of_weights_is_told_as_one(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "download"
    folder.mkdir()
    torch.save(network().state_dict(), folder / "net.pth")
    archive = shutil.make_archive(str(tmp_path / "w"), kind, folder)
    told = {"zip": "ZIP, with net.pth", "tar": "tar", "gztar": "gzip", "bztar": "bzip2", "xztar": "xz"}[kind]
    for name in ("w.pth", "w.safetensors", "w"):
        shutil.copy(archive, tmp_path / name)
        with pytest.raises(UserError, match=rf"not a weights file but an archive \({told}\).*unpack it"):
            load_weights(network(), tmp_path / name)
    load_weights(network(), folder / "net.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.mat", "w.caffemodel", "w"])
@pytest.mark.parametrize(("content", "told"), [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "a Git LFS pointer.*git lfs pull"),
    (b"\n<!DOCTYPE html><html>Sign in", "a web page.*behind the page's link"), (b"", "an empty file")])
def test_kind_46_what_stands_in_place_of_weights_is_told(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"not a weights file but {told}"):
        load_weights(network(), tmp_path / name)
