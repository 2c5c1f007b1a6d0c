"""A part of a test split that stands for the whole where the whole would take hours."""

from __future__ import annotations

from pathlib import Path

from reprolib.data.paired import PairedFolder, open_split, scene
from reprolib.errors import UserError


def choose_pictures(dataset: str, limit: int, data_root: Path | None = None) -> PairedFolder:
    """At most `limit` test pairs, of as many scenes and strengths of haze as there can be.

    One of each scene comes first, the first version of the first one, the second of the second and so on; then one of
    each again, of the next strength.

    Raises:
        UserError: the dataset is not there, or a limit below 1.
    """
    if limit < 1:
        raise UserError(f"a limit of {limit} leaves no pictures", fix="give 1 or more")
    pairs = open_split(dataset, "test", root=data_root)
    scenes: dict[str, list[tuple[str, Path, Path]]] = {}
    for file in pairs.files:
        scenes.setdefault(scene(file[0]), []).append(file)
    rounds = range(max(map(len, scenes.values())))
    chosen = [versions[(number + turn) % len(versions)] for turn in rounds
              for number, versions in enumerate(scenes.values()) if turn < len(versions)]
    return PairedFolder(chosen[:limit], pairs.border)
