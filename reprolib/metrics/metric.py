"""What the rest of the project knows of a metric: how it is called, printed and compared, and the function itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reprolib.metrics.distance import PictureSet
    from reprolib.metrics.protocols import Protocol
    from reprolib.metrics.segmentation import Confusion


@dataclass(frozen=True)
class Score:
    """A measured number, which may be infinite or NaN, and what its protocol leaves open."""

    value: float
    details: Mapping[str, float] = field(default_factory=dict)
    """How it came about, where that is not the same every time: sizes, subsets, their spread."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What all metrics have; `PictureMetric`, `SetMetric` and `LabelMetric` add the function."""

    of: ClassVar[Literal["pictures", "sets", "labels"]]
    """What it compares: a picture with its truth, a set of pictures with another, a segmenter's labels with true ones.
    """

    name: str
    """In records and in the papers' `metrics:`; its file's."""
    label: str
    """As a table prints it."""
    better: Literal["higher", "lower"]
    unit: str = ""
    decimals: int = 2
    """Digits that a table prints after the point."""
    range: tuple[float, float] = (-math.inf, math.inf)
    """Smallest and largest value of pictures in [0, 1]."""
    default: bool = True
    """Measured on every test set of its kind; others only where a table names them."""
    stands_for: str | None = None
    """The metric whose cells it fills, under its own label, where that one cannot be had."""


@dataclass(frozen=True, kw_only=True)
class PictureMetric(Metric):
    """Of a restored picture and its truth; a set's value is the mean over its pictures."""

    of: ClassVar = "pictures"
    function: Callable[[NDArray[np.float64], NDArray[np.float64], Protocol], float]
    """`function(restored_HW3, clear_HW3, protocol)`, both RGB and prepared by the protocol (clamped, rounded)."""


@dataclass(frozen=True, kw_only=True)
class SetMetric(Metric):
    """Of two sets of pictures, whatever their order."""

    of: ClassVar = "sets"
    features: Literal["inception", "vgg16"]
    """Network whose features are compared, which a run chooses (`TranslationRun.distance`); the records' protocol."""
    function: Callable[[PictureSet, PictureSet], Score]
    """`function(real, fake)`."""


@dataclass(frozen=True, kw_only=True)
class LabelMetric(Metric):
    """Of true labels and those that a segmenter predicts, counted over all pictures."""

    of: ClassVar = "labels"
    function: Callable[[Confusion], float]
    """NaN where nothing was counted."""
