"""A paper that nobody wrote, as a folder beside the real ones: two rows, three cells, a claim, a notebook."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from reprolib import papers
from reprolib.runs import rows

PAPER = """\
title: A Toy
authors: N. N.
venue: NOWHERE 2026
source: this test
columns:
  mine: {label: My Set, datasets: [sots-indoor, haze-homogeneous]}
tables:
  toys:
    title: Table 9. Toys
    columns: [mine]
    metrics: [psnr, ssim]
    rows:
      small: {label: Small Toy, system: aodnet}
      prior: {label: Prior Toy, system: dcp}
notebooks:
  toy_pictures: {source: comparison, table: toys, column: mine, count: 1}
"""
CELLS = """\
row,column,metric,unit,better,printed
toys/small,mine,psnr,dB,higher,20.5
toys/small,mine,ssim,,higher,0.9
toys/prior,mine,psnr,dB,higher,15.5
"""
CLAIMS = "- {text: small beats none, row: toys/small, beats: all, columns: [mine], metrics: [psnr]}\n"


def forget() -> None:
    """What was read of papers before."""
    papers.papers.cache_clear()
    rows.rows_of.cache_clear()


@pytest.fixture
def invented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of papers with one more."""
    folder = tmp_path / "papers"
    shutil.copytree(papers.FOLDER, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / "toy").mkdir()
    for name, text in (("paper.yaml", PAPER), ("cells.csv", CELLS), ("claims.yaml", CLAIMS)):
        (folder / "toy" / name).write_text(text)
    monkeypatch.setattr(papers, "FOLDER", folder)
    forget()
    yield folder
    monkeypatch.undo()
    forget()
