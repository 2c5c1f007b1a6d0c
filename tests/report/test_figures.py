"""The figures: every column of a comparison says whose it is, and equal figures are equal files."""

from __future__ import annotations

import importlib
from pathlib import Path

import matplotlib
import numpy as np

from reprolib.report import figures
from reprolib.report.figures import comparison_grid, save


def grid() -> list[tuple[str, list[tuple[str, np.ndarray, str]]]]:
    picture = np.zeros((6, 8, 3), np.uint8)
    return [(name, [("hazy", picture, "10 dB"), ("ours", picture, "20 dB")]) for name in ("one", "two")]


def test_titles_stand_over_the_first_row_and_scores_under_every_picture() -> None:
    axes = comparison_grid(grid()).axes
    assert [a.get_title() for a in axes] == ["hazy", "ours", "", ""]
    assert [a.get_xlabel() for a in axes] == ["10 dB", "20 dB"] * 2


def test_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    shown = [save(comparison_grid(grid()), tmp_path / name) for name in ("a.png", "b.png")]
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert shown[0].data == shown[1].data and shown[0].data.startswith(b"\xff\xd8"), "a JPEG"


def test_figures_do_not_read_a_persons_settings(tmp_path: Path) -> None:
    """`text.usetex: True` in a matplotlibrc, where there is no LaTeX; settings are read when the library is loaded."""
    save(comparison_grid(grid()), tmp_path / "plain.png")
    try:
        with matplotlib.rc_context({"text.usetex": True, "font.size": 30, "svg.hashsalt": "mine"}):
            importlib.reload(figures)
            save(figures.comparison_grid(grid()), tmp_path / "theirs.png")
    finally:
        importlib.reload(figures)
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "theirs.png").read_bytes()


def test_the_executed_notebooks_show_their_figures(project: Path) -> None:
    """Whatever is kept in results/ beside a figure of its name."""
    results = project / "results"
    drawn = [path for path in results.glob("*/notebooks/*.ipynb")
             if (path.parent.parent / "figures" / f"{path.stem}.png").is_file()]
    for path in (*drawn, *results.glob("bench/*.ipynb")):
        assert '"image/jpeg"' in path.read_text(), path
