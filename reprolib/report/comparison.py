"""Figures 7 and 8: the same pictures through every system, pixel by pixel, with one detail enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]

WIDTH = 1400
"""Pixels of a figure: what a notebook or a web page shows without reducing it."""

MOST = 6
"""Columns; more pictures go on in a second line."""

GAP, LINE = 8, 17
"""Pixels between pictures, and of a line of text."""

SHARE = 0.25
"""Width of the detail, of the picture's, before it is rounded to a whole factor of enlargement."""

COARSE = 4
"""A detail is chosen by edges that are still there at a quarter of the size: leaves and noise are not."""

RED = "#e0301e"


@dataclass(frozen=True)
class Panel:
    """One picture of a comparison."""

    label: str
    """Whose it is, as the papers print it."""
    picture: Picture
    """uint8 RGB, HW3."""
    text: str = ""
    """What stands below it."""
    aligned: bool = True
    """Whether it shows the same scene, so that the detail lies at the same place."""


Row = Sequence[Panel]
"""A picture through every system, from what it was to what it ought to become."""


@dataclass(frozen=True)
class Layout:
    """Pixels of a row's panels, all of one size."""

    columns: int
    cell: tuple[int, int]
    """Height and width of a picture as it is shown."""
    detail: tuple[int, int]
    """Height and width of the detail in the picture."""
    factor: int
    """How many pixels a side one pixel of the detail becomes."""

    @property
    def height(self) -> int:
        """Of one line of panels: label, picture, detail, text."""
        return self.cell[0] + self.detail[0] * self.factor + 2 * LINE + 2 * GAP


def comparison(rows: Sequence[Row]) -> Figure:
    """All rows, one below the other; a row of more than `MOST` panels takes two lines.

    Pictures that are larger than their place are reduced (Lanczos, in sRGB), smaller ones are enlarged by a whole
    factor, and so are details: no value is invented between two pixels.

    Args:
        rows: panels of one row have one size, but for those that are not aligned.
    """
    layouts = [layout(row) for row in rows]
    lines = [(row[start : start + plan.columns], plan, place(row, plan))
             for row, plan in zip(rows, layouts, strict=True) for start in range(0, len(row), plan.columns)]
    width = max(plan.columns * (plan.cell[1] + GAP) - GAP for plan in layouts)
    height = sum(plan.height for _, plan, _ in lines) + GAP
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    top = height - GAP
    for panels, plan, corner in lines:
        for column, panel in enumerate(panels):
            _draw(figure, panel, plan, corner, column * (plan.cell[1] + GAP), top)
        top -= plan.height
    return figure


def layout(row: Row) -> Layout:
    """How the panels of a row are arranged."""
    lines = -(-len(row) // MOST)
    columns = -(-len(row) // lines)
    height, width = row[0].picture.shape[:2]
    room = (WIDTH + GAP) // columns - GAP
    shown = width * (room // width) or room
    cell = (round(height * shown / width), shown)
    factor = max(1, round(shown / (SHARE * width)))
    across = max(1, min(width, shown // factor))
    return Layout(columns, cell, (max(1, min(height, across * 2 // 3)), across), factor)


def place(row: Row, plan: Layout) -> tuple[int, int]:
    """Upper left corner (y, x) of the detail: where the truth has most structure, or the input if there is no truth."""
    reference = (row[-1] if row[-1].aligned else row[0]).picture
    height, width = reference.shape[:2]
    small: NDArray[np.float64] = np.asarray(Image.fromarray(reference).reduce(COARSE), np.float64)
    edges = np.zeros(small.shape[:2])
    edges[:-1] += np.abs(np.diff(small, axis=0)).sum(2)
    edges[:, :-1] += np.abs(np.diff(small, axis=1)).sum(2)
    sums = np.pad(edges.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    h, w = (max(1, min(plan.detail[axis] // COARSE, edges.shape[axis])) for axis in (0, 1))
    within = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    y, x = np.unravel_index(int(within.argmax()), within.shape)
    return min(int(y) * COARSE, height - plan.detail[0]), min(int(x) * COARSE, width - plan.detail[1])


def _draw(figure: Figure, panel: Panel, plan: Layout, corner: tuple[int, int], left: int, top: int) -> None:
    """One panel, its upper left corner at (left, top) in pixels from below."""
    size = figure.get_size_inches() * figure.dpi

    def write(text: str, below: int, **how: Any) -> None:
        figure.text((left + plan.cell[1] / 2) / size[0], (top - below) / size[1], text, ha="center", va="top",
                    fontsize=9, parse_math=False, **how)

    write(panel.label, 1, weight="bold")
    under = LINE
    shown = _fitted(panel.picture, plan.cell)
    figure.figimage(shown, left + (plan.cell[1] - shown.shape[1]) // 2, top - under - shown.shape[0])
    under += plan.cell[0] + GAP // 2
    if panel.aligned:
        (y, x), (h, w) = corner, plan.detail
        scale = plan.cell[1] / panel.picture.shape[1]
        figure.add_artist(Rectangle(
            ((left + x * scale) / size[0], (top - LINE - (y + h) * scale) / size[1]), w * scale / size[0],
            h * scale / size[1], fill=False, edgecolor=RED, linewidth=1.2))
        enlarged = panel.picture[y : y + h, x : x + w].repeat(plan.factor, 0).repeat(plan.factor, 1)
        figure.figimage(enlarged, left + (plan.cell[1] - enlarged.shape[1]) // 2, top - under - enlarged.shape[0])
        under += enlarged.shape[0]
    write(panel.text, under + 2)


def _fitted(picture: Picture, cell: tuple[int, int]) -> Picture:
    """A picture as large as its place allows."""
    height, width = picture.shape[:2]
    if (factor := min(cell[0] // height, cell[1] // width)) >= 1:
        return picture.repeat(factor, 0).repeat(factor, 1)
    scale = min(cell[0] / height, cell[1] / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
