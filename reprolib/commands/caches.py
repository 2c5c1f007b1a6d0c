"""Caches that cost time and nothing else: what is damaged is made again."""

from __future__ import annotations

import zipfile
from pathlib import Path

FEATURES = Path("runs") / "features"
"""Where `reprolib.metrics.distance` has a library keep features of pictures."""


def drop_damaged_features(folder: Path = FEATURES) -> None:
    """Remove files of features that a kill or a full disk has cut short; the library would fail on them."""
    from reprolib.progress import say

    for path in folder.glob("*.pt"):
        if not zipfile.is_zipfile(path):
            path.unlink(missing_ok=True)
            say(f"reprolib: {path} was damaged, and is computed again")
