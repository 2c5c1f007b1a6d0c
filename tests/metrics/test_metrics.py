"""What is true of every metric, and the closed form of CIEDE2000."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from reprolib import metrics, papers
from reprolib.data.labels import CLASSES
from reprolib.errors import UserError
from reprolib.metrics import Metric
from reprolib.metrics.ciede2000 import ciede2000
from reprolib.metrics.protocols import PROTOCOLS, measure
from reprolib.metrics.segmentation import Confusion

BETTER = {"higher": 1, "lower": -1}


@pytest.mark.parametrize("name", metrics.names())
def test_says_what_a_table_needs(name: str) -> None:
    metric: Metric = metrics.get(name)
    low, high = metric.range
    assert metric.label and metric.better in BETTER and low < high and metric.decimals >= 0
    if metric.stands_for:
        printed: Metric = metrics.get(metric.stands_for)
        assert (printed.of, printed.better, printed.unit) == (metric.of, metric.better, metric.unit)
        assert printed.label != metric.label, "a table says which was measured"


def test_every_metric_that_a_table_names_is_one() -> None:
    for _, table in papers.tables():
        assert set(table.metrics) <= set(metrics.names())


def test_a_typing_error_names_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown metric 'ciede200'.*did you mean 'ciede2000'"):
        metrics.get("ciede200")
    with pytest.raises(UserError, match="'fid' is a metric of sets, not of pictures: choose of .*psnr"):
        metrics.of_pictures(["psnr", "fid"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", metrics.names("pictures"))
def test_more_noise_is_worse(name: str, protocol: str) -> None:
    random = np.random.default_rng(0)
    clear = random.uniform(0.3, 0.7, (24, 30, 3))
    noise = random.uniform(-1, 1, clear.shape)
    values = [BETTER[metrics.get(name).better] * measure(clear + amount * noise, clear, protocol, [name])[name]
              for amount in (0.02, 0.08, 0.25)]
    assert values[0] > values[1] > values[2]
    low, high = metrics.get(name).range
    assert all(low <= abs(v) <= high for v in values)


@pytest.mark.parametrize("name", metrics.names("labels"))
def test_more_wrong_labels_are_worse(name: str) -> None:
    truth = np.arange(100, dtype=np.uint8).reshape(10, 10) % len(CLASSES)
    values = []
    for wrong in (0, 3, 8):
        predicted = truth.copy()
        predicted[:wrong] = (predicted[:wrong] + 1) % len(CLASSES)
        confusion = Confusion()
        confusion.add(truth, predicted)
        values.append(metrics.get(name).function(confusion))
    assert values[0] == 100 > values[1] > values[2]


def test_ciede2000_of_greys() -> None:
    """Without colour the formula is |dL| / (1 + 0.015 (L - 50)^2 / sqrt(20 + (L - 50)^2)), L the mean lightness."""
    def lightness(grey: float) -> float:
        linear = ((grey + 0.055) / 1.055) ** 2.4
        return 116 * math.cbrt(linear) - 16

    dark, bright = lightness(0.4), lightness(0.6)
    mean = (dark + bright) / 2
    weight = 1 + 0.015 * (mean - 50) ** 2 / math.sqrt(20 + (mean - 50) ** 2)
    a, b = np.full((4, 4, 3), 0.4), np.full((4, 4, 3), 0.6)
    assert ciede2000(a, b) == pytest.approx((bright - dark) / weight, rel=1e-3)
    assert ciede2000(a, a) == 0
    a[:2] = b[:2]  # a mean over pixels
    assert ciede2000(a, b) == pytest.approx((bright - dark) / weight / 2, rel=1e-3)


def test_listing_metrics_loads_no_library_that_takes_long() -> None:
    code = ("import sys; from reprolib import metrics; [metrics.get(n) for n in metrics.names()]; "
            "print(sorted({'torch', 'torch_fidelity', 'scipy'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
