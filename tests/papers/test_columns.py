"""Columns of the papers and the datasets behind them."""

from __future__ import annotations

from reprolib.data.registry import datasets
from reprolib.papers import columns_of, papers


def test_every_column_has_a_benchmark_first_and_knows_its_datasets() -> None:
    for paper in papers().values():
        for column in paper.columns.values():
            assert set(column.datasets) <= set(datasets())
            embedded = [datasets()[name].embedded for name in column.datasets]
            assert embedded == sorted(embedded) and not embedded[0]
            assert all((paper.name, column.name) in columns_of(name) for name in column.datasets)


def test_cats_and_dogs_of_another_paper_are_no_column() -> None:
    assert columns_of("drit-cat2dog") == set() and columns_of("afhq-cat2dog") == {("cut", "cat2dog")}
