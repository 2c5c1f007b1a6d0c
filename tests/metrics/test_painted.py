"""Label maps that were made of photos, held against the true ones: values that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from reprolib.data.labels import CLASSES, VOID, encode
from reprolib.errors import UserError
from reprolib.metrics.classacc import classacc
from reprolib.metrics.miou import miou
from reprolib.metrics.painted import confusion_of_maps, nearest_class
from reprolib.metrics.pixacc import pixacc

ROAD, SKY, CAR = (CLASSES.index(name) for name in ("road", "sky", "car"))


def painted(*rows: list[int]) -> np.ndarray:
    return encode(np.array(rows, np.uint8))


def test_kind_33_scores_of_maps_counted_by_hand() -> None:
    """Of four road pixels one is taken for sky, both of sky are right, of two cars one is road; void is left out."""
    truth = painted([ROAD, ROAD, ROAD, ROAD, SKY], [SKY, CAR, CAR, VOID, VOID])
    made = painted([ROAD, ROAD, ROAD, SKY, SKY], [SKY, CAR, ROAD, CAR, SKY])
    found = confusion_of_maps([made], [truth])
    assert pixacc(found) == pytest.approx(100 * 6 / 8)
    assert classacc(found) == pytest.approx(100 * np.mean([3 / 4, 2 / 2, 1 / 2]))
    assert miou(found) == pytest.approx(100 * np.mean([3 / 5, 2 / 3, 1 / 2]))
    assert found.void == 2 and found.ambiguous == 0
    assert miou(confusion_of_maps([truth], [truth])) == 100


def test_kind_33_a_colour_between_two_is_the_nearer_class() -> None:
    """Networks paint no exact colours; black, which is void in a true map, is some class in a made one."""
    random = np.random.default_rng(0)
    label = random.integers(0, len(CLASSES), (16, 24)).astype(np.uint8)
    noisy = np.clip(encode(label).astype(int) + random.integers(-3, 4, (16, 24, 3)), 0, 255).astype(np.uint8)
    assert np.array_equal(nearest_class(noisy), label)
    assert nearest_class(np.zeros((1, 1, 3), np.uint8)) == CLASSES.index("truck"), "(0, 0, 70) is nearest"


def test_maps_that_do_not_belong_together() -> None:
    one, two = painted([ROAD, SKY]), painted([ROAD])
    with pytest.raises(UserError, match="give one truth a map"):
        confusion_of_maps([one], [])
    with pytest.raises(UserError, match="against a prediction of"):
        confusion_of_maps([one], [two])
