"""What PatchNCE learns: how similar one patch of the output is to every patch of the input, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from reprolib import models
from reprolib.evaluation.networks import load_network
from reprolib.models.inference import to_uint8


def load_with_heads(name: str, weights: Path) -> nn.Module:
    """A trained CUT, or a system of its kind, with its projection heads."""
    system = models.get(name)
    return load_network(system, weights, system.saved)


@torch.inference_mode()
def similarity_maps(network: nn.Module, source_HW3: np.ndarray,
                    point: tuple[float, float]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Cosine similarity of the query at `point` of the output to every position of the input.

    Args:
        network: CUT, with `generator.encode(x, taps)`, `heads` and `taps`.
        source_HW3: uint8; height and width multiples of 4.
        point: relative position (y, x) of the query.

    Returns:
        the output, uint8 HW3, and for each tap a map h, w in [-1, 1].
    """
    cut: Any = network
    x = torch.from_numpy(np.array(source_HW3)).permute(2, 0, 1)[None].float() / 127.5 - 1
    output = network(x)
    maps = []
    keys, queries = (cut.generator.encode(picture, cut.taps) for picture in (x, output))
    for head, key, query in zip(cut.heads, keys, queries, strict=True):
        height, width = key.shape[2:]
        y, z = (min(int(share * size), size - 1) for share, size in zip(point, (height, width), strict=True))
        key_NC = F.normalize(head(key[0].flatten(1).T), dim=1)
        query_C = F.normalize(head(query[0, :, y, z][None]), dim=1)[0]
        maps.append((key_NC @ query_C).view(height, width).numpy())
    return to_uint8((output[0].permute(1, 2, 0).numpy() + 1) / 2), maps


def similarity_figure(rows: list[tuple[np.ndarray, np.ndarray, list[np.ndarray], tuple[float, float]]],
                      taps: tuple[int, ...]) -> Figure:
    """One row a query: input, output with the query marked, and the map of each tap.

    Args:
        rows: input and output (uint8 HW3), maps and relative position (y, x) of each query.
    """
    figure = Figure(figsize=(1.9 * (2 + len(taps)), 2.0 * len(rows) + 0.3), layout="constrained")
    for line, (source, output, maps, (y, x)) in zip(figure.subplots(len(rows), 2 + len(taps), squeeze=False), rows,
                                                   strict=True):
        line[0].imshow(source)
        line[1].imshow(output)
        line[1].plot(x * output.shape[1], y * output.shape[0], "o", markersize=9, markerfacecolor="none",
                     markeredgecolor="red", markeredgewidth=2)
        for axes, values, tap in zip(line[2:], maps, taps, strict=True):
            axes.imshow(values, vmin=-1, vmax=1, cmap="coolwarm")
            if axes.get_subplotspec().is_first_row():
                axes.set_title(f"tap {tap}", fontsize=9)
        for axes in line:
            axes.set_xticks([])
            axes.set_yticks([])
    first = figure.axes[:2]
    first[0].set_title("input", fontsize=9)
    first[1].set_title("output, query", fontsize=9)
    return figure
