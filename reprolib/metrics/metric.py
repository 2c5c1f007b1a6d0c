"""What the rest of the project knows of a metric: how it is called, printed and compared, and the function itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from reprolib.metrics.distance import PictureSet
    from reprolib.metrics.segmentation import Confusion


@dataclass(frozen=True)
class Score:
    """A measured number, which may be infinite or NaN, and what its protocol leaves open."""

    value: float
    details: Mapping[str, float] = field(default_factory=dict)
    """How it came about, where that is not the same every time: sizes, subsets, their spread."""


PictureFunction = Callable[..., float]
"""`function(restored_HW3, clear_HW3)` of a restored picture and its truth: float64, RGB, prepared by the protocol
(clamped, rounded). With `Metric.by_protocol`, `function(restored_HW3, clear_HW3, protocol)`. A set's value is the mean
over its pictures."""
SetFunction = Callable[["PictureSet", "PictureSet"], Score]
"""`function(real, fake)` of two sets of pictures, in whatever order."""
LabelFunction = Callable[["Confusion"], float]
"""`function(confusion)` of true labels and those that a segmenter predicts, counted over all pictures."""

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True, kw_only=True)
class Metric(Generic[F]):
    """A file of this folder."""

    name: str
    """In records and in the papers' `metrics:`; its file's."""
    label: str
    """As a table prints it."""
    better: Literal["higher", "lower"]
    of: Literal["pictures", "sets", "labels"]
    """What the function takes: `PictureFunction`, `SetFunction` or `LabelFunction`."""
    function: F
    unit: str = ""
    decimals: int = 2
    """Digits that a table prints after the point."""
    range: tuple[float, float] = (-math.inf, math.inf)
    """Smallest and largest value of pictures in [0, 1]."""
    everywhere: bool = False
    """Measured on every test set of its kind; others only where a table names them."""
    stands_for: str | None = None
    """The metric whose cells it fills, under its own label, where that one cannot be had."""
    by_protocol: bool = False
    """Of pictures: the function takes the protocol too, which decides more than how pictures are prepared."""
    features: Literal["inception", "vgg16"] | None = None
    """Of sets: the network whose features are compared. A run chooses it (`TranslationRun.distance`)."""
