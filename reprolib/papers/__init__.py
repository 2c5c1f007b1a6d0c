"""The papers as data, a folder each: tables and notebooks (paper.yaml), printed numbers (cells.csv), claims.yaml.

Tables, ledger, claims and notebooks iterate over what is found here; no paper's name stands in code. Nothing here
knows what was measured.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from reprolib.errors import UserError, unknown
from reprolib.files import read_yaml
from reprolib.papers.claims import Claim, read_claims

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Column:
    """A printed column."""

    name: str
    label: str
    datasets: tuple[str, ...]
    """What is measured for it: the benchmark itself first, then embedded datasets that stand in for it."""


@dataclass(frozen=True)
class Row:
    """A printed row: a system, and the settings that a run must have to stand for it."""

    id: str
    """Table and row, e.g. 'table2/base+dfe'."""
    label: str
    """As printed, without venue and reference number."""
    system: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of a run, nested as in a profile; what is not named is free."""


@dataclass(frozen=True)
class Cell:
    """One printed number."""

    paper: str
    table: str
    row: str
    column: str
    """Empty for what is printed once a row, such as parameter counts."""
    metric: str
    unit: str
    better: str
    """'higher' or 'lower'."""
    printed: str
    """As printed; '-' where the paper gives none."""

    @property
    def value(self) -> float | None:
        """None where the paper prints '-'."""
        if self.printed == "-":
            return None
        return float(self.printed.removesuffix("M")) * (1e6 if self.printed.endswith("M") else 1.0)

    @property
    def half_digit(self) -> float:
        """Half of the last printed digit: any value closer than this prints the same."""
        decimals = len(self.printed.removesuffix("M").partition(".")[2])
        return 0.5 * 10.0**-decimals * (1e6 if self.printed.endswith("M") else 1.0)


@dataclass(frozen=True)
class Table:
    """A printed table."""

    name: str
    title: str
    rows: Mapping[str, Row]
    """By id, in printed order."""
    columns: tuple[str, ...]
    metrics: tuple[str, ...]
    """Measured in each column; those that the paper does not print are ours to add."""
    counts: tuple[str, ...] = ()
    """Counted once a row, without training."""
    costs: tuple[str, ...] = ()
    """Timed once a row, on one machine for all rows."""
    task: str | None = None
    """The table is of all systems of a task: registered ones without a printed row join it."""


@dataclass(frozen=True)
class Notebook:
    """A notebook beside those of the tables: drawn in each profile that has a run for what it shows."""

    name: str
    """Of the executed notebook and of its figure."""
    source: str
    """notebooks/SOURCE.ipynb."""
    shows: str
    """A row's or a table's id."""
    instead: str
    """The row, or the table, that is shown where a profile has no run for that one; empty if there is none."""
    column: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What the notebook is told beside the profile."""


@dataclass(frozen=True)
class Paper:
    """One folder."""

    name: str
    title: str
    authors: str
    venue: str
    source: str
    columns: Mapping[str, Column]
    tables: Mapping[str, Table]
    cells: tuple[Cell, ...]
    notebooks: Mapping[str, Notebook] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()


@cache
def papers() -> Mapping[str, Paper]:
    """All papers by name.

    Raises:
        UserError: a folder that is not whole, or a table's name that two papers use.
    """
    found = {path.parent.name: _read(path) for path in sorted(FOLDER.glob("*/paper.yaml"))}
    owner: dict[str, str] = {}
    for paper in found.values():
        for name in (*paper.tables, *paper.notebooks):  # a table has a notebook of its name
            if owner.setdefault(name, paper.name) != paper.name:
                both = f"papers/{owner[name]}, papers/{paper.name}"
                raise UserError(f"two papers have a table or a notebook '{name}'", where=both,
                                fix="rename one of them in paper.yaml and cells.csv")
    return found


def tables() -> Iterator[tuple[Paper, Table]]:
    """Every table of every paper."""
    return ((paper, table) for paper in papers().values() for table in paper.tables.values())


def table(name: str) -> tuple[Paper, Table]:
    """A table and its paper.

    Raises:
        UserError: no such table, with the nearest name.
    """
    known = {table.name: (paper, table) for paper, table in tables()}
    if name not in known:
        raise unknown("table", name, known)
    return known[name]


def claims() -> tuple[Claim, ...]:
    """Every claim of every paper."""
    return tuple(claim for paper in papers().values() for claim in paper.claims)


def rows() -> dict[str, Row]:
    """Every printed row by id."""
    return {name: row for _, table in tables() for name, row in table.rows.items()}


def columns_of(dataset: str) -> set[tuple[str, str]]:
    """Paper and column that a dataset is measured for."""
    return {(paper.name, column.name) for paper in papers().values() for column in paper.columns.values()
            if dataset in column.datasets}


def _read(path: Path) -> Paper:
    content = read_yaml(path)
    name = path.parent.name
    try:
        columns = {key: Column(key, entry["label"], tuple(entry["datasets"]))
                   for key, entry in content["columns"].items()}
        found = {key: _table(key, dict(entry)) for key, entry in content["tables"].items()}
        head = {key: str(content[key]) for key in ("title", "authors", "venue", "source")}
        cells = tuple(_cells(path.with_name("cells.csv"), name, found))
        notebooks = {key: _notebook(path, key, dict(entry), found, columns)
                     for key, entry in content.get("notebooks", {}).items()}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"not the description of a paper: {type(error).__name__} {error}", where=path,
                        fix="compare it with papers/aecrnet/paper.yaml") from error
    for table in found.values():
        for column in table.columns:
            if column not in columns:
                raise unknown(f"column of {path}, table {table.name}:", column, columns)
    claims = read_claims(path.with_name("claims.yaml"), cells)
    return Paper(name, **head, columns=columns, tables=found, cells=cells, notebooks=notebooks, claims=claims)


def _table(name: str, entry: dict[str, Any]) -> Table:
    rows = {f"{name}/{key}": Row(f"{name}/{key}", row["label"], row.get("system", key), row.get("settings", {}))
            for key, row in entry.pop("rows").items()}
    columns, metrics, counts, costs = (tuple(entry.pop(key, ())) for key in ("columns", "metrics", "counts", "costs"))
    return Table(name=name, rows=rows, columns=columns, metrics=metrics, counts=counts, costs=costs, **entry)


def _notebook(path: Path, name: str, entry: dict[str, Any], found: Mapping[str, Table],
              columns: Mapping[str, Column]) -> Notebook:
    """A notebook shows a row or a table in a column, which it is told, beside whatever else stands here."""
    source = entry.pop("source")
    kind = "row" if "row" in entry else "table"
    known = [row for table in found.values() for row in table.rows] if kind == "row" else list(found)
    for key, names in ((kind, known), ("instead", known), ("column", list(columns))):
        if key in entry and entry[key] not in names:
            raise unknown(f"{key} of {path}, notebook {name}:", entry[key], names)
    return Notebook(name, source, entry[kind], entry.pop("instead", ""), entry["column"], entry)


def _cells(path: Path, paper: str, found: Mapping[str, Table]) -> Iterator[Cell]:
    """Printed numbers; a row or a column that the tables do not have is a slip."""
    rows = [name for table in found.values() for name in table.rows]
    with path.open(newline="", encoding="utf-8") as stream:
        for number, line in enumerate(csv.DictReader(stream), start=2):
            table = line["row"].partition("/")[0]
            if line["row"] not in rows:
                raise unknown(f"row in line {number} of {path}:", line["row"], rows)
            if line["column"] and line["column"] not in found[table].columns:
                raise unknown(f"column in line {number} of {path}:", line["column"], found[table].columns)
            yield Cell(paper=paper, table=table, **{str(key): value for key, value in line.items()})
