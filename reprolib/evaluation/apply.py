"""A trained network, or a prior, on anybody's pictures."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import nn

from reprolib import models
from reprolib.data.channels import GREY, RGB, as_rgb, read_channels
from reprolib.data.images import WRITTEN, Listing, survey, write_image
from reprolib.data.outputs import plan_outputs
from reprolib.data.registry import get_dataset
from reprolib.errors import UserError, located, unknown
from reprolib.evaluation.networks import device, load_network
from reprolib.evaluation.trained import described, trained
from reprolib.models.direction import in_styles, one_way, random_styles, style_of
from reprolib.models.inference import channels_of, restore, to_uint8, translate
from reprolib.models.large import LARGE, TILE, Large
from reprolib.models.system import Direction, System
from reprolib.models.weights import read_header
from reprolib.progress import track
from reprolib.runtime import return_freed_memory

RUN = {"dehazing": restore, "translation": translate}

FORMATS = ("png", "jpg", "keep")
"""Formats of outputs; 'keep' is the input's own, and PNG where that one is not written."""

_WITH_ALPHA = {"PNG", "WEBP", "TIFF"}


@dataclass(frozen=True)
class Styles:
    """In which styles a picture is translated, by a system that has them."""

    count: int = 1
    """Random ones, the same for every picture."""
    seed: int = 0
    like: Path | None = None
    """A picture whose style is taken instead."""


@dataclass
class Outcome:
    """What came of the pictures."""

    written: int = 0
    failures: list[UserError] = field(default_factory=list)
    """Of pictures that could not be read or processed; the others were written."""
    notes: list[str] = field(default_factory=list)
    """What else to tell a person, a line each."""


def apply(source: Path, output: Path, task: str, name: str, weights: Path | None, profile: str | None, *,
          dataset: str | None = None, form: str = "png", subfolders: bool = False, alpha: bool = False,
          tile: int | None = None, direction: Direction = "ab", styles: Styles | None = None) -> Outcome:
    """Dehaze or translate a picture into a picture, or a folder of pictures into a folder, of any size.

    Photos are read as viewers show them: upright, and in sRGB; for a network of grey pictures in grey, and for one of
    other channels with all that the file has; outputs are TIFFs then. In a folder a bad picture does not stop the
    others. What an earlier run wrote under the same names is replaced, and counted in the notes; inputs never are.

    Args:
        task: 'dehazing' or 'translation'; a translator needs nothing of its target domain.
        name: the system.
        weights: ours or the published ones; None takes trained ones, of the profile or the best of all, and notes
            which.
        dataset: what trained ones were trained or are measured on; None leaves it open.
        form: of the outputs, one of `FORMATS`. A single output whose name has an ending has the format of that.
        subfolders: also the pictures in subfolders, which come again in `output`.
        alpha: keep transparency, where the format has it.
        tile: side of tiles in pixels, 0 for none; None treats pictures of more than `LARGE` pixels as
            `reprolib.models.large` does, and notes where that is another result than the picture's at once.
        direction: of a translator that has both.
        styles: of a translator that has them; several become NAME-1.png, NAME-2.png and so on. None leaves the choice
            to the network, which draws another one for each picture.

    Raises:
        UserError: no such input, not a system of this task, no such dataset, no weights, a direction or styles that it
            does not have, tiles for a network that looks at all pixels, names that would meet, a place that cannot be
            written; of a single input also what is wrong with it.
    """
    system = models.get(name)
    if system.task != task:
        raise UserError(f"'{name}' is a system of {system.task}", fix=f"choose from {', '.join(models.names(task))}")
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    system.translating(direction)
    if styles is not None and not system.styles:
        raise UserError(f"{name} has no styles: a picture has one translation", fix="choose munit or drit")
    outcome = Outcome()
    planned = _plan(source, output, form, subfolders, 1 if styles is None else styles.count, outcome)
    if weights is None and system.trained:
        weights = trained(name, profile, dataset and get_dataset(dataset).name)
        known = read_header(weights).run.get("dataset", "?")  # a network from label maps will draw nonsense of a photo
        outcome.notes.append(f"with {described(weights)}, trained on {known}")
    network = load_network(system, weights, direction=direction).to(device())
    channels = channels_of(network)
    if channels not in (GREY, RGB):
        for target in (t for _, targets in planned for t in targets if WRITTEN[t.suffix.lower()] != "TIFF"):
            raise UserError(f"pictures of {channels} channels are written as TIFF", where=target,
                            fix="give a name that ends in .tif, or --format keep for a folder of TIFFs")
    ways = _ways(network, system, direction, styles)
    large = [Large(way, system, tile or TILE) for way in ways]
    if tile and not large[0].tiled:
        raise UserError(f"{name} takes something of all pixels, and tiles would show",
                        fix="leave --tile out: large pictures are taken care of")
    if folder := next((target for _, targets in planned for target in targets if target.is_dir()), None):
        raise UserError("a folder lies where a picture is to go", where=folder, fix="choose another place")
    replaced = sum(target.exists() for _, targets in planned for target in targets)
    for path, targets in track(planned, f"{task} with {name}"):
        try:
            with _noted(outcome.notes):
                keep = alpha and WRITTEN[targets[0].suffix.lower()] in _WITH_ALPHA
                picture_HWC = read_channels(path, channels, photo=True, alpha=keep)
                picture_HWC, opacity_HWC = picture_HWC[..., :channels], picture_HWC[..., channels:]
            at_once = picture_HWC[..., 0].size <= LARGE if tile is None else tile == 0
            if not at_once and (note := large[0].note):
                outcome.notes.append(f"{path.name} is large: {note}")
            with located(path), nullcontext() if at_once else return_freed_memory():
                results = [RUN[task](way, picture_HWC, system.multiple) for way in (ways if at_once else large)]
            if not all(np.isfinite(result_HWC).all() for result_HWC in results):
                raise UserError(f"{name} answers with numbers that are not finite", where=path,
                                fix="check the weights with another picture")
        except UserError as error:
            if not source.is_dir():
                raise
            outcome.failures.append(error)
            continue
        for target, result_HWC in zip(targets, results, strict=True):
            made_HWC = to_uint8(result_HWC)
            write_image(target, np.dstack((as_rgb(made_HWC), opacity_HWC)) if opacity_HWC.size else made_HWC)
            outcome.written += 1
    if replaced:
        outcome.notes.append(f"{replaced} of an earlier run replaced")
    return outcome


def _ways(network: nn.Module, system: System, direction: Direction, styles: Styles | None) -> list[nn.Module]:
    """The network, as it is to be used on every picture: once, or once for each style."""
    if styles is None:
        return [one_way(network, direction)]
    if styles.like is None:
        return in_styles(network, direction, random_styles(styles.count, system.styles, styles.seed))
    with located(styles.like):
        picture_HWC = read_channels(styles.like, channels_of(network), photo=True)
        return in_styles(network, direction, [style_of(network, picture_HWC, direction)])


def _plan(source: Path, output: Path, form: str, subfolders: bool, count: int,
          outcome: Outcome) -> list[tuple[Path, list[Path]]]:
    """Each input and its `count` outputs."""
    marks = [""] if count == 1 else [f"-{number:0{len(str(count))}d}" for number in range(1, count + 1)]
    if source.is_dir():
        if output.is_file():
            raise UserError("the pictures of a folder go to a folder, and this is a file", where=output,
                            fix="choose another place")
        listing = _survey(source, subfolders)
        if note := listing.note():
            outcome.notes.append(note)
        inputs = listing.pictures
        place = _real(output)
        if subfolders and place != _real(source):  # what an earlier run wrote is no input
            inputs = [path for path in inputs if not _real(path).is_relative_to(place)]
        return list(zip(inputs, _named(inputs, output, form, source if subfolders else None, marks), strict=True))
    if not source.exists():
        raise UserError("no such picture or folder", where=source, fix="check the path")
    if output.is_dir():
        return [(source, _named([source], output, form, None, marks)[0])]
    kind = output.suffix.lower()
    if kind not in WRITTEN:
        raise UserError("the output of one picture is a picture", where=output,
                        fix=f"give a name that ends in {', '.join(sorted(WRITTEN))}, or an existing folder")
    outputs = [output.with_stem(output.stem + mark) for mark in marks]
    if _real(source) in map(_real, outputs):
        raise UserError("the output would replace the input", where=source, fix="choose another name")
    return [(source, outputs)]


def _survey(source: Path, subfolders: bool) -> Listing:
    try:
        return survey(source, subfolders)
    except UserError as error:
        if subfolders or error.where != source or not any(path.is_dir() for path in source.iterdir()):
            raise
        raise UserError(error.what, where=source, fix="add --subfolders to take those in its folders") from error


def _real(path: Path) -> Path:
    """Without links; `Path.resolve` fails at links that lead in a circle."""
    return Path(os.path.realpath(path))


def _named(inputs: list[Path], folder: Path, form: str, base: Path | None, marks: list[str]) -> list[list[Path]]:
    if form != "keep":
        return plan_outputs(inputs, folder, f".{form}", base, marks)
    # What is not written in its own format becomes a PNG beside the others, under its whole name.
    kept = [path if path.suffix.lower() in WRITTEN else path.with_name(f"{path.name}.png") for path in inputs]
    return plan_outputs(kept, folder, None, base, marks)


@contextmanager
def _noted(notes: list[str]) -> Iterator[None]:
    """Warnings about a picture become notes."""
    with warnings.catch_warnings(record=True, action="always") as said:
        yield
    notes += [str(warning.message) for warning in said if warning.category is UserWarning]
