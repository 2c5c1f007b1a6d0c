"""Painted label maps: the palette, decoding by the nearest colour, and which pixels count as ambiguous."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing
import pytest

from reprolib.data.images import read_rgb
from reprolib.data.labels import CLASSES, FARTHEST, NEARLY, PALETTE, VOID, VOID_COLOURS, decode, encode


def image_of(*colours: np.typing.ArrayLike) -> np.ndarray:
    return np.array([colours]).round().astype(np.uint8)


def test_palette_is_that_of_cityscapes() -> None:
    assert len(CLASSES) == len(PALETTE) == 19 and PALETTE.dtype == np.uint8
    assert (CLASSES[0], CLASSES[8], CLASSES[13], CLASSES[18]) == ("road", "vegetation", "car", "bicycle")
    assert tuple(PALETTE[7]) == (220, 220, 0) and tuple(PALETTE[11]) == (220, 20, 60)
    colours = np.concatenate([PALETTE, VOID_COLOURS])
    assert len(np.unique(colours, axis=0)) == len(colours), "every colour has one meaning"


def test_what_was_painted_is_read_back_without_doubt() -> None:
    label = np.random.default_rng(0).choice([*range(19), VOID], (23, 37)).astype(np.uint8)
    again, ambiguous = decode(encode(label))
    assert np.array_equal(again, label) and again.dtype == np.uint8 and ambiguous == 0
    with pytest.raises(ValueError, match="19 is no trainId"):
        encode(np.array([[0, 19]]))


def test_void_colours_are_void() -> None:
    label, ambiguous = decode(VOID_COLOURS[None])
    assert (label == VOID).all() and ambiguous == 0


def test_nearest_colour_against_a_loop() -> None:
    image = np.random.default_rng(1).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    label, ambiguous = decode(image)
    known = [(tuple(map(int, colour)), i) for i, colour in enumerate(PALETTE)]
    known += [(tuple(map(int, colour)), VOID) for colour in VOID_COLOURS]
    counted = 0
    for pixel, found in zip(image.reshape(-1, 3), label.ravel(), strict=True):
        by_label: dict[int, float] = {}
        for colour, train_id in known:
            distance = sum((int(a) - b) ** 2 for a, b in zip(pixel, colour, strict=True)) ** 0.5
            by_label[train_id] = min(distance, by_label.get(train_id, np.inf))
        first, second = sorted(by_label.values())[:2]
        assert by_label[int(found)] == first
        counted += first > FARTHEST or first > NEARLY * second
    assert 0 < counted == ambiguous < image.size // 3


def test_which_pixels_are_ambiguous() -> None:
    bus, train = np.float64(PALETTE[15]), np.float64(PALETTE[16])  # 20 apart, the closest two
    for share, doubtful in ((0.0, 0), (0.3, 0), (0.5, 1)):
        label, ambiguous = decode(image_of(bus + share * (train - bus)))
        assert ambiguous == doubtful and (doubtful or label[0, 0] == 15)
    assert decode(image_of((255, 255, 255)))[1] == 1, "white is far from every colour"
    between_voids = (VOID_COLOURS[8] + 0.5 * (VOID_COLOURS[9] - np.float64(VOID_COLOURS[8]))).round()
    label, ambiguous = decode(image_of(between_voids))
    assert label[0, 0] == VOID and ambiguous == 0, "which void colour it is does not matter"


def test_real_label_maps(shared: Path) -> None:
    path = sorted((shared / "data" / "cityscapes" / "val").iterdir())[0]
    label, ambiguous = decode(read_rgb(path)[:, 256:])
    assert label.shape == (256, 256) and 0 < ambiguous < 0.15 * label.size
    assert np.bincount(label[128:].ravel(), minlength=256).argmax() == CLASSES.index("road")
