"""A paper is a folder: what is in it is found, and a slip in it is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from invented import CELLS, PAPER, forget, invented

from reprolib import papers
from reprolib.errors import UserError

__all__ = ["invented"]


def test_a_folder_is_a_paper(invented: Path) -> None:
    paper, table = papers.table("toys")
    assert (paper.name, paper.title, list(table.rows)) == ("toy", "A Toy", ["toys/small", "toys/prior"])
    assert [c.printed for c in paper.cells] == ["20.5", "0.9", "15.5"]
    assert [c.id for c in paper.claims] == ["toys/small>toys/prior@mine/psnr"]
    notebook = paper.notebooks["toy_pictures"]
    assert (notebook.source, notebook.shows, notebook.column) == ("comparison", "toys", "mine")
    assert notebook.parameters == {"table": "toys", "column": "mine", "count": 1}
    assert {("toy", "mine"), ("aecrnet", "sots")} <= papers.columns_of("sots-indoor")


@pytest.mark.parametrize(("old", "new", "says"), [
    ("columns: [mine]", "columns: [mein]", "unknown column"),
    ("table: toys, column", "table: toy, column", "did you mean 'toys'"),
    ("table: toys, column: mine", "table: toys, column: min", "did you mean 'mine'"),
    ("table: toys, column: mine", "table: toys, instead: toy, column: mine", "did you mean 'toys'"),
    ("source: comparison, ", "", "not the description of a paper"),
    ("toys:\n", "table1:\n", "unknown row"),
    ("toy_pictures:", "figure7:", "two papers have a table or a notebook 'figure7'"),
    ("venue: NOWHERE 2026\n", "", "not the description of a paper"),
])
def test_slips_in_paper_yaml(invented: Path, old: str, new: str, says: str) -> None:
    (invented / "toy" / "paper.yaml").write_text(PAPER.replace(old, new, 1))
    forget()
    with pytest.raises(UserError, match=says):
        papers.papers()


@pytest.mark.parametrize(("old", "new", "says"), [
    ("toys/prior", "toys/priro", "did you mean 'toys/prior'"), ("mine,psnr", "mein,psnr", "did you mean 'mine'")])
def test_slips_in_cells(invented: Path, old: str, new: str, says: str) -> None:
    (invented / "toy" / "cells.csv").write_text(CELLS.replace(old, new, 1))
    forget()
    with pytest.raises(UserError, match=says):
        papers.papers()


def test_an_unknown_table_names_the_nearest(invented: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'toys'"):
        papers.table("toy")


def test_every_notebook_has_its_source_and_every_parameter_a_place(project: Path) -> None:
    import papermill

    for paper in papers.papers().values():
        for notebook in paper.notebooks.values():
            source = project / "notebooks" / f"{notebook.source}.ipynb"
            assert {"profile", "root", "name", *notebook.parameters} <= set(papermill.inspect_notebook(str(source)))
