"""The papers' cells against rows typed a second time, and against the slides themselves where they are at hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reprolib import metrics, models
from reprolib.papers import Cell, papers, rows, tables

CELLS = [cell for paper in papers().values() for cell in paper.cells]


def row(name: str) -> list[Cell]:
    return [c for c in CELLS if c.row == name]


def test_every_cell_once_and_in_the_order_of_the_tables() -> None:
    keys = [(c.row, c.column, c.metric) for c in CELLS]
    assert len(set(keys)) == len(keys)
    for paper, table in tables():
        of_table = [c for c in paper.cells if c.table == table.name]
        assert list(dict.fromkeys(c.row for c in of_table)) in ([], list(table.rows))
        assert {c.metric for c in of_table} <= {*table.metrics, *table.counts, *table.costs}
        assert {c.column for c in of_table if c.metric in table.counts} <= {""}
        for name in table.rows:  # every row has the same cells, with a number or with '-'
            assert [(c.column, c.metric) for c in row(name)] == [(c.column, c.metric) for c in of_table
                                                                if c.row == of_table[0].row]


@pytest.mark.parametrize(("name", "printed"), [
    ("table1/dcp", "15.09 0.7649 10.06 0.3856 10.57 0.5196 -"),
    ("table1/ffanet", "36.39 0.9886 14.39 0.4524 19.87 0.6915 4.68M"),
    ("table1/fdu", "32.68 0.9760 - - - - -"),
    ("table1/aecrnet", "37.17 0.9901 15.80 0.4660 19.88 0.7173 2.61M"),
    ("table2/base", "33.85 0.9820"),
    ("table2/base+dfe+mixup+cr*", "36.46 0.9889"),
    ("table4/r:1", "35.61 0.9862"),
    ("table4/r:r", "35.65 0.9861"),
    ("cut/distancegan", "8.4 42.2 12.6 81.8 155.3 72.0 0.15 2.72"),
    ("cut/fastcut", "19.1 59.9 24.3 68.8 94.0 73.4 0.15 2.25"),
])
def test_rows_typed_again(name: str, printed: str) -> None:
    assert [c.printed for c in row(name)] == printed.split()


def test_values_are_the_printed_numbers() -> None:
    for c in CELLS:
        if c.printed == "-":
            assert c.value is None
        else:
            assert c.value == pytest.approx(float(c.printed.rstrip("M")) * (1e6 if c.printed.endswith("M") else 1))


def test_printed_cells_equal_the_slides(shared: Path) -> None:
    """Reads the tables out of the slides' text: each row's last columns, digit for digit."""
    slides = shared / "paper" / "slides.txt"
    if not slides.is_file():
        pytest.skip(f"no slides: {slides} is absent")
    lines = slides.read_text().splitlines()
    starts = {"table1": "Table 1.", "table2": "Table 2.", "table4": "Table 4.", "cut": "CycleGAN"}
    for table, start in starts.items():
        begin = next(i for i, line in enumerate(lines) if line.startswith(start))
        body = [line.split("\t") for line in lines[begin:] if re.search(r"\t[\d.]+M?$|\t-$", line)]
        names = list(dict.fromkeys(c.row for c in CELLS if c.table == table))
        for name, fields in zip(names, body[:len(names)], strict=True):
            cells = row(name)
            assert fields[-len(cells):] == [c.printed for c in cells], name
            assert rows()[name].label in fields[0], name


def test_a_metric_has_one_direction_and_unit_in_all_papers_and_that_of_its_file() -> None:
    for name in {c.metric for c in CELLS}:
        (kind,) = {(c.better, c.unit) for c in CELLS if c.metric == name}
        if name in metrics.names():
            assert kind == (metrics.get(name).better, metrics.get(name).unit)
        else:
            assert kind[0] == "lower"


@pytest.mark.parametrize(("printed", "half"), [
    ("15.40", 0.005), ("0.9901", 5e-5), ("2.61M", 5e3), ("0.002M", 500), ("8.4", 0.05)])
def test_half_digit(printed: str, half: float) -> None:
    cell = next(c for c in CELLS if c.printed == printed)
    assert cell.half_digit == pytest.approx(half, rel=1e-12)


def test_verified_counts_round_to_the_printed_figures() -> None:
    """A system without a verified count says why its count is another."""
    for cell in (c for c in CELLS if c.metric == "params" and c.value is not None):
        system = models.get(rows()[cell.row].system)
        assert system.paper_params == cell.printed
        if system.verified_params is None:
            assert system.count_note
        else:
            figure = cell.printed.rstrip("M")
            assert f"{system.verified_params / 1e6:.{len(figure.split('.')[1])}f}" == figure, system.name
