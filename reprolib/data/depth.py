"""Integers of any depth as 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reprolib.errors import UserError


def to_eight(values: np.ndarray, largest: int) -> np.ndarray:
    """Integers of 0 .. `largest` to 0 .. 255, rounded to the nearest; uint8 of the same shape."""
    assert 0 < largest < 2**32, largest
    return ((values.astype(np.int64) * 510 + largest) // (2 * largest)).astype(np.uint8)


def sixteen_to_eight(values: np.ndarray, path: Path) -> np.ndarray:
    """16 bits to 8, whatever the array's type; `path` is for the error.

    Raises:
        UserError: floats, whose white is not known, or numbers that need more than 16 bits.
    """
    if values.dtype.kind not in "iu":
        raise UserError("a picture of floating-point numbers, whose white is not known", where=path,
                        fix="save it with 8 or 16 bits a channel")
    low, high = values.min(), values.max()
    if low < 0 or high > 65535:
        raise UserError(f"a picture with values outside 16 bits ({low} to {high})", where=path,
                        fix="save it with 8 or 16 bits a channel")
    return to_eight(values, 65535)
