"""Anybody's pictures against their truths, under every protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reprolib.data.images import list_images, read_rgb
from reprolib.data.paired import scene
from reprolib.errors import UserError, located
from reprolib.evaluation.dehazing import mean
from reprolib.evaluation.result import FolderScores
from reprolib.metrics import names, of_pictures
from reprolib.metrics.protocols import PROTOCOLS, measure
from reprolib.progress import track

SHOWN = 3
"""How many files an error names."""


def score(outputs: Path, truth: Path, metrics: Sequence[str] | None = None) -> FolderScores:
    """Means over pictures, by protocol and metric.

    Args:
        outputs: folder of restored pictures.
        truth: folder of clear ones; matched by `match`.
        metrics: names of metrics of pictures; by default all.

    Raises:
        UserError: pictures that do not match, differ in size or cannot be read; no metric of pictures.
    """
    chosen = names("pictures") if metrics is None else list(metrics)
    of_pictures(chosen)
    pairs = match(outputs, truth)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in PROTOCOLS}
    for restored_file, clear_file in track(pairs, f"scoring under {len(PROTOCOLS)} protocols"):
        restored, clear = read_rgb(restored_file) / 255.0, read_rgb(clear_file) / 255.0
        if restored.shape != clear.shape:
            sizes = " against ".join(f"{p.shape[1]}x{p.shape[0]}" for p in (restored, clear))
            raise UserError(f"a picture and its truth differ in size: {sizes}", where=f"{restored_file}, {clear_file}",
                            fix="cut the border off the larger one; never resize it")
        with located(restored_file):
            for name, values in found.items():
                values.append(measure(restored, clear, name, chosen))
    return FolderScores(len(pairs), {name: {m: mean([v[m] for v in values]) for m in chosen}
                                     for name, values in found.items()})


def match(outputs: Path, truth: Path) -> list[tuple[Path, Path]]:
    """Pictures with their truths, in natural order: those of the same name or, since a scene may have several hazy
    versions, of what stands before the first '_' ('1400_3.png' and '1400.png').

    Raises:
        UserError: no pictures, two of one name, or some that nothing belongs to; they are named.
    """
    ours, truths = _by_name(outputs), _by_name(truth)
    pairs = {name: truths.get(name) or truths.get(scene(name)) for name in ours}
    alone = [ours[name].name for name, partner in pairs.items() if partner is None]
    unused = [path.name for path in truths.values() if path not in pairs.values()]
    for files, folder, what in ((alone, outputs, "without a truth"), (unused, truth, "without a picture to score")):
        if files:
            shown = ", ".join(files[:SHOWN]) + ", ..." * (len(files) > SHOWN)
            raise UserError(f"files {what} ({len(files):,}): {shown}", where=folder,
                            fix="give two folders whose files have the same names")
    return [(ours[name], partner) for name, partner in pairs.items() if partner is not None]


def _by_name(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in list_images(folder):
        if (other := found.setdefault(path.stem, path)) != path:
            raise UserError("two pictures of one name", where=f"{other}, {path}", fix="remove one of them")
    return found
