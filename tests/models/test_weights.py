"""Weights files: what is read, what is refused, and that nothing in a file is ever run."""

from __future__ import annotations

import io
import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from torch import Tensor, nn

from reprolib.errors import UserError
from reprolib.models import pickles
from reprolib.models.weights import load_weights, read_state, save_weights


def small_network() -> nn.Sequential:
    """Convolution, shared-slope PReLU and batch norm: parameters, buffers and an integer counter."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU(), nn.BatchNorm2d(4))
    nn.init.normal_(network[2].running_mean)
    return network


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.fixture
def foreign_module() -> types.ModuleType:
    """An importable module whose network class a pickle refers to; `forget` removes it."""
    name = "somebody_elses_code"
    module = types.ModuleType(name)
    source = (
        "from torch import nn\nimport torch\n"
        "class Inner(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv2d = nn.Conv2d(2, 3, 3)\n"
        "        self.options = {'act': torch.relu}\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.first = Inner()\n"
        "        self.body = nn.Sequential(Inner(), nn.PReLU())\n"
        "        self.size, self.kind, self.device = torch.Size([2, 3]), torch.float32, torch.device('cpu')\n"
        "        self.register_buffer('mean', torch.arange(6.0).view(2, 3).t())\n"
        "        self.register_buffer('passing', torch.ones(2), persistent=False)\n"
        "        self.register_parameter('absent', None)\n"
    )
    exec(source, module.__dict__)
    sys.modules[name] = module
    yield module
    sys.modules.pop(name, None)


# Reading


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("outer", [None, "model", "state_dict", "params", "net"])
def test_torch_files_with_and_without_an_outer_key(tmp_path: Path, outer: str | None, zipped: bool) -> None:
    state = small_network().state_dict()
    content = state if outer is None else {outer: state, "step": 7, "counter": torch.tensor(7)}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    assert same(read_state(tmp_path / "w.pth"), dict(state))


def test_mat_arrays_come_by_variable_name(tmp_path: Path) -> None:
    kernels = np.arange(24, dtype="float64").reshape(2, 3, 4)
    scipy.io.savemat(tmp_path / "w.mat", {"weights_conv1": kernels, "note": "text"})
    state = read_state(tmp_path / "w.mat")
    assert list(state) == ["weights_conv1"] and state["weights_conv1"].dtype == torch.float32
    assert np.array_equal(state["weights_conv1"].numpy(), kernels)


def test_the_published_files_at_hand(shared: Path) -> None:
    counts = {"aodnet_mayanksingal.pth": 1_761, "dehazenet_caibolun.mat": 8_305, "gcanet_cddlyf.pth": 702_818}
    for name, count in counts.items():
        path = shared / "weights" / name
        if not path.exists():
            pytest.skip(f"no {name}")
        assert sum(t.numel() for t in read_state(path).values()) == count


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("outer", [None, "model"])
def test_a_pickled_module_is_read_without_its_class(
    tmp_path: Path, foreign_module: types.ModuleType, zipped: bool, outer: str | None
) -> None:
    network = foreign_module.Net()
    network.body[0].conv2d.weight.data = torch.randn(6, 3, 3, 3)[::2, 1:]  # a view that starts inside its storage
    network.body[0].half()
    expected = {k: v.clone() for k, v in network.state_dict().items()}
    content = network if outer is None else {outer: network}
    torch.save(content, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
    sys.modules.pop("somebody_elses_code")
    state = read_state(tmp_path / "net.pth")
    assert same(state, expected)
    assert "passing" not in state and "absent" not in state and len(state) == 6
    assert "somebody_elses_code" not in sys.modules


def test_views_into_one_storage_stay_what_they_were(tmp_path: Path, foreign_module: types.ModuleType) -> None:
    network = foreign_module.Net()
    whole = torch.arange(54.0)
    network.first.conv2d.weight.data = whole.view(3, 2, 3, 3)
    network.first.conv2d.bias.data = whole[10:13]
    torch.save(network, tmp_path / "net.pth")
    assert torch.equal(read_state(tmp_path / "net.pth")["first.conv2d.bias"], torch.tensor([10.0, 11.0, 12.0]))


# Refusing


class Runs:
    """Unpickles into a call of `os.system`."""

    def __init__(self, witness: Path):
        self.witness = witness

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.witness}",)


class Evaluates(Runs):
    """Unpickles into a call of `eval`, by way of `getattr`, as exploits do to get around a list of bad names."""

    def __reduce__(self) -> tuple:
        return eval, (f"__import__('pathlib').Path({str(self.witness)!r}).touch()",)


@pytest.mark.parametrize("attack", [Runs, Evaluates])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_does_not_run(tmp_path: Path, attack: type[Runs], zipped: bool) -> None:
    witness, path = tmp_path / "it-ran", tmp_path / "evil.pth"
    torch.save({"model": attack(witness), "w": torch.ones(2)}, path, _use_new_zipfile_serialization=zipped)
    assert list(read_state(path)) == ["w"]
    assert not witness.exists()
    torch.load(path, weights_only=False)
    assert witness.exists(), "the attack must be a real one for this test to mean anything"


def test_a_bare_pickle_does_not_run(tmp_path: Path) -> None:
    witness = tmp_path / "it-ran"
    (tmp_path / "evil.pk").write_bytes(pickle.dumps(Runs(witness)))
    with pytest.raises(UserError, match="not a weights file"):
        read_state(tmp_path / "evil.pk")
    assert not witness.exists()


@pytest.mark.parametrize("target", [b"cnowhere\nThing\n", b"ctorch._utils\n_rebuild_tensor\n", b"cbuiltins\nset\n"])
def test_a_pickle_cannot_change_the_reader(target: bytes) -> None:
    """BUILD with (None, {name: value}) sets attributes on what `find_class` handed out; it must find nothing to set."""
    build = b"\x80\x02" + target + b"N}X\x08\x00\x00\x00__call__Ns\x86b."
    reader = pickles._TensorsOnly(io.BytesIO(build), lambda key, dtype, count: torch.zeros(count, dtype=dtype))
    with pytest.raises((TypeError, AttributeError)):
        reader.load()


def test_a_storage_larger_than_the_file_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    network = small_network()
    buffer = io.BytesIO()
    content = {"model": Runs(tmp_path / "w"), "t": network[0].weight.data}
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    forged = buffer.getvalue().replace(b"K\x6c", b"J\xff\xff\xff\x7f", 1)  # the announced count 108 -> 2^31 - 1
    assert forged != buffer.getvalue()
    (tmp_path / "big.pth").write_bytes(forged)
    with pytest.raises(UserError, match="larger than the file"):
        read_state(tmp_path / "big.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.mat", "w.pk"])
@pytest.mark.parametrize("content", [b"", b"hello, this is no checkpoint", b"PK\x03\x04 torn", b"\x89PNG\r\n" * 9])
def test_a_file_that_is_no_weights_file(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="not a weights file|no weights") as caught:
        read_state(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors", "module zip", "module legacy"])
def test_a_truncated_file_is_refused(tmp_path: Path, foreign_module: types.ModuleType, kind: str) -> None:
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    content = foreign_module.Net() if kind.startswith("module") else small_network().state_dict()
    if kind == "safetensors":
        save_weights(content, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization="zip" in kind)
    sys.modules.pop("somebody_elses_code")
    whole = path.read_bytes()
    for share in (0.3, 0.7, 0.99):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UserError, match="not a weights file"):
            read_state(path)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.ones(1)], 4.0, {"model": {"lr": 0.1}}])
def test_a_file_without_tensors(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match="holds no weights"):
        read_state(tmp_path / "w.pth")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(UserError, match="no such weights file"):
            read_state(path)


# Loading


@pytest.mark.parametrize("half", [False, True])
def test_saved_weights_load_back(tmp_path: Path, half: bool) -> None:
    source, target = small_network().to(memory_format=torch.channels_last), small_network()
    save_weights(source, tmp_path / "deep" / "w.safetensors", half=half)
    load_weights(target, tmp_path / "deep" / "w.safetensors")
    for (name, wanted), got in zip(source.state_dict().items(), target.state_dict().values(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-3 if half else 0, atol=1e-6 if half else 0, msg=name)
        assert got.dtype == wanted.dtype
    stored = read_state(tmp_path / "deep" / "w.safetensors")
    assert stored["0.weight"].dtype == (torch.float16 if half else torch.float32)
    assert stored["2.num_batches_tracked"].dtype == torch.int64
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["w.safetensors"]


def test_a_module_used_twice_is_saved_and_loaded(tmp_path: Path) -> None:
    shared = nn.Linear(2, 2)
    save_weights(nn.Sequential(shared, shared), tmp_path / "w.safetensors")
    again = nn.Linear(2, 2)
    load_weights(nn.Sequential(again, again), tmp_path / "w.safetensors")
    assert torch.equal(again.weight, shared.weight)


def test_half_precision_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'big' is beyond"):
        save_weights({"big": torch.tensor([7e4])}, tmp_path / "w.safetensors", half=True)
    assert not list(tmp_path.iterdir())


def test_data_parallel_prefix_is_dropped(tmp_path: Path) -> None:
    source, target = small_network(), small_network()
    torch.save({"model": nn.DataParallel(source).state_dict()}, tmp_path / "w.pk")
    load_weights(target, tmp_path / "w.pk")
    assert same(target.state_dict(), source.state_dict())


def test_an_importer_translates_and_our_own_file_needs_none(tmp_path: Path) -> None:
    source = small_network()
    torch.save({f"old_{k}": v for k, v in source.state_dict().items()}, tmp_path / "published.pth")
    save_weights(source, tmp_path / "ours.safetensors")
    for name in ("published.pth", "ours.safetensors"):
        target = small_network()
        load_weights(target, tmp_path / name, importer=lambda state: {k.split("_", 1)[1]: v for k, v in state.items()})
        assert same(target.state_dict(), source.state_dict())


def test_a_foreign_or_partly_matching_file_is_refused_whole(tmp_path: Path) -> None:
    target = small_network()
    before = {k: v.clone() for k, v in target.state_dict().items()}
    state = {k: v + 1 for k, v in target.state_dict().items()}
    state["0.weight"] = torch.zeros(5, 3, 3, 3)
    state |= {f"head.{i}": torch.zeros(1) for i in range(9)}
    del state["1.weight"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UserError) as caught:
        load_weights(target, tmp_path / "w.pth")
    message = str(caught.value)
    assert "1 missing: 1.weight;" in message
    assert "9 unexpected: head.0, head.1, head.2, head.3, ...;" in message
    assert "1 other shape: 0.weight 5x3x3x3 instead of 4x3x3x3" in message
    assert "nothing was loaded" in message and "w.pth" in message and "\n" not in message
    assert same(target.state_dict(), before)


def test_an_importer_that_does_not_know_the_file_says_so(tmp_path: Path) -> None:
    torch.save({"other": torch.ones(1)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="another network, nothing was loaded.*missing: 0.weight"):
        load_weights(small_network(), tmp_path / "w.pth", importer=lambda state: {"0.weight": state["e_conv1.weight"]})
