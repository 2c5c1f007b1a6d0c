"""Figure 5: where the deformable kernel of AECR-Net reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

TAPS = np.stack(np.meshgrid((-1, 0, 1), (-1, 0, 1), indexing="ij"), -1).reshape(9, 2)
"""Regular 3x3 kernel: (y, x) in feature pixels."""

COLOURS = ("#e0301e", "#0072b2", "#e69f00")
"""One a position."""

ROOM, LEAST = 1.35, 14.0
"""Shown around a kernel: of what it spans, and at least so many picture pixels to each side, so that one sees where."""


def deformable_offsets(photo_HW3: NDArray[np.uint8], predicted: Sequence[NDArray[np.float32]], stride: int = 4,
                       count: int = 3) -> Figure:
    """For each application of the layer the picture with edges at which its kernel moves most, and these enlarged.

    Args:
        photo_HW3: the picture.
        predicted: for each application its 27hw prediction: 18 offsets (dy, dx, in feature pixels), 9 mask logits.
        stride: picture pixels per feature pixel.
        count: positions that are shown.
    """
    width = photo_HW3.shape[1] / photo_HW3.shape[0]
    figure = Figure(figsize=(14, 14 / (width + count) * len(predicted) + 0.5 * len(predicted)), layout="constrained")
    grid = figure.subplots(len(predicted), 1 + count, squeeze=False, width_ratios=[width, *[1] * count])
    for number, (line, raw) in enumerate(zip(grid, predicted, strict=True), 1):
        points = moved_most(raw, edges(photo_HW3, raw.shape[1:], stride), count)
        line[0].imshow(photo_HW3, interpolation="antialiased")
        largest = np.linalg.norm(_offsets(raw), axis=1).max() * stride
        line[0].set_title(f"application {number}: a tap moves by up to {largest:.1f} pixels", fontsize=10)
        for axes, (y, x), colour in zip(line[1:], points, COLOURS, strict=False):
            regular = (np.array([y, x]) + TAPS + 0.5) * stride - 0.5  # centres of feature pixels
            moved = regular + _offsets(raw)[:, :, y, x] * stride
            _kernel(axes, photo_HW3, regular, moved, 1 / (1 + np.exp(-raw[18:, y, x])), colour)
            (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
            line[0].add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour,
                                        linewidth=2))
        for axes in line:
            axes.set_axis_off()
    return figure


def edges(photo_HW3: NDArray[np.uint8], size: tuple[int, ...], stride: int) -> NDArray[np.float64]:
    """How much of an edge there is at each feature pixel, hw: in a flat sky it does not matter where a kernel reads."""
    height, width = (side * stride for side in size)
    grey = photo_HW3[:height, :width].mean(2)
    grey = np.pad(grey, [(0, height - grey.shape[0]), (0, width - grey.shape[1])], mode="edge")
    steps = np.hypot(*np.gradient(grey)).reshape(size[0], stride, size[1], stride)
    return np.asarray(steps.mean((1, 3)))


def moved_most(raw: NDArray[np.float32], edges_hw: NDArray[np.float64], count: int) -> list[tuple[int, int]]:
    """Positions (y, x) in feature pixels with the largest mean offset times edge, apart from each other and from the
    border.

    Args:
        raw: one prediction, 27hw.
    """
    mean = np.linalg.norm(_offsets(raw), axis=1).mean(0) * edges_hw
    height, width = mean.shape
    margin, apart = min(height, width) // 10, min(height, width) // 4
    inner = np.full_like(mean, -1.0)
    inside = np.s_[margin : height - margin, margin : width - margin]
    inner[inside] = mean[inside]
    rows, columns = np.indices(mean.shape)
    found = []
    for _ in range(count):
        y, x = (int(i) for i in np.unravel_index(int(inner.argmax()), inner.shape))
        if inner[y, x] < 0:
            break
        found.append((y, x))
        inner[(np.abs(rows - y) < apart) & (np.abs(columns - x) < apart)] = -1.0
    return found


def _offsets(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Offset (dy, dx) of each tap, 9 2 h w."""
    return raw[:18].reshape(9, 2, *raw.shape[1:])


def _kernel(axes: Axes, photo_HW3: NDArray[np.uint8], regular: NDArray[np.float64], moved: NDArray[np.float64],
            mask: NDArray[np.float64], colour: str) -> None:
    """The regular taps as white rings, and a line from each to where it reads, its dot as large as its mask."""
    both = np.concatenate((regular, moved))
    centre = (both.min(0) + both.max(0)) / 2
    radius = max(ROOM * float(np.ptp(both, axis=0).max()) / 2, LEAST)
    axes.imshow(photo_HW3, interpolation="nearest")
    for (y, x), (to_y, to_x), weight in zip(regular, moved, mask, strict=True):
        axes.plot([x, to_x], [y, to_y], color=colour, linewidth=1.8)
        axes.scatter(to_x, to_y, s=20 + 120 * weight, c=colour, edgecolors="black", linewidths=0.6, zorder=3)
    axes.scatter(regular[:, 1], regular[:, 0], s=60, facecolors="none", edgecolors="white", linewidths=1.6, zorder=4)
    axes.set_xlim(centre[1] - radius, centre[1] + radius)
    axes.set_ylim(centre[0] + radius, centre[0] - radius)
