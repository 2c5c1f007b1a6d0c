"""The metrics: one file each, found by its file name.

Every module of this folder that defines a `METRIC` adds one; there is no list to keep. Libraries that take long to load
are imported by the functions, so that a table can ask for labels and digits at no cost. What several metrics share
stands beside them: `protocols` (how a restored picture is prepared for comparison), `distance` (deep features of sets),
`segmentation` (label maps as a segmenter sees them).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path

from reprolib.errors import unknown
from reprolib.metrics.metric import LabelMetric, Metric, PictureMetric, Score, SetMetric

__all__ = ["LabelMetric", "Metric", "PictureMetric", "Score", "SetMetric", "default_names", "get", "module_of", "names"]


def names(of: str | None = None) -> list[str]:
    """Metrics of 'pictures', of 'sets', of 'labels', or all, in alphabetical order."""
    return [name for name in _found() if of is None or get(name).of == of]


def default_names(of: str) -> list[str]:
    """Metrics of one kind that are measured whether or not a table asks for them (`Metric.default`)."""
    return [name for name in names(of) if get(name).default]


def get(name: str) -> Metric:
    """The metric of that name.

    Raises:
        UserError: no such metric, with the nearest name.
    """
    metric = import_module(module_of(name)).METRIC
    assert isinstance(metric, Metric) and metric.name == name, f"{name}.py must define METRIC named '{name}'"
    return metric


def module_of(name: str) -> str:
    """Dotted module that defines a metric.

    Raises:
        UserError: no such metric, with the nearest name.
    """
    if name not in _found():
        raise unknown("metric", name, _found())
    return f"{__name__}.{name}"


@cache
def _found() -> tuple[str, ...]:
    """Read from the source, so that listing metrics loads none of their libraries."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple(path.stem for path in files if "\nMETRIC = " in path.read_text(encoding="utf-8"))
