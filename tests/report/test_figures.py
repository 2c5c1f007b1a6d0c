"""The figures: every column of a comparison says whose it is, and equal figures are equal files."""

from __future__ import annotations

import importlib
import io
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from reprolib.report import figures
from reprolib.report.comparison import Panel, comparison, layout, place
from reprolib.report.figures import LIMIT, mixup_factors, save
from reprolib.report.offsets import deformable_offsets, edges, moved_most
from reprolib.report.slider import LIMIT as SLIDER_LIMIT
from reprolib.report.slider import slider


def noise(height: int = 48, width: int = 72, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def grid(count: int = 3) -> list[list[Panel]]:
    return [[Panel(f"system {i}", noise(seed=i), f"{i} dB") for i in range(count)] for _ in range(2)]


def pixels(figure: Figure) -> np.ndarray:
    """As drawn, RGB, at the figure's own resolution."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=figure.dpi)
    return np.asarray(Image.open(stream).convert("RGB"))


def holds(whole: np.ndarray, part: np.ndarray) -> bool:
    """Whether a picture stands in another, value by value."""
    return any(np.array_equal(whole[y : y + part.shape[0], x : x + part.shape[1]], part)
               for y, x in np.argwhere((whole == part[0, 0]).all(2)))


def test_every_picture_has_its_label_and_its_scores() -> None:
    texts = [text.get_text() for text in comparison(grid()).texts]
    assert texts == [word for i in range(3) for word in (f"system {i}", f"{i} dB")] * 2


def test_details_are_the_pictures_own_values() -> None:
    """Enlarged by a whole factor, from the same place of every picture, whatever colour space or filter is usual."""
    row = grid()[0]
    plan = layout(row)
    y, x = place(row, plan)
    drawn = pixels(comparison([row]))
    for panel in row:
        crop = panel.picture[y : y + plan.detail[0], x : x + plan.detail[1]]
        assert holds(drawn, crop.repeat(plan.factor, 0).repeat(plan.factor, 1))


def test_the_detail_is_where_there_is_something_to_see() -> None:
    truth = np.full((200, 300, 3), 128, np.uint8)
    truth[120:160, 180:240] = np.kron(noise(5, 8), np.ones((8, 8, 1), np.uint8))[:, :60]
    row = [Panel("hazy", noise(200, 300)), Panel("clear", truth)]
    plan = layout(row)
    y, x = place(row, plan)
    assert y <= 140 <= y + plan.detail[0] and x <= 210 <= x + plan.detail[1]
    loose = [Panel("input", truth), Panel("a real target picture", noise(90, 90), aligned=False)]
    assert place(loose, plan) == (y, x), "a picture of another scene does not choose"
    assert len(comparison([loose]).patches) == 0 and sum(isinstance(a, Rectangle) for a in comparison(
        [loose]).artists) == 1


@pytest.mark.parametrize(("count", "size"), [(1, (3, 4)), (2, (2000, 3000)), (11, (480, 320)), (7, (128, 128))])
def test_kind_32_pictures_of_any_number_and_size_fit(count: int, size: tuple[int, int]) -> None:
    row = [Panel("x", noise(*size))] * count
    width, height = comparison([row]).get_size_inches() * 100
    assert width <= 1400
    lines = -(-count // 6)
    assert height == pytest.approx(layout(row).height * lines, abs=20)


def test_figures_stay_small(tmp_path: Path) -> None:
    """Noise is the worst that can come."""
    save(comparison([[Panel("x", noise(300, 400))] * 10]), tmp_path / "a.jpg")
    assert (tmp_path / "a.jpg").stat().st_size <= LIMIT
    assert len(slider({"a": noise(480, 640), "b": noise(480, 640)})) < 2 * 1.34 * SLIDER_LIMIT + 2000


def test_kernels_are_shown_where_they_move_most_among_edges() -> None:
    raw = np.zeros((27, 40, 60), np.float32)
    raw[:18, 10, 15], raw[:18, 30, 45], raw[:18, 20, 30] = 2.0, 1.0, 9.0
    photo = np.full((160, 240, 3), 128, np.uint8)
    photo[40:44, 58:66:2] = photo[120:124, 178:186:2] = 255
    found = moved_most(raw, edges(photo, raw.shape[1:], 4), 2)
    assert found == [(10, 15), (30, 45)], "nothing is to be seen at (20, 30)"
    assert [len(f.axes) for f in (deformable_offsets(photo, [raw, raw], count=2),)] == [6]


def test_factors_of_any_length_of_training(tmp_path: Path) -> None:
    for steps in (1, 500):
        log = pd.DataFrame({"step": range(1, steps + 1), "mix1": 0.269, "mix2": np.linspace(0.354, 0.36, steps)})
        assert "to 0.36" in mixup_factors(log).axes[1].get_title() or steps == 1
        save(mixup_factors(log), tmp_path / "4.png")
        assert (tmp_path / "4.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    shown = [save(comparison(grid()), tmp_path / name) for name in ("a.jpg", "b.jpg")]
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
    assert shown[0].data == shown[1].data == (tmp_path / "a.jpg").read_bytes() and shown[0].data[:2] == b"\xff\xd8"


def test_kind_47_figures_do_not_read_a_persons_settings(tmp_path: Path) -> None:
    """`text.usetex: True` in a matplotlibrc, where there is no LaTeX; settings are read when the library is loaded."""
    save(comparison(grid()), tmp_path / "plain.png")
    try:
        with matplotlib.rc_context({"text.usetex": True, "font.size": 30, "svg.hashsalt": "mine"}):
            importlib.reload(figures)
            figures.save(comparison(grid()), tmp_path / "theirs.png")
    finally:
        importlib.reload(figures)
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "theirs.png").read_bytes()


def test_the_executed_notebooks_show_their_figures(project: Path) -> None:
    """Whatever is kept in results/ beside a figure of its name."""
    results = project / "results"
    drawn = [path for path in results.glob("*/notebooks/*.ipynb")
             if any((path.parent.parent / "figures").glob(f"{path.stem}.*"))]
    for path in (*drawn, *results.glob("bench/*.ipynb")):
        assert '"image/jpeg"' in path.read_text() or '"image/png"' in path.read_text(), path
