"""The metrics: one file each, found by its file name.

Every module of this folder that defines a `METRIC` adds one; there is no list to keep. Libraries that take long to load
are imported by the functions, so that a table can ask for labels and digits at no cost. What several metrics share
stands beside them: `protocols` (how a restored picture is prepared for comparison), `distance` (deep features of sets),
`segmentation` (label maps as a segmenter sees them).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from reprolib.errors import UserError, unknown
from reprolib.metrics.metric import LabelFunction, Metric, PictureFunction, Score, SetFunction

__all__ = ["Metric", "Score", "get", "module_of", "names", "of_labels", "of_pictures", "of_sets"]


def names(of: str | None = None) -> list[str]:
    """Metrics of 'pictures', of 'sets', of 'labels', or all, in alphabetical order."""
    return [name for name in _found() if of is None or get(name).of == of]


def get(name: str) -> Metric[Any]:
    """The metric of that name.

    Raises:
        UserError: no such metric, with the nearest name.
    """
    metric = import_module(module_of(name)).METRIC
    assert isinstance(metric, Metric) and metric.name == name, f"{name}.py must define METRIC named '{name}'"
    return metric


def of_pictures(chosen: Iterable[str]) -> list[Metric[PictureFunction]]:
    """The metrics of these names.

    Raises:
        UserError: a name that is no metric of a picture and its truth.
    """
    return cast(list[Metric[PictureFunction]], _of("pictures", chosen))


def of_sets(chosen: Iterable[str]) -> list[Metric[SetFunction]]:
    """As `of_pictures`, of sets."""
    return cast(list[Metric[SetFunction]], _of("sets", chosen))


def of_labels(chosen: Iterable[str]) -> list[Metric[LabelFunction]]:
    """As `of_pictures`, of labels."""
    return cast(list[Metric[LabelFunction]], _of("labels", chosen))


def module_of(name: str) -> str:
    """Dotted module that defines a metric.

    Raises:
        UserError: no such metric, with the nearest name.
    """
    if name not in _found():
        raise unknown("metric", name, _found())
    return f"{__name__}.{name}"


def _of(kind: str, chosen: Iterable[str]) -> list[Metric[Any]]:
    found = [get(name) for name in chosen]
    for metric in found:
        if metric.of != kind:
            raise UserError(f"'{metric.name}' is a metric of {metric.of}, not of {kind}",
                            fix=f"choose of {', '.join(names(kind))}")
    return found


@cache
def _found() -> tuple[str, ...]:
    """Read from the source, so that listing metrics loads none of their libraries."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple(path.stem for path in files if "\nMETRIC = " in path.read_text(encoding="utf-8"))
