"""What the rest of the project knows of a system: how to build it, what makes it itself, how its authors train it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from reprolib.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from reprolib.models.objective import DehazingObjective, TranslationObjective

Direction = Literal["ab", "ba"]
"""Of a translation: from A to B, which the papers' tables measure, or back."""


@dataclass(frozen=True)
class System:
    """A row of a table. Defined once, in a file of its own; a profile scales it and never makes it another one."""

    name: str
    label: str
    """The row's name as the paper prints it."""
    task: str
    """'dehazing' or 'translation'."""
    build: Callable[..., nn.Module]
    """`build(**options)`: full size without options. Dehazers map B3HW in [0, 1] to B3HW, nominally in [0, 1].

    Translators are built with everything that is trained (generators, discriminators, heads) as named children, and
    map B3HW of the source domain in [-1, 1] to B3HW of the target domain in [-1, 1]. Those that have `reverse` take
    `direction`, and those that have `styles` take `style_BS` and encode pictures of a domain by `style`.
    """
    source: str
    """Paper, venue, year, and which public layout is followed where they differ."""
    objective: DehazingObjective | TranslationObjective | None = None
    """What it minimises, by which it is this system; None for a prior, and for a dehazer trained with L1."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """How its authors train it, as settings of `reprolib.runs.run`; checked when a profile asks for it."""
    paper_params: str | None = None
    """The parameter figure as Table 1 prints it, e.g. '2.61M'."""
    verified_params: int | None = None
    """The exact count of `build()`'s learned scalars (of a translator's counted part), taken from what its authors
    released or from a layout that prints as the paper has it; the gate holds the code to it."""
    count_note: str | None = None
    """Why the parameter count differs from the paper's figure, where it does."""
    trained: bool = True
    """False for a prior that has nothing to train (DCP)."""
    multiple: int = 1
    """Height and width must be multiples of this; inference pads by reflection and crops back."""
    large: Callable[..., Tensor] | None = None
    """`large(network, x_13HW)`: the same as `network(x)` but for rounding, in memory for a picture of 4K (about 2 GB);
    None where tiles do, or where the whole picture fits."""
    importer: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] | None = None
    """Maps the state dict of the published checkpoint to ours; None where the key names are ours."""
    sizes: Callable[[Mapping[str, Tensor]], dict[str, Any]] | None = None
    """Options of the network that made a file, by its tensors in our names: published sizes differ (FFA-Net's blocks).

    Raises KeyError where a tensor is missing.
    """
    exporter: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] | None = None
    """Translation: our state dict to the names of the published checkpoint, the way back of `importer`."""
    inference: tuple[str, ...] = ()
    """Translation: the children of the network that A to B needs; the first is the one that is counted."""
    reverse: tuple[str, ...] = ()
    """Translation: the children that B to A needs, where it is trained as well."""
    styles: int = 0
    """Translation: numbers in a style, where one picture has many translations."""
    kept: tuple[str, ...] = ()
    """Translation: further children that are saved, for figures."""

    @property
    def saved(self) -> tuple[str, ...]:
        """The children that a checkpoint holds; discriminators stay in the resumable state."""
        return tuple(dict.fromkeys((*self.inference, *self.reverse, *self.kept)))

    def translating(self, direction: Direction) -> tuple[str, ...]:
        """The children that one direction needs.

        Raises:
            UserError: it translates from A to B alone.
        """
        if direction == "ba" and not self.reverse:
            raise UserError(f"{self.name} has no direction ba: it learns to translate from A to B alone",
                            fix="train it on the domains exchanged, or choose cyclegan, distancegan, munit or drit")
        return self.inference if direction == "ab" else self.reverse

    def part(self, network: nn.Module, *names: str) -> nn.Module:
        """Some children of a network under their own names; all of a network whose system names none."""
        if not self.inference:
            return network
        from torch import nn

        return nn.ModuleDict({name: network.get_submodule(name) for name in names})
