"""The simulation of many GPUs against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from devices.simulation import Cluster, Work, work

SENT = (5, 1000.0, 100.0)


def test_exchange_by_closed_form() -> None:
    cluster = Cluster(inside=10.0, between=2.0, latency=(0.5, 3.0))
    assert cluster.exchange(8, *SENT) == pytest.approx((2 * 7 / 8 * 1000 + 7 * 100) / 10 + 5 * 0.5)
    assert cluster.exchange(64, *SENT) == pytest.approx((2 * 63 / 64 * 1000 + 63 * 100) / 2 + 5 * 3)


def test_a_step_waits_for_the_slowest() -> None:
    """Two of three steps take 1, one takes 2: the expected maximum of W is 2 - (2/3)^W."""
    system, cluster = Work(10.0, 1.0, np.array([1.0, 1.0, 2.0])), Cluster(flops=10.0, latency=(0.0, 0.0))
    assert system.step(cluster, 1, 3, (0, 0.0, 0.0)) == pytest.approx((2 - 2 / 3) * 4, rel=0.03)
    assert system.step(cluster, 4, 4, (0, 0.0, 0.0)) == pytest.approx((2 - (2 / 3) ** 4) * 2, rel=0.03)
    calm = Work(10.0, 0.0, np.ones(1))
    assert calm.step(Cluster(flops=10.0, hiccups=0.5), 1, 1, SENT) == pytest.approx(1.5, rel=0.03)


def test_what_a_step_costs_beside_its_pictures() -> None:
    rows = [{"processes": 1, "batch": b, "step": 3.0 + 2 * b, "seconds": [3.0 + 2 * b]} for b in (2, 4, 8)]
    found = work([*rows, {"processes": 2, "batch": 8, "step": 99.0, "seconds": [99.0]}], 7.0)
    assert found.beside == pytest.approx(1.5) and found.scatter.tolist() == [1.0, 1.0, 1.0] and found.flops == 7.0
