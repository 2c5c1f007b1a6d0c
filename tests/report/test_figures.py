"""The figures: every column of a comparison says whose it is, and equal figures are equal files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reprolib.report.figures import comparison_grid, save


def grid() -> list[tuple[str, list[tuple[str, np.ndarray, str]]]]:
    picture = np.zeros((6, 8, 3), np.uint8)
    return [(name, [("hazy", picture, "10 dB"), ("ours", picture, "20 dB")]) for name in ("one", "two")]


def test_titles_stand_over_the_first_row_and_scores_under_every_picture() -> None:
    axes = comparison_grid(grid()).axes
    assert [a.get_title() for a in axes] == ["hazy", "ours", "", ""]
    assert [a.get_xlabel() for a in axes] == ["10 dB", "20 dB"] * 2


def test_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save(comparison_grid(grid()), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
