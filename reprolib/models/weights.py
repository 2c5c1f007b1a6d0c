"""Reading and writing network weights without ever running code from the file.

Formats: `.safetensors` (ours); `torch.save` files, both the zip form and the one before torch 1.6; MATLAB `.mat`;
Caffe's `.caffemodel`.
Some authors publish a pickled *module* instead of its tensors (MSBDN). `weights_only` refuses such a file, and plain
unpickling would import and run whatever it names. Here it is read by an unpickler that can build tensors and
containers and nothing else: every other class becomes an inert stub, out of which the tensors are collected.
"""

from __future__ import annotations

import json
import math
import pickle
import sys
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from reprolib.errors import UserError
from reprolib.files import write_atomically

Importer = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]

OUTER_KEYS = ("model", "state_dict", "params", "net")
"""Where training scripts commonly put the weights beside the optimiser and the step."""

SHOWN = 4
"""How many keys of each kind an error message names."""

_NOT_READABLE = "give a .safetensors, .pth, .pt, .pk, .mat or .caffemodel file, and check that the download is complete"


def read_state(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a weights file by name, on the CPU, in the file's own names and types.

    A checkpoint that holds the weights beside other things is unwrapped (`OUTER_KEYS`); values that are not tensors
    are left out. `.mat` arrays come as float32 under their variable names, in MATLAB's shapes; blobs of a
    `.caffemodel` as LAYER.0 (weights) and LAYER.1 (biases).

    Raises:
        UserError: no such file, not a weights file, cut short, or without any tensor.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError("no such weights file", where=path, fix="check the path")
    readers: dict[str, Callable[[Path], Any]] = {".safetensors": load_file, ".mat": _read_mat,
                                              ".caffemodel": _read_caffemodel}
    try:
        content = readers.get(path.suffix.lower(), _read_torch)(path)
        state = _tensors(content)
    except PermissionError as error:
        raise UserError("no permission to read the weights", where=path, fix="change its permissions") from error
    except Exception as error:  # a damaged or foreign file can fail inside its reader in any way
        reason = next(iter(str(error).splitlines()), "")[:120] or type(error).__name__
        raise UserError(f"not a weights file, or cut short: {reason}", where=path, fix=_NOT_READABLE) from error
    if not state:
        found = ", ".join(list(map(str, content))[:SHOWN]) if isinstance(content, Mapping) else type(content).__name__
        raise UserError(f"holds no weights (found: {found or 'nothing'})", where=path, fix=_NOT_READABLE)
    return state


def load_weights(model: nn.Module, path: Path | str, importer: Importer | None = None) -> None:
    """Load a file into a network: all of it or, if anything does not fit, nothing.

    A `module.` in front of all names (DataParallel) is dropped. A file in the network's own names and shapes is loaded
    as it is; otherwise `importer`, where given, first translates the published names and layouts (`System.importer`).

    Raises:
        UserError: as `read_state`, or the file belongs to another network; the message lists the differences.
    """
    state = _without_prefix(read_state(path), "module.")
    differences = _differences(model, state)
    if differences and importer is not None:
        try:
            state = importer(state)
        except (KeyError, IndexError, ValueError, RuntimeError) as error:
            fix = f"choose the system that it was made for; {differences}"
            raise UserError("not the published weights of this network", where=path, fix=fix) from error
        differences = _differences(model, state)
    if differences:
        fix = f"choose the system and options that it was made for; {differences}"
        raise UserError("the weights belong to another network, nothing was loaded", where=path, fix=fix)
    model.load_state_dict(state, strict=True)


@dataclass(frozen=True)
class Header:
    """What a file of ours says of itself: whose weights these are, and the run that made them."""

    system: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the network was built with."""
    run: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the run (`Run.settings`); empty for weights that no run of ours made."""
    step: int = 0
    """Optimisation steps that had been taken."""
    code: str = ""
    """Digest of the code that trained (`reprolib.runs.digests`)."""
    data: Mapping[str, str] = field(default_factory=dict)
    """Identity of everything that was read: datasets and weights (`reprolib.data.identity`)."""
    verified: Sequence[Mapping[str, Any]] = ()
    """Each time that later code was shown to train the same: digests `from` and `to`, `date`, `steps` compared."""


def save_weights(model: nn.Module | Mapping[str, Tensor], path: Path | str, *, half: bool = False,
                 header: Header = Header()) -> None:
    """Write a network's state (or a state dict) as safetensors, in one step.

    Args:
        half: store floating-point tensors as float16, for half the size and a relative rounding of about 5e-4.
        header: kept in the file (`read_header`).

    Raises:
        UserError: the place cannot be written, or a weight lies beyond float16's range; the old file is untouched.
    """
    state = model.state_dict() if isinstance(model, nn.Module) else model
    # A copy each, because safetensors refuses tensors that share memory or are not contiguous (channels_last).
    tensors = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in state.items()}
    if half:
        tensors = {name: _halved(name, t) if t.is_floating_point() else t for name, t in tensors.items()}
    # One entry only: safetensors writes several in random order, and equal weights should be equal files.
    content = save(tensors, {"network": json.dumps(asdict(header), sort_keys=True)})
    write_atomically(Path(path), lambda stream: stream.write(content))


def read_header(path: Path | str, system: str | None = None) -> Header:
    """The header of a file of ours; an empty one for files of others.

    Raises:
        UserError: the file is of another system than `system`.
    """
    path = Path(path)
    if path.suffix.lower() != ".safetensors" or not path.is_file():
        return Header()
    try:
        with safe_open(path, "pt") as file:
            header = Header(**json.loads((file.metadata() or {}).get("network", "{}")))
    except Exception:  # whatever is wrong with the file, reading its weights will say it
        return Header()
    if system is not None and header.system not in ("", system):
        raise UserError(f"weights of {header.system}, not of {system}", where=path,
                        fix=f"choose --system {header.system}")
    return header


def _halved(name: str, tensor: Tensor) -> Tensor:
    halved = tensor.half()
    if tensor.isfinite().all() and not halved.isfinite().all():
        raise UserError(f"'{name}' is beyond the range of half precision", fix="save in full precision")
    return halved


def _without_prefix(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Drop `prefix` if all names have it."""
    if not all(name.startswith(prefix) for name in state):
        return state
    return {name[len(prefix) :]: tensor for name, tensor in state.items()}


def _differences(model: nn.Module, state: Mapping[str, Tensor]) -> str:
    """What keeps `state` from fitting `model`, in words; '' if it fits."""
    wanted = model.state_dict()
    missing = [name for name in wanted if name not in state]
    unexpected = [name for name in state if name not in wanted]
    reshaped = [
        f"{name} {_size(state[name])} instead of {_size(tensor)}"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "other shape": reshaped}
    return "; ".join(f"{len(names)} {kind}: {_shortened(names)}" for kind, names in kinds.items() if names)


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _read_mat(path: Path) -> dict[str, Tensor]:
    import scipy.io  # slow to load, and one system's file alone is of this kind

    arrays = scipy.io.loadmat(str(path))
    return {
        name: torch.from_numpy(array.astype("float32"))
        for name, array in arrays.items()
        if not name.startswith("__") and getattr(array, "dtype", None) is not None and array.dtype.kind in "fiu"
    }


def _read_caffemodel(path: Path) -> dict[str, Tensor]:
    from reprolib.models.caffe import read_caffemodel  # as with .mat

    return read_caffemodel(path)


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # about pickle versions; what matters is said by the error
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # names a class that weights_only does not know, or is not a torch file at all
        with path.open("rb") as stream:
            return _read_zip(stream) if zipfile.is_zipfile(stream) else _read_legacy(stream)


def _tensors(content: Any) -> dict[str, Tensor]:
    """The named tensors in what a file held: a dict, a dict around one, or the stub of a pickled module."""
    if isinstance(content, Stub):
        return _module_tensors(content, "")
    if not isinstance(content, Mapping):
        return {}
    for key in OUTER_KEYS:  # first, because a step counter beside the weights may be a tensor too
        if isinstance(content.get(key), Mapping | Stub) and (inner := _tensors(content[key])):
            return inner
    own = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    # Some authors nest the state dicts of several networks: {'a': ..., 'b': ...} becomes a.NAME and b.NAME.
    return own or {f"{outer}.{name}": t for outer, inner in content.items() for name, t in _tensors(inner).items()}


def _module_tensors(module: Stub, prefix: str) -> dict[str, Tensor]:
    """What `state_dict()` of the pickled module would have given."""
    fields = vars(module)
    passing = fields.get("_non_persistent_buffers_set", ())
    own = {**fields.get("_parameters", {}), **fields.get("_buffers", {})}
    state = {prefix + name: t for name, t in own.items() if isinstance(t, Tensor) and name not in passing}
    for name, child in fields.get("_modules", {}).items():
        if isinstance(child, Stub):
            state |= _module_tensors(child, f"{prefix}{name}.")
    return state


class Stub:
    """Stands for any class or function that a pickle names: takes everything, does nothing, keeps its fields."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Stub:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Ignores what it is called with."""

    def __setstate__(self, state: Any) -> None:
        fields = state[0] if isinstance(state, tuple) and state else state  # (fields, slots)
        if isinstance(fields, dict):
            vars(self).update(fields)

    def append(self, item: Any) -> None:
        """Takes an item as a list would."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Takes an item as a dict would."""


class _TensorsOnly(pickle.Unpickler):
    """Unpickles torch's tensors and Python's containers; everything else that the file names becomes a `Stub`.

    Pickle reaches code only through `find_class`, which returns nothing here but the table below, storage types (a
    `torch.dtype` each) and stubs. The table holds no class or function with a side effect.

    Args:
        stream: the pickle.
        storage_of: (key, dtype, count) -> the flat tensor that the file keeps under that key.
    """

    def __init__(self, stream: IO[bytes], storage_of: Callable[[str, torch.dtype, int], Tensor]):
        super().__init__(stream, encoding="utf-8")
        self._storage_of = storage_of
        self._known: dict[str, Any] = {
            "collections.OrderedDict": OrderedDict,
            "builtins.set": set,
            "__builtin__.set": set,
            "copyreg._reconstructor": self._instance,
            "copy_reg._reconstructor": self._instance,
            "torch._utils._rebuild_tensor": self._tensor,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_parameter": self._parameter,
            "torch._utils._rebuild_parameter_with_state": self._parameter,
        }

    def find_class(self, module: str, name: str) -> Any:
        where = f"{module}.{name}"
        if where not in self._known:
            self._known[where] = _storage_dtype(name) if module == "torch" else None
            if self._known[where] is None:
                self._known[where] = type(name, (Stub,), {"__module__": module})
        return self._known[where]

    def persistent_load(self, pid: Any) -> Any:
        kind, *rest = pid
        if kind == "module":  # before torch 1.6 a module's class came with its source text
            return rest[0]
        if kind != "storage":
            raise pickle.UnpicklingError(f"unknown reference '{kind}'")
        dtype, key, _device, count, *view = rest
        if not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError("a storage of unknown type")
        storage = self._storage_of(str(key), dtype, int(count))
        if view and view[0] is not None:  # before torch 1.6 a storage could be part of another
            _key, start, length = view[0]
            return storage[start : start + length]
        return storage

    def _instance(self, cls: type, _base: Any, _state: Any) -> Stub:
        if not issubclass(cls, Stub):
            raise pickle.UnpicklingError("an instance of no stub")
        return cls()

    def _tensor(self, storage: Tensor, offset: int, size: Any, stride: Any, *_rest: Any) -> Tensor:
        if not isinstance(storage, Tensor):
            raise pickle.UnpicklingError("a tensor without storage")
        if math.prod(size) > storage.numel():  # an expanded tensor could claim any amount of memory
            raise pickle.UnpicklingError("a tensor larger than its storage")
        return torch.as_strided(storage, tuple(size), tuple(stride), storage.storage_offset() + offset)

    def _parameter(self, data: Tensor, *_rest: Any) -> Tensor:
        return data


def _storage_dtype(name: str) -> torch.dtype | None:
    """`FloatStorage` -> torch.float32, for the names that torch.save writes."""
    names = {"Byte": "uint8", "Char": "int8", "Short": "int16", "Int": "int32", "Long": "int64", "Bool": "bool"}
    names |= {"Half": "float16", "BFloat16": "bfloat16", "Float": "float32", "Double": "float64"}
    dtype = names.get(name.removesuffix("Storage")) if name.endswith("Storage") else None
    return getattr(torch, dtype) if dtype else None


def _read_zip(stream: IO[bytes]) -> Any:
    """torch.save since 1.6: a zip with one pickle, and one file a storage."""
    with zipfile.ZipFile(stream) as archive:
        entry = next((n for n in archive.namelist() if n.endswith("/data.pkl")), None)
        if entry is None:
            raise pickle.UnpicklingError("a zip that torch.save did not write")
        root = entry.removesuffix("data.pkl")
        order = archive.read(f"{root}byteorder").decode() if f"{root}byteorder" in archive.namelist() else "little"
        if order != sys.byteorder:
            raise pickle.UnpicklingError(f"byte order {order}, this machine has {sys.byteorder}")
        storages: dict[str, Tensor] = {}

        def storage_of(key: str, dtype: torch.dtype, count: int) -> Tensor:
            if key not in storages:
                storages[key] = _flat(archive.read(f"{root}data/{key}"), dtype, count)
            return storages[key]

        with archive.open(entry) as pickled:
            return _TensorsOnly(pickled, storage_of).load()


def _read_legacy(stream: IO[bytes]) -> Any:
    """torch.save before 1.6: five pickles (magic, version, system, content, storage keys), then the storages."""
    stream.seek(0, 2)
    length = stream.tell()
    stream.seek(0)
    storages: dict[str, Tensor] = {}

    def storage_of(key: str, dtype: torch.dtype, count: int) -> Tensor:
        if key not in storages:
            if not 0 <= count * dtype.itemsize <= length:  # before any memory is taken on the file's word
                raise pickle.UnpicklingError(f"storage {key} is larger than the file")
            storages[key] = torch.zeros(count, dtype=dtype)
        return storages[key]

    magic = 0x1950A86A20F9469CFC6C
    if _TensorsOnly(stream, storage_of).load() != magic:
        raise pickle.UnpicklingError("not a file of torch.save")
    for _ in ("version", "system"):
        _TensorsOnly(stream, storage_of).load()
    content = _TensorsOnly(stream, storage_of).load()
    for key in _TensorsOnly(stream, storage_of).load():
        storage = storages[str(key)]
        count = int.from_bytes(stream.read(8), "little")
        storage.copy_(_flat(stream.read(count * storage.itemsize), storage.dtype, storage.numel()))
    return content


def _flat(raw: bytes, dtype: torch.dtype, count: int) -> Tensor:
    """`count` little-endian elements as a flat tensor."""
    if len(raw) != count * dtype.itemsize:
        raise pickle.UnpicklingError(f"{len(raw)} bytes where {count} elements of {dtype} were announced")
    return torch.frombuffer(bytearray(raw), dtype=dtype) if count else torch.empty(0, dtype=dtype)
