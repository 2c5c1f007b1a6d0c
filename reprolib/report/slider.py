"""A drag-to-compare slider of pictures as one HTML fragment: no network, no script, no library.

JupyterLab drops scripts from notebooks it does not trust, so the handle is the browser's own: a box with
`resize: horizontal` in front of the next picture. Where even styles are dropped, all pictures remain visible.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape

import numpy as np
from PIL import Image

from reprolib.report.figures import small_jpeg

LIMIT = 150_000
"""Bytes of a picture."""


def slider(pictures: Mapping[str, np.ndarray], width: int = 640) -> str:
    """HTML in which every picture but the last can be dragged open from its right edge over the next.

    Args:
        pictures: label to uint8 HW3, of one size; the first lies on top.
        width: shown width in pixels.
    """
    items = list(pictures.items())
    height = round(width * items[0][1].shape[0] / items[0][1].shape[1])
    box = f"position:relative;width:{width}px;height:{height}px;overflow:hidden;line-height:0"
    last, below = items[-1]
    layers = [f'<img src="{_inline(below, width)}" width="{width}" height="{height}" alt="{escape(last)}">']
    for depth, (label, picture) in enumerate(reversed(items[:-1]), start=1):
        start = round(width * (len(items) - depth - 0.0) / len(items))
        layers.append(
            f'<div style="position:absolute;top:0;left:0;width:{start}px;max-width:{width}px;height:{height}px;'
            f'overflow:hidden;resize:horizontal;border-right:3px solid white">'
            f'<img src="{_inline(picture, width)}" width="{width}" height="{height}" alt="{escape(label)}" '
            f'style="max-width:none"></div>'
        )
    names = " &nbsp;|&nbsp; ".join(escape(label) for label, _ in items)
    return (f'<div style="{box}">{"".join(layers)}</div>'
            f"<p>{names} &mdash; drag the lower right corner of each part to compare</p>")


def _inline(picture_HW3: np.ndarray, width: int) -> str:
    """A JPEG no larger than it is shown on a screen of two pixels a point."""
    picture = Image.fromarray(picture_HW3)
    if picture.width > 2 * width:
        picture = picture.resize((2 * width, round(picture.height * 2 * width / picture.width)),
                                 Image.Resampling.LANCZOS)
    return "data:image/jpeg;base64," + base64.b64encode(small_jpeg(picture, LIMIT)).decode()
