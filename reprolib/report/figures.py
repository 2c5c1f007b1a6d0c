"""The papers' figures, drawn from logs, pictures and checkpoints."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import PIL.Image
from IPython.display import Image
from matplotlib.figure import Figure

from reprolib.files import write_atomically

GridRow = tuple[str, list[tuple[str, np.ndarray, str]]]
"""A picture's name, and for each column its label, the uint8 HW3 picture and a line to print under it."""

matplotlib.rcdefaults()  # figures look the same whatever stands in a person's matplotlibrc
matplotlib.rcParams["svg.hashsalt"] = "reprolib"


def save(figure: Figure, path: Path) -> Image:
    """Write a PNG whose bytes depend on the figure alone (no date, no version); returns it for a notebook."""
    png = _draw(figure)
    write_atomically(path, lambda stream: stream.write(png))
    return _displayed(png)


def show(figure: Figure) -> Image:
    """A figure as a notebook displays it, which it does not by itself."""
    return _displayed(_draw(figure))


def _draw(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()


def _displayed(png: bytes) -> Image:
    """A JPEG of three quarters the size: a grid's PNG has 4 MB. Drawing it again would take seconds."""
    stream = io.BytesIO()
    with PIL.Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").resize((picture.width * 3 // 4, picture.height * 3 // 4)).save(
            stream, format="jpeg", quality=88)
    return Image(stream.getvalue(), format="jpeg")


def mixup_factors(logs: dict[str, pd.DataFrame]) -> Figure:
    """Figure 4: what the adaptive mixups learn.

    Args:
        logs: label to training log with columns step, mix1, mix2 (sigma of the learned scalars, 0..1).
    """
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    for label, log in logs.items():
        for name, resolution, style in (("mix1", "1/4", "-"), ("mix2", "1/2", "--")):
            axes.plot(log["step"], log[name], style, label=f"{label}: {name}, {resolution} resolution")
    axes.set(xlabel="step", ylabel=r"$\sigma(\theta)$: share of the encoder")
    axes.set_title(r"$f_{\uparrow}=\sigma(\theta)\,f_{\downarrow}+(1-\sigma(\theta))\,f_{\uparrow}$")
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def deformable_offsets(photo_HW3: np.ndarray, predicted: Sequence[np.ndarray], stride: int = 4,
                       points: Sequence[tuple[float, float]] = ((0.3, 0.25), (0.55, 0.5), (0.75, 0.75))) -> Figure:
    """Figure 5: where the deformable kernel reads.

    Args:
        photo_HW3: the picture, uint8.
        predicted: for each application of the layer, its 27, h, w prediction (18 offsets dy, dx in feature pixels,
            then 9 mask logits).
        stride: picture pixels per feature pixel.
        points: relative positions (y, x) that are shown.
    """
    figure = Figure(figsize=(6 * len(predicted), 4.2), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(predicted)))
    for number, (axes, raw) in enumerate(zip(panels, predicted, strict=True), 1):
        axes.imshow(photo_HW3)
        for y_share, x_share in points:
            y, x = int(y_share * raw.shape[1]), int(x_share * raw.shape[2])
            taps = np.stack(np.meshgrid((-1, 0, 1), (-1, 0, 1), indexing="ij"), -1).reshape(9, 2)
            offsets = raw[:18, y, x].reshape(9, 2)
            weight = 1 / (1 + np.exp(-raw[18:, y, x]))
            regular, moved = ((np.array([y, x]) + taps + o + 0.5) * stride for o in (0, offsets))
            axes.scatter(regular[:, 1], regular[:, 0], s=10, facecolors="none", edgecolors="white", linewidths=0.8)
            axes.scatter(moved[:, 1], moved[:, 0], s=16 * weight, c="tab:red")
            for a, b in zip(regular, moved, strict=True):
                axes.plot([a[1], b[1]], [a[0], b[0]], color="tab:red", linewidth=0.6)
        axes.set_title(f"application {number}: largest offset {np.abs(raw[:18]).max():.2f} feature pixels")
        axes.axis("off")
    return figure


def comparison_grid(rows: Sequence[GridRow]) -> Figure:
    """Figures 7 and 8: one row a picture, one column a system."""
    columns = len(rows[0][1])
    figure = Figure(figsize=(2.9 * columns, 2.25 * len(rows) + 0.3), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for number, (line, (_, cells)) in enumerate(zip(grid, rows, strict=True)):
        for axes, (label, picture, text) in zip(line, cells, strict=True):
            axes.imshow(picture)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_xlabel(text, fontsize=8)
            if number == 0:
                axes.set_title(label, fontsize=9)
    return figure
