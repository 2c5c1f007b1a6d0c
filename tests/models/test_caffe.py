"""`.caffemodel` files: read by a wire format that is written out here by hand, and refused when they are not whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reprolib.errors import UserError
from reprolib.models.dehazing.aodnet import SYSTEM, AODNet
from reprolib.models.weights import load_weights, read_state

FLOAT, BYTES = 5, 2
"""Wire types: four bytes, and a length with as many bytes."""


def varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; the top bit says that more follow."""
    groups = [value >> shift & 127 for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(g | 128 for g in groups[:-1]), groups[-1]])


def part(number: int, content: bytes) -> bytes:
    return varint(number << 3 | BYTES) + varint(len(content)) + content


def blob(values: np.ndarray, shape: tuple[int, ...] | None = None, packed: bool = True) -> bytes:
    floats = values.astype("<f4").tobytes()
    data = part(5, floats) if packed else b"".join(
        varint(5 << 3 | FLOAT) + floats[i : i + 4] for i in range(0, len(floats), 4))
    return data + part(7, part(1, b"".join(map(varint, values.shape if shape is None else shape))))


def layer(name: str, *blobs: bytes) -> bytes:
    """A layer, with fields in it that nobody asked for."""
    return part(100, part(1, name.encode()) + part(2, b"Convolution") + varint(10 << 3) + b"\0"
                + b"".join(part(7, b) for b in blobs) + part(106, b"\x08\x03"))


def aodnet_layers() -> tuple[bytes, dict[str, torch.Tensor]]:
    network, content = AODNet(), part(1, b"some network") + layer("relu")
    for i in range(1, 6):
        conv = network.get_submodule(f"e_conv{i}")
        content += layer(f"conv{i}", *(blob(conv.get_parameter(k).detach().numpy()) for k in ("weight", "bias")))
    return content, network.state_dict()


def test_blobs_come_by_layer_and_number(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weight, bias = random.standard_normal((4, 3, 3, 200)), random.standard_normal(4)
    (tmp_path / "w.caffemodel").write_bytes(layer("a/b", blob(weight), blob(bias, packed=False)) + layer("drop"))
    state = read_state(tmp_path / "w.caffemodel")
    assert list(state) == ["a/b.0", "a/b.1"]
    assert np.array_equal(state["a/b.0"].numpy(), weight.astype(np.float32))
    assert np.array_equal(state["a/b.1"].numpy(), bias.astype(np.float32))


def test_aodnet_takes_it(tmp_path: Path) -> None:
    content, expected = aodnet_layers()
    (tmp_path / "w.caffemodel").write_bytes(content)
    model = AODNet()
    load_weights(model, tmp_path / "w.caffemodel", SYSTEM.importer)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_wherever_it_is_cut_nothing_is_loaded(tmp_path: Path) -> None:
    content, _ = aodnet_layers()
    model, path = AODNet(), tmp_path / "w.caffemodel"
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for length in [*range(0, len(content) - 30, 97), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(UserError) as refused:
            load_weights(model, path, SYSTEM.importer)
        assert "\n" not in str(refused.value) and "w.caffemodel" in str(refused.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


ONES = np.ones(4)


@pytest.mark.parametrize("content", [
    layer("conv1", blob(ONES, (2, 3))),
    layer("conv1", blob(ONES, (2**62, 2**62))),
    layer("conv1", blob(ONES, ((1 << 64) - 2, (1 << 64) - 2))),  # -2 x -2
    layer("conv1", part(5, ONES.tobytes()[:7])),
    layer("conv1", blob(ONES)) * 2,
    varint(100 << 3 | BYTES) + varint(2**40) + b"short",
    b"\xff" * 40,
    b"\x0b" * 5000,  # groups in groups
    part(100, part(1, b"\xff\xfe")),
    b"hello, this is no network",
    b"",
], ids=["too few", "overflow", "negative", "half a float", "twice", "beyond the end", "endless number", "deep",
        "no UTF-8", "text", "empty"])
def test_hostile_files_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.caffemodel").write_bytes(content)
    with pytest.raises(UserError, match="not a weights file|no weights") as refused:
        read_state(tmp_path / "w.caffemodel")
    assert "\n" not in str(refused.value)
