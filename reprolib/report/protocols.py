"""How much the metric's protocol alone moves a number: a table for each notebook that shows it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from reprolib import models, papers
from reprolib.errors import UserError
from reprolib.evaluation.protocols import ProtocolRow
from reprolib.files import write_text
from reprolib.papers import Notebook
from reprolib.report.markdown import to_markdown
from reprolib.report.shown import find_runs
from reprolib.results.quantity import quantity
from reprolib.runs.places import results_folder
from reprolib.runs.run import DehazingRun

SOURCE = "protocols"
"""The notebook that draws such a table; its `systems` in paper.yaml are the ones that are measured."""


FOLDER = "protocols"
"""Of the tables, below a profile's results."""


def runs_shown(profile: str, root: Path = Path()) -> dict[str, list[DehazingRun]]:
    """The runs that are to be measured under every protocol, by the name of the notebook that shows them."""
    shown: dict[str, list[DehazingRun]] = {}
    for notebook in _notebooks():
        runs = find_runs(profile, notebook.shows, notebook.column, root).values()
        chosen = [r for r in runs if isinstance(r, DehazingRun) and r.system in notebook.parameters["systems"]]
        if chosen:
            shown[notebook.name] = chosen
    return shown


def write(name: str, rows: Iterable[ProtocolRow], profile: str, root: Path = Path()) -> None:
    """results/<profile>/protocols/<name>.{csv,md}: means by system and protocol, and over how many pictures."""
    frame = pd.DataFrame([
        {"system": row.system, "dataset": row.dataset, "pictures": row.pictures, "protocol": row.protocol,
         **{metric: round(value, 4) for metric, value in row.scores.items()}} for row in rows])
    folder = results_folder(profile, root) / FOLDER
    write_text(folder / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"))
    write_text(folder / f"{name}.md", to_markdown(frame))


def forget(names: Iterable[str], profile: str, root: Path = Path()) -> None:
    """Remove tables of other notebooks than these."""
    known = set(names)
    for path in (results_folder(profile, root) / FOLDER).glob("*.*"):
        if path.stem not in known:
            path.unlink()


def read(name: str, profile: str, root: Path = Path()) -> pd.DataFrame:
    """What `write` wrote.

    Raises:
        UserError: it was not measured yet.
    """
    path = results_folder(profile, root) / FOLDER / f"{name}.csv"
    if not path.is_file():
        raise UserError("the protocols are not measured yet", where=path, fix="run `dvc repro`")
    return pd.read_csv(path)


def shown(frame: pd.DataFrame) -> pd.DataFrame:
    """For a reader: a row a protocol, and metrics over systems by the names that people give them."""
    drawn = frame.drop(columns=["dataset", "pictures"]).pivot(index="protocol", columns="system")
    measured, systems = (drawn.columns.get_level_values(level) for level in (0, 1))
    drawn.columns = pd.MultiIndex.from_arrays(
        [[quantity(name).label for name in measured], [models.get(name).label for name in systems]])
    return drawn.reset_index()


def _notebooks() -> list[Notebook]:
    return [n for paper in papers.papers().values() for n in paper.notebooks.values() if n.source == SOURCE]
