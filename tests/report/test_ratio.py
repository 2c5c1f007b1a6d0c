"""The ratio taken apart is the loss's own: by hand on features that are the picture itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from torch import Tensor, nn

from reprolib.contrast.losses import LAYER_WEIGHTS
from reprolib.report import ratio


class Plain(nn.Module):
    def forward(self, x_B3HW: Tensor) -> list[Tensor]:
        return [x_B3HW] * len(LAYER_WEIGHTS)


def test_distances_and_their_ratio_by_hand() -> None:
    def grey(level: int) -> np.ndarray:
        return np.full((8, 8, 3), level, np.uint8)

    frame = ratio.of_pictures({"far": grey(153), "near": grey(51), "clear": grey(0)}, grey(0), grey(204), Plain())
    whole = sum(LAYER_WEIGHTS)
    assert frame["to the clear one"].tolist() == pytest.approx([0.6 * whole, 0.2 * whole, 0.0])
    assert frame["to the hazy one"].tolist() == pytest.approx([0.2 * whole, 0.6 * whole, 0.8 * whole])
    assert frame["CR"].tolist() == pytest.approx([3 * whole, whole / 3, 0.0], rel=1e-5)


def test_a_term_that_never_joined_has_no_curve() -> None:
    assert ratio.curve(pd.DataFrame({"step": [1], "loss": [0.5]})) is None
    log = pd.DataFrame({"step": [1, 2], "cr_numerator": [np.nan, 0.2], "cr_denominator": [np.nan, 0.4]})
    figure = ratio.curve(log)
    assert figure is not None and figure.axes[0].lines[0].get_xdata().tolist() == [2]
