"""What `torch.save` wrote, read without ever running code from the file: the zip form, and the one before torch 1.6.

Some authors publish a pickled *module* instead of its tensors (MSBDN). `weights_only` refuses such a file, and plain
unpickling would import and run whatever it names. Here it is read by an unpickler that can build tensors and
containers and nothing else: every other class becomes an inert stub, out of which the tensors are collected.
"""

from __future__ import annotations

import math
import pickle
import sys
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor


def read_torch(path: Path) -> Any:
    """The content of a file: tensors, containers, numbers and text; a `Stub` for everything else.

    Raises:
        Exception: of many kinds, where the file is damaged or foreign.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # about pickle versions; what matters is said by the error
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # names a class that weights_only does not know, or is not a torch file at all
        with path.open("rb") as stream:
            return _read_zip(stream) if zipfile.is_zipfile(stream) else _read_legacy(stream)


def module_tensors(module: Stub, prefix: str = "") -> dict[str, Tensor]:
    """What `state_dict()` of the pickled module would have given."""
    fields = vars(module)
    passing = fields.get("_non_persistent_buffers_set", ())
    own = {**fields.get("_parameters", {}), **fields.get("_buffers", {})}
    state = {prefix + name: t for name, t in own.items() if isinstance(t, Tensor) and name not in passing}
    for name, child in fields.get("_modules", {}).items():
        if isinstance(child, Stub):
            state |= module_tensors(child, f"{prefix}{name}.")
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
