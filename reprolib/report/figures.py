"""Figures as files: bytes that depend on the figure alone, and few of them."""

from __future__ import annotations

import io
import math
from pathlib import Path

import matplotlib
import pandas as pd
import PIL.Image
from IPython.display import Image
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from reprolib.files import write_atomically

LIMIT = 600_000
"""Bytes of a figure: a notebook repeats them in text, which takes a third more, and opens at once."""

QUALITIES = (92, 88, 84, 78, 70)
"""Of a JPEG: the first one within the limit is taken. Colours keep their full resolution."""

matplotlib.rcdefaults()  # figures look the same whatever stands in a person's matplotlibrc
matplotlib.rcParams["svg.hashsalt"] = "reprolib"


def save(figure: Figure, path: Path) -> Image:
    """Write a figure as a PNG or, if it holds photos, as a JPEG (.jpg); returns it for a notebook.

    The bytes depend on the figure alone: no date, no version.
    """
    content = _encoded(figure, path.suffix)
    write_atomically(path, lambda stream: stream.write(content))
    return _displayed(content, path.suffix)


def show(figure: Figure, suffix: str = ".png") -> Image:
    """A figure as a notebook displays it, which it does not by itself; `suffix` as of `save`."""
    return _displayed(_encoded(figure, suffix), suffix)


def _encoded(figure: Figure, suffix: str) -> bytes:
    assert suffix in (".png", ".jpg"), suffix
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100, metadata={"Software": None})
    if suffix == ".png":
        return stream.getvalue()
    with PIL.Image.open(stream) as picture:
        return small_jpeg(picture.convert("RGB"), LIMIT)


def small_jpeg(picture: PIL.Image.Image, limit: int) -> bytes:
    """A JPEG of at most so many bytes; of half the size where none of `QUALITIES` gives that."""
    for quality in QUALITIES:
        stream = io.BytesIO()
        picture.save(stream, format="JPEG", quality=quality, subsampling=0)
        if stream.tell() <= limit or max(picture.size) == 1:
            return stream.getvalue()
    return small_jpeg(picture.reduce(2), limit)


def _displayed(content: bytes, suffix: str) -> Image:
    return Image(content, format="jpeg" if suffix == ".jpg" else "png")


MIXUPS = {"mix1": ("1/4", -1.0), "mix2": ("1/2", -0.6)}
"""Column of the log: resolution at which it mixes, and the scalar that training starts from (AECR-Net's code)."""

FEW = 40
"""Steps of a log up to which each is marked."""


def mixup_factors(log: pd.DataFrame) -> Figure:
    """Figure 4: what the adaptive mixups learn, each over the whole training in a range of its own.

    Args:
        log: with columns step, mix1, mix2 (sigma of the learned scalars, 0..1).
    """
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    figure.suptitle(r"$f_{\uparrow}=\sigma(\theta)\,f_{\downarrow}+(1-\sigma(\theta))\,f_{\uparrow}$", fontsize=12)
    for axes, (name, (resolution, scalar)), colour in zip(figure.subplots(1, 2), MIXUPS.items(), ("C0", "C1"),
                                                          strict=True):
        start, end = 1 / (1 + math.exp(-scalar)), float(log[name].iloc[-1])
        axes.axhline(start, color="grey", linestyle=":", linewidth=1.2)
        axes.plot(log["step"], log[name], color=colour, marker="o" if len(log) <= FEW else "", markersize=3)
        axes.plot(log["step"].iloc[-1], end, "o", color=colour)
        axes.set_title(f"at {resolution} resolution: from {start:.3f} (dotted) to {end:.3f}", fontsize=10)
        axes.set(xlabel="step", ylabel=r"$\sigma(\theta)$: share of the encoder")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.margins(y=0.15)
        axes.grid(alpha=0.3)
    return figure
