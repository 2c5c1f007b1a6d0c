"""A drag-to-compare slider of pictures as one HTML fragment: no network, no script, no library.

JupyterLab drops scripts from notebooks it does not trust, so the handle is the browser's own: a box with
`resize: horizontal` in front of the next picture. Where even styles are dropped, all pictures remain visible.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from reprolib.report.figures import small_jpeg

LIMIT = 150_000
"""Bytes of a picture."""

Pictures = Mapping[str, np.ndarray]
"""Label to uint8 HW3, all of one size."""


class Comparison:
    """Any two of several pictures over each other, as a notebook displays them.

    Where a kernel is live, menus choose the two; what an executed notebook keeps is a slider of the first picture, the
    last but one and the last, or a sentence instead.
    """

    def __init__(self, pictures: Pictures, width: int = 640, instead: str = "") -> None:
        """Args: as `slider`; at least two pictures. `instead`: HTML that is kept in place of pictures."""
        self.pictures, self.width, self.instead = dict(pictures), width, instead

    def show(self, *labels: str) -> str:
        """The slider of some of the pictures."""
        return slider({label: self.pictures[label] for label in labels}, self.width)

    def menus(self) -> Any:
        """A widget of two menus and the slider of what they say."""
        import ipywidgets

        names = list(self.pictures)
        left, right = (ipywidgets.Dropdown(options=names, value=value, description=side)
                       for side, value in (("left", names[0]), ("right", names[-2])))
        box = ipywidgets.HTML()

        def draw(_: object = None) -> None:
            box.value = self.show(*dict.fromkeys((left.value, right.value)))

        for menu in (left, right):
            menu.observe(draw, names="value")
        draw()
        return ipywidgets.VBox([ipywidgets.HBox([left, right]), box])

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        """What Jupyter asks for: of the kinds that it is given it draws the widget, if the kernel is there."""
        kept = self.instead or self.show(*dict.fromkeys([next(iter(self.pictures)), *list(self.pictures)[-2:]]))
        return {**self.menus()._repr_mimebundle_(), "text/html": kept}


def slider(pictures: Pictures, width: int = 640) -> str:
    """HTML in which every picture but the last can be dragged open from its right edge over the next.

    Args:
        pictures: the first lies on top.
        width: shown width in pixels, less where the window is narrower.
    """
    items = list(pictures.items())
    rows, columns = items[0][1].shape[:2]
    size = f'width="{width}" height="{round(width * rows / columns)}"'
    whole = "width:100cqw;max-width:none;height:auto"  # of the box, however far a part of it is dragged open
    box = (f"position:relative;max-width:{width}px;aspect-ratio:{columns}/{rows};overflow:hidden;line-height:0;"
           "container-type:inline-size")
    layers = [f'<img src="{_inline(items[-1][1], width)}" {size} alt="{escape(items[-1][0])}" style="{whole}">']
    for depth, (label, picture) in enumerate(reversed(items[:-1]), start=1):
        layers.append(
            f'<div style="position:absolute;top:0;left:0;width:{100 * (len(items) - depth) / len(items):.1f}%;'
            f'max-width:100%;height:100%;overflow:hidden;resize:horizontal;border-right:3px solid white">'
            f'<img src="{_inline(picture, width)}" {size} alt="{escape(label)}" style="{whole}"></div>')
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
