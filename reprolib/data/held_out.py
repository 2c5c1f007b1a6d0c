"""Which pictures validate where nobody has said so."""

from __future__ import annotations

VAL_EVERY, VAL_MOST = 20, 32
"""One in so many training pictures, and at most so many."""


def held_out_of(n: int) -> set[int]:
    """Which of n >= 2 training pictures are for validation: evenly spaced, `VAL_EVERY` apart, at most `VAL_MOST`."""
    count = min(max(1, n // VAL_EVERY), VAL_MOST)
    return {(2 * i + 1) * n // (2 * count) for i in range(count)}
