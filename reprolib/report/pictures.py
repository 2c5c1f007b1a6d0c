"""A gallery of real hazy photos: any systems with any weights, in a notebook of its own.

It is made by hand and is no stage of the pipeline: what the repository holds must not depend on which real datasets
are on a machine, and real pictures are their authors' to publish.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from reprolib import models
from reprolib.data.registry import datasets, get_dataset, locate
from reprolib.errors import UserError
from reprolib.evaluation.networks import device, load_network
from reprolib.evaluation.trained import described, trained
from reprolib.metrics.protocols import measure
from reprolib.models.inference import restore, to_uint8
from reprolib.report.comparison import Panel, Row
from reprolib.report.notebooks import execute
from reprolib.report.shown import test_pictures


def write(chosen: Iterable[str], systems: Iterable[str], output: Path, profile: str | None = None, count: int = 2,
          root: Path = Path()) -> Path:
    """Execute notebooks/real_pictures.ipynb.

    Args:
        chosen: NAME or NAME=FOLDER each; none takes all real datasets of pairs that are at hand, and says of the others
            in a line that they are not.
        systems: NAME or NAME=WEIGHTS each; a name alone takes the profile's network, without a profile the best there
            is (`reprolib.evaluation.trained`).
        output: where the executed notebook goes, with a figure a dataset beside it.
        count: pictures of each dataset.

    Raises:
        UserError: unknown names, data that were asked for and are missing, no real dataset at all, no trained network,
            or a cell that fails.
    """
    places, absent = _places([_pair(text) for text in chosen])
    told, whose = [], []
    for name, weights in map(_pair, systems):
        label = models.get(name).label
        if weights is not None:
            whose.append(f"{label}: {weights.name}")
        elif models.get(name).trained:
            weights = trained(name, profile, root=root)
            whose.append(f"{label}: {described(weights)}")
        told.append([name, weights and str(weights.resolve())])
    execute(root / "notebooks" / "real_pictures.ipynb", output, {
        "datasets": [[name, str(place.resolve())] for name, place in places.items()],
        "notes": [*whose, *absent], "systems": told, "count": count, "figures": str(output.parent.resolve())})
    return output


def restored(dataset: str, folder: Path | None, systems: Sequence[tuple[str, Path | None]], count: int) -> list[Row]:
    """Test pictures of a dataset through systems with given weights, with PSNR and SSIM of each."""
    chosen = test_pictures(dataset, count, folder)
    rows = [[Panel("hazy", p.source, _scores(p.source / 255.0, p.target))] for p in chosen]
    for name, weights in systems:
        system = models.get(name)
        network = load_network(system, weights).to(device())
        for row, picture in zip(rows, chosen, strict=True):
            made = restore(network, picture.source, system.multiple)
            row.append(Panel(system.label, to_uint8(made), _scores(made, picture.target)))
    return [[*row, Panel("clear", p.target, p.name)] for row, p in zip(rows, chosen, strict=True)]


def heading(dataset: str) -> str:
    """Whose pictures these are, as Markdown."""
    manifest = get_dataset(dataset)
    return f"## {manifest.title}\n\n{manifest.citation}. Licence: {manifest.licence}."


def _places(chosen: list[tuple[str, Path | None]]) -> tuple[dict[str, Path], list[str]]:
    """Folders of datasets, and of those that nobody asked for by name a line each where they are not at hand."""
    if chosen:
        return {name: locate(name, folder) for name, folder in chosen}, []
    found, absent = {}, []
    for name, dataset in datasets().items():
        if dataset.task == "dehazing" and dataset.kind == "pairs" and "test" in dataset.splits and not dataset.embedded:
            try:
                found[name] = locate(name)
            except UserError as error:
                absent.append(f"{dataset.title} is not at hand: {error.fix}")
    if not found:
        raise UserError("no real dataset of pairs is at hand", fix="register one, or give NAME=FOLDER")
    return found, absent


def _pair(text: str) -> tuple[str, Path | None]:
    name, _, file = text.partition("=")
    return name, Path(file) if file else None


def _scores(picture: np.ndarray, clear: np.ndarray) -> str:
    score = measure(picture, clear / 255.0)
    return f"{score['psnr']:.2f} dB / {score['ssim']:.4f}"
