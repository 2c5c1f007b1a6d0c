"""Classes that do not occur: left out (drn), or counted as 0 (pix2pix's script), which is stated anew."""

from __future__ import annotations

import numpy as np
import pytest

from reprolib import metrics
from reprolib.metrics.segmentation import Confusion


def pix2pix(matrix: np.ndarray) -> tuple[float, ...]:
    """Mean IoU and class accuracy by the script's rule: a tiny number keeps 0 / 0 from being undefined."""
    right, truth, predicted = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    return tuple(100 * float(np.mean(right / (whole + 1e-12))) for whole in (truth + predicted - right, truth))


def counted(truth_classes: list[int], predicted_classes: list[int]) -> Confusion:
    random = np.random.default_rng(0)
    truth = random.choice(truth_classes, (40, 60)).astype(np.uint8)
    guess = random.choice(predicted_classes, (40, 60)).astype(np.uint8)
    known = np.isin(truth, predicted_classes) & (random.random(truth.shape) < 0.6)
    confusion = Confusion()
    confusion.add(truth, np.where(known, truth, guess))
    return confusion


ALL, FEWER = list(range(19)), list(range(16))


@pytest.mark.parametrize(("truth", "predicted"), [(ALL, ALL), (FEWER, FEWER), (FEWER, ALL), (ALL, FEWER)])
def test_both_rules(truth: list[int], predicted: list[int]) -> None:
    confusion = counted(truth, predicted)
    value = {name: metrics.get(name).function(confusion) for name in ("miou", "classacc", "miou_all", "classacc_all")}
    assert (value["miou_all"], value["classacc_all"]) == pytest.approx(pix2pix(confusion.matrix))
    absent = {"miou": 19 - len({*truth, *predicted}), "classacc": 19 - len(truth)}
    for name, missing in absent.items():
        assert value[f"{name}_all"] == pytest.approx(value[name] * (19 - missing) / 19)


def test_nothing_counted_is_no_number() -> None:
    assert all(np.isnan(metrics.get(name).function(Confusion())) for name in ("miou_all", "classacc_all"))


def test_tables_stay_with_drns_rule() -> None:
    assert not metrics.get("miou_all").everywhere and metrics.get("miou").everywhere
