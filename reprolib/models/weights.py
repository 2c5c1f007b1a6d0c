"""Reading and writing network weights without ever running code from the file (`reprolib.models.pickles`).

Formats: `.safetensors` (ours); `torch.save` files, both the zip form and the one before torch 1.6; MATLAB `.mat`;
Caffe's `.caffemodel`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from reprolib.errors import UserError, printable
from reprolib.files import write_atomically
from reprolib.impostors import impostor
from reprolib.models.fitting import Importer, fit, shortened
from reprolib.models.pickles import Stub, module_tensors, read_torch

OUTER_KEYS = ("params_ema", "state_dict_ema", "model_ema", "ema_state_dict", "ema", "model", "state_dict",
              "model_state_dict", "params", "net", "network", "weights")
"""Where training scripts put the weights beside the optimiser and the step; running averages first, since these are
what their authors measure."""

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
        raise UserError("no such weights file", where=path, fix="run `reprolib train RUN` if a run makes it")
    try:
        known = impostor(path)
    except OSError:
        known = None  # the reader says it
    if known is not None:
        raise UserError(f"not a weights file but {known.what}", where=path, fix=known.fix)
    readers: dict[str, Callable[[Path], Any]] = {".safetensors": load_file, ".mat": _read_mat,
                                              ".caffemodel": _read_caffemodel}
    try:
        kind = ".safetensors" if is_safetensors(path) else path.suffix.lower()
        content = readers.get(kind, read_torch)(path)
        state = _tensors(content)
    except PermissionError as error:
        raise UserError("no permission to read the weights", where=path, fix="change its permissions") from error
    except Exception as error:  # a damaged or foreign file can fail inside its reader in any way
        reason = next(iter(str(error).splitlines()), "")[:120] or type(error).__name__
        raise UserError(f"not a weights file, or cut short: {reason}", where=path, fix=_NOT_READABLE) from error
    if not state:
        found = shortened(list(map(str, content))) if isinstance(content, Mapping) else type(content).__name__
        raise UserError(f"holds no weights (found: {found or 'nothing'})", where=path, fix=_NOT_READABLE)
    return state


def load_weights(model: nn.Module, path: Path | str, importer: Importer | None = None) -> None:
    """Load a file into a network: all of it or, if anything does not fit, nothing.

    Prefixes of wrappers are taken off, and what belongs to no part of the network is left out, with a warning
    (`reprolib.models.fitting`). `importer` translates published names and layouts (`System.importer`).

    Raises:
        UserError: as `read_state`, the file belongs to another network (the message lists the differences), or a weight
            is not finite.
    """
    load_state(model, read_state(path), path, importer)


def load_state(model: nn.Module, state: Mapping[str, Tensor], where: object, importer: Importer | None = None) -> None:
    """As `load_weights`, for tensors that were read already; `where` stands in messages."""
    found = fit(state, shapes(model), importer)
    if found.cost:
        raise UserError("the weights belong to another network, nothing was loaded", where=where,
                        fix=f"choose the system and options that it was made for; {found.in_words()}")
    for name, tensor in found.state.items():
        if not tensor.isfinite().all():
            raise UserError(f"'{name}' holds numbers that are not finite", where=where,
                            fix="take an earlier checkpoint, or download the file again")
    if note := found.note():
        warnings.warn(printable(f"{where}: {note}"), stacklevel=2)
    model.load_state_dict(found.state, strict=True)


def shapes(model: nn.Module) -> dict[str, torch.Size]:
    """Of everything that a network's file holds."""
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


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
    if not path.is_file() or not is_safetensors(path):
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


def is_safetensors(path: Path) -> bool:
    """By its ending or, where it has none (a file in DVC's cache), by its beginning: a length, then JSON."""
    if path.suffix:
        return path.suffix.lower() == ".safetensors"
    with path.open("rb") as stream:
        return stream.read(10)[8:] == b'{"'


def _halved(name: str, tensor: Tensor) -> Tensor:
    halved = tensor.half()
    if tensor.isfinite().all() and not halved.isfinite().all():
        raise UserError(f"'{name}' is beyond the range of half precision", fix="save in full precision")
    return halved


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


def _tensors(content: Any) -> dict[str, Tensor]:
    """The named tensors in what a file held: a dict, a dict around one, or the stub of a pickled module."""
    if isinstance(content, Stub):
        return module_tensors(content)
    if not isinstance(content, Mapping):
        return {}
    # First, because a step counter beside the weights may be a tensor too.
    inside = [key for key in OUTER_KEYS if isinstance(content.get(key), Mapping | Stub)]
    for key in inside:
        if inner := _tensors(content[key]):
            if "ema" in key and inside[1:]:
                warnings.warn(f"of {', '.join(inside)} the running average '{key}' is taken", stacklevel=2)
            return inner
    own = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    # Some authors nest the state dicts of several networks: {'a': ..., 'b': ...} becomes a.NAME and b.NAME.
    return own or {f"{outer}.{name}": t for outer, inner in content.items() for name, t in _tensors(inner).items()}
