"""Which tensors of a file belong to a network: wrappers' prefixes taken off, and spare ones left out.

Whatever is tried counts only if every name and every shape of the network is met, so a wrong guess loads nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from torch import Size, Tensor

Importer = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]

AVERAGED = ("ema.", "ema_model.", "model_ema.", "net_g_ema.", "averaged_model.")
"""Running averages, which stand beside the weights themselves in a file; they are what their authors measure."""

PREFIXES = ("module.", "model.", "net.", "network.", "net_g.", "netG.", "generator.", "_model.", "_forward_module.")
"""What DataParallel, Lightning, BasicSR and people's own modules put before the names of a network; where nothing
fits with these, whatever stands before a quarter of the names is tried."""

DEEPEST = 3
"""Wrappers around one another."""

SHOWN = 4
"""How many names of each kind a message gives."""


@dataclass
class Fit:
    """How a file's tensors suit a network."""

    state: dict[str, Tensor]
    """In the network's names."""
    spare: dict[str, Tensor]
    """Tensors of parts that the network does not have."""
    differences: dict[str, list[str]]
    """Names by kind, empty if it fits."""
    outside: list[str]
    """Names that stand outside the wrapper that was taken off."""
    averaged: bool
    """The tensors are those of a running average."""

    @property
    def left_out(self) -> list[str]:
        """Names of the file that are not used."""
        return [*self.outside, *self.spare]

    @property
    def cost(self) -> int:
        """How many names do not fit; a missing one counts twice, since one of another shape is nearer."""
        return sum(len(names) * (2 if kind == "missing" else 1) for kind, names in self.differences.items())

    def matched(self, wanted: Mapping[str, Size]) -> int:
        """How many of the network's names are there, of whatever shape."""
        return sum(name in wanted for name in self.state)

    def in_words(self) -> str:
        """What does not fit; '' if all does."""
        kinds = {"missing": [], "unexpected": [], **self.differences}
        kinds["unexpected"] = kinds["unexpected"] + self.left_out
        return "; ".join(f"{len(names)} {kind}: {shortened(names)}" for kind, names in kinds.items() if names)

    def note(self) -> str:
        """What a person should know of a file that fits; '' if there is nothing."""
        said = ["the running average is taken"] if self.averaged else []
        if self.left_out:
            said.append(f"left out, of no use here: {len(self.left_out)} ({shortened(self.left_out)})")
        return "; ".join(said)


def fit(state: Mapping[str, Tensor], wanted: Mapping[str, Size], importer: Importer | None = None) -> Fit:
    """The reading of a file's tensors that suits a network best, with and without its importer.

    Args:
        wanted: shapes by name.
        importer: from published names and layouts to ours.
    """
    best = _best(state, wanted, importer, lambda _names: PREFIXES)
    return best if best.matched(wanted) else _best(state, wanted, importer, _leading)


def numbered(state: Mapping[str, Tensor], start: str) -> int:
    """How many parts a list of layers has: 'body.' counts body.0.conv.weight, body.0.conv.bias, body.1.conv.weight as
    two.
    """
    return len({name.removeprefix(start).partition(".")[0] for name in state if name.startswith(start)})


def shortened(names: list[str]) -> str:
    """The first names."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _best(state: Mapping[str, Tensor], wanted: Mapping[str, Size], importer: Importer | None,
          prefixes: Callable[[Collection[str]], Collection[str]]) -> Fit:
    found = [reading for names, left_out, averaged in _unwrapped(state, prefixes)
             for reading in _readings(names, left_out, averaged, wanted, importer)]
    return min(found, key=lambda reading: (reading.cost, not reading.averaged, len(reading.left_out)))


def _unwrapped(state: Mapping[str, Tensor], prefixes: Callable[[Collection[str]], Collection[str]]) \
        -> Iterator[tuple[Mapping[str, Tensor], list[str], bool]]:
    """A file's tensors as they are and without wrappers' prefixes; what does not have the prefix; whether averaged."""
    compiled = "_orig_mod."  # of torch.compile, which may stand before any part
    readings = [({name.replace(compiled, ""): tensor for name, tensor in state.items()}, list[str](), False)]
    for _ in range(DEEPEST):
        yield from readings
        readings = [
            ({name.removeprefix(prefix): t for name, t in names.items() if name.startswith(prefix)},
             outside + [name for name in names if not name.startswith(prefix)], averaged or prefix in AVERAGED)
            for names, outside, averaged in readings
            for prefix in dict.fromkeys((*AVERAGED, *prefixes(names)))
            if any(name.startswith(prefix) for name in names)]
    yield from readings


def _leading(names: Collection[str]) -> list[str]:
    """First parts that a quarter of the names have."""
    counts = Counter(name.partition(".")[0] + "." for name in names if "." in name)
    return [prefix for prefix, count in counts.items() if 4 * count >= len(names)]


def _readings(state: Mapping[str, Tensor], outside: list[str], averaged: bool, wanted: Mapping[str, Size],
              importer: Importer | None) -> Iterator[Fit]:
    yield _compared(state, outside, averaged, wanted)
    if importer is None:
        return
    best = _imported(state, outside, averaged, wanted, importer)
    # What is of no use is left out before, where the importer would stop at it or take it for a part of the network.
    for prefix in dict.fromkeys(name.partition(".")[0] + "." for name in state):
        names = {name: tensor for name, tensor in state.items() if not name.startswith(prefix)}
        without = [*outside, *(name for name in state if name.startswith(prefix))]
        other = _imported(names, without, averaged, wanted, importer)
        if other is not None and (best is None or (other.cost < best.cost and
                                                   other.matched(wanted) == best.matched(wanted))):
            best, state, outside = other, names, without
    if best is not None:
        yield best


def _imported(state: Mapping[str, Tensor], outside: list[str], averaged: bool, wanted: Mapping[str, Size],
              importer: Importer) -> Fit | None:
    try:
        return _compared(importer(state), outside, averaged, wanted)
    except (KeyError, IndexError, ValueError, RuntimeError):  # not the published names
        return None


def _compared(state: Mapping[str, Tensor], outside: list[str], averaged: bool, wanted: Mapping[str, Size]) -> Fit:
    parts = {name.partition(".")[0] for name in wanted}
    own = {name: tensor for name, tensor in state.items() if name.partition(".")[0] in parts}
    spare = {name: tensor for name, tensor in state.items() if name not in own}
    kinds = {
        "missing": [name for name in wanted if name not in own],
        "unexpected": [name for name in own if name not in wanted],
        "other shape": [f"{name} {_size(own[name].shape)} instead of {_size(shape)}"
                        for name, shape in wanted.items() if name in own and own[name].shape != shape],
    }
    return Fit(own, spare, {kind: names for kind, names in kinds.items() if names}, outside, averaged)


def _size(shape: Size) -> str:
    return "x".join(map(str, shape)) or "scalar"
