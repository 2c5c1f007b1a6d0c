"""The ratio of contrastive regularisation taken apart: how far a picture is pulled to the clear one, and pushed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from reprolib.contrast.losses import ContrastiveRegularisation


@torch.inference_mode()
def of_pictures(restored: Mapping[str, np.ndarray], clear_HW3: np.ndarray, hazy_HW3: np.ndarray,
                features: nn.Module) -> pd.DataFrame:
    """One row a picture: distances to the clear and to the hazy one, and the term that training minimises.

    Distances are summed over layers with the paper's weights; the term is the sum of the layers' ratios, not the ratio
    of these sums.

    Args:
        restored: label to uint8 HW3, all of one size.
        features: as `ContrastiveRegularisation` takes it.
    """
    cr = ContrastiveRegularisation(features)
    clear_13HW, hazy_13HW = _tensor(clear_HW3), _tensor(hazy_HW3)
    rows = []
    for label, picture in restored.items():
        term, logs = cr(_tensor(picture), clear_13HW, hazy_13HW)
        rows.append({"picture": label, "to the clear one": float(logs["numerator"]),
                     "to the hazy one": float(logs["denominator"]), "CR": float(term)})
    return pd.DataFrame(rows)


def curve(log: pd.DataFrame) -> Figure | None:
    """Both distances over the training, from the step at which the term joined; None if it never did."""
    if "cr_denominator" not in log or log["cr_denominator"].isna().all():
        return None
    seen = log.dropna(subset=["cr_denominator"])
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(seen["step"], seen["cr_numerator"], label="pulled: distance to the clear picture")
    axes.plot(seen["step"], seen["cr_denominator"], label="pushed: distance to the hazy picture")
    axes.set(xlabel="step", ylabel="distance in features, weighted")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _tensor(picture_HW3: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(picture_HW3)).permute(2, 0, 1)[None].float() / 255
