"""Which rows of the papers' tables there are, and which of them a run may stand for.

Rows are the printed ones and, in a table of all systems of a task, every registered system. A run stands for a row only
with the settings that make the row: AECR-Net trained without CR is 'table2/base+dfe+mixup', not 'table1/aecrnet'.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from reprolib import metrics, models, papers
from reprolib.data.registry import get_dataset
from reprolib.errors import UserError, unknown
from reprolib.metrics.metric import Metric
from reprolib.models.objective import DehazingObjective
from reprolib.papers import Row
from reprolib.runs.run import DehazingRun, Run, TranslationRun


@cache
def rows_of(table: str) -> Mapping[str, Row]:
    """Printed rows of a table by id, then registered systems without one, in alphabetical order."""
    found = next(t for _, t in papers.tables() if t.name == table)
    rows = dict(found.rows)
    if found.task:
        for name in models.names(found.task):
            rows.setdefault(f"{table}/{name}", Row(f"{table}/{name}", models.get(name).label, name))
    return rows


def all_rows() -> dict[str, Row]:
    """Every row of every table by id."""
    return {name: row for _, table in papers.tables() for name, row in rows_of(table.name).items()}


def own_rows(run: Run) -> tuple[str, ...]:
    """Rows that a run stands for if it names none: its system's, in tables that have its dataset as a column."""
    if not _is_itself(run):
        return ()
    found = []
    for paper, table in papers.tables():
        row = rows_of(table.name).get(f"{table.name}/{run.system}")
        measured = any(run.measured_on in paper.columns[column].datasets for column in table.columns)
        if row and table.task and measured and difference(run, row) is None:
            found.append(row.id)
    return tuple(found)


def check_rows(run: Run, where: str) -> None:
    """Refuse a run that names a row that is none, or that it is not.

    Raises:
        UserError: which row, and what it would need.
    """
    known = all_rows()
    for name in run.rows:
        if name not in known:
            raise unknown(f"row in {where}:", name, known)
        reason = difference(run, known[name])
        if reason:
            raise UserError(f"'{run.name}' is not what the row '{name}' means: {reason}", where=where,
                            fix="change the settings, or take the row out")


def difference(run: Run, row: Row) -> str | None:
    """Why a run does not stand for a row, in words; None if it does."""
    if run.system != row.system:
        return f"its system is {run.system}, the row's {row.system}"
    return _unlike(_effective(run), row.settings, "")


def full_size_options(run: Run) -> dict[str, Any]:
    """Options of the network of a run's row at the paper's size: an ablation that takes parts away is not 'reduced'."""
    options: dict[str, Any] = {}
    for name in run.rows:
        options |= all_rows()[name].settings.get("network", {})
    return options


def metrics_of(run: Run) -> list[str]:
    """Metrics that a run is measured with, in the order of the tables that name them; then those that always are.

    Where a run's features are others than those of a metric that a table names, what stands for it is measured.

    Raises:
        UserError: a table names a metric that there is none.
    """
    wanted = dict.fromkeys(name for _, table in papers.tables() for row in run.rows
                           if row.partition("/")[0] == table.name for name in table.metrics)
    fitting = [metric for metric in map(metrics.get, metrics.names()) if _measures(metric, run)]
    for name in wanted:  # one that there is not is refused here
        metrics.get(name)
    named = [metric.name for name in wanted for metric in fitting if name in (metric.name, metric.stands_for)]
    return list(dict.fromkeys([*named, *(metric.name for metric in fitting if metric.everywhere)]))


def _measures(metric: Metric[Any], run: Run) -> bool:
    """Whether a metric can be taken of what a run makes."""
    if isinstance(run, DehazingRun):
        return metric.of == "pictures"
    if not isinstance(run, TranslationRun):
        return False
    if metric.of == "sets":
        return metric.features in (None, run.distance)
    return metric.of == "labels" and get_dataset(run.measured_on).label_maps


def _is_itself(run: Run) -> bool:
    """Whether a dehazer is trained with the contrastive term exactly if that makes it what it is."""
    objective = models.get(run.system).objective
    has = isinstance(objective, DehazingObjective) and objective.contrast is not None
    return not isinstance(run, DehazingRun) or (run.contrast is not None) == has


def _effective(run: Run) -> dict[str, Any]:
    """Settings with the defaults of network and objective filled in."""
    settings = run.settings
    settings["network"] = models.defaults(run.system) | settings["network"]
    if isinstance(run, TranslationRun):
        settings["objective"] = models.objective_defaults(run.system) | settings["objective"]
    return settings


def _unlike(found: Any, wanted: Any, path: str) -> str | None:
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return f"{path} is {_text(found)}"
        reasons = (_unlike(found.get(key), value, f"{path}.{key}".strip(".")) for key, value in wanted.items())
        return next(filter(None, reasons), None)
    return None if found == wanted else f"{path} is {_text(found)}, the row's {_text(wanted)}"


def _text(value: Any) -> str:
    return "null" if value is None else str(value)
