"""The same test picture through every system of a profile: two of them over each other, and a line to drag between."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
from numpy.typing import NDArray

from reprolib.data.registry import get_dataset
from reprolib.errors import UserError
from reprolib.report.shown import TestPicture, made, test_pictures
from reprolib.report.site.page import Page, anchor, escape, raw, toctree
from reprolib.report.site.source import Source, label
from reprolib.results.quantity import quantity, text
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun, profiles, read_profile

PICTURES = 4
"""Test pictures of a dataset that are shown."""

SCORES = ("psnr", "ssim")
"""What stands under a restored picture, where its run has it picture by picture."""

NOT_HERE = ("The pictures of this profile, which are not kept in Git, are not on the machine that drew this page: run "
            "its stages, then `reprolib site`.")


def pages(source: Source) -> Iterator[Page]:
    """A page for each profile with records, and one above them."""
    known = [name for name in source.profiles if name in profiles(source.root)]
    yield Page("gallery/index", "# Galleries\n\nThe same test picture through every system. Drag the line, or move it "
               "with the arrow keys; the menus choose what lies on either side.\n" + toctree(*known))
    for profile in known:
        yield _page(profile, source)


def _page(profile: str, source: Source) -> Page:
    runs: dict[str, dict[str, TaskRun]] = {}
    for run in read_profile(profile, source.root).runs.values():
        runs.setdefault(run.measured_on, {}).setdefault(run.name, run)  # the first of its seeds
    lines = [f"# Gallery: {profile}", ""]
    files: dict[str, bytes] = {}
    for dataset, of_dataset in runs.items():
        drawn = _dataset(profile, dataset, list(of_dataset.values()), source)
        if drawn is not None:
            box, pictures = drawn
            files |= pictures
            lines += [f"## {get_dataset(dataset).title}", "", raw(box), ""]
    return Page(f"gallery/{profile}", "\n".join(lines if files else [*lines, NOT_HERE]), files)


def _dataset(profile: str, dataset: str, runs: list[TaskRun], source: Source) -> tuple[str, dict[str, bytes]] | None:
    """The box of a dataset and its pictures as JPEG; None if there are none on this machine."""
    try:
        shown = test_pictures(dataset, PICTURES)
    except UserError:
        return None
    labels = _labels(runs)
    box: dict[str, dict[str, dict[str, str]]] = {}
    files: dict[str, bytes] = {}
    for picture in shown:
        views = dict(_views(picture, runs, labels, source))
        if len(views) > 2:
            where = {name: f"{profile}/{anchor(dataset)}/{anchor(picture.name, name)}.jpg" for name in views}
            files |= {where[name]: _jpeg(pixels) for name, (pixels, _) in views.items()}
            box[picture.name] = {name: {"src": where[name], "text": words} for name, (_, words) in views.items()}
    if not box:
        return None
    height, width = shown[0].source.shape[:2]
    return compare(box, get_dataset(dataset).title, width, height), files


def _labels(runs: list[TaskRun]) -> dict[str, str]:
    """Runs by what people call them: their system, and the run's own name where a system has several."""
    systems = [run.system for run in runs]
    return {run.id: label(run.system) if systems.count(run.system) == 1 else f"{label(run.system)}, {run.name}"
            for run in runs}


def _views(picture: TestPicture, runs: list[TaskRun], labels: dict[str, str],
           source: Source) -> Iterator[tuple[str, tuple[NDArray[np.uint8], str]]]:
    """The input, what became of it, and the truth if there is one; each with its scores."""
    paired = get_dataset(runs[0].measured_on).task == "dehazing"
    given = ""
    found = []
    for run in runs:
        scores = _scores(run, picture.name, source)
        given = given or scores.get("hazy_", "")
        try:
            found.append((labels[run.id], (made(run, picture.name, source.root), scores.get("", ""))))
        except UserError:
            continue  # not measured on this machine
    yield "hazy" if paired else "input", (picture.source, given)
    yield from found
    yield "clear" if paired else "a real picture of the target domain", (picture.target, picture.note)


def _scores(run: TaskRun, name: str, source: Source) -> dict[str, str]:
    """Scores of a picture, and under 'hazy_' those of its input; empty if the run has none picture by picture."""
    path = Places(run, source.root).images
    if not path.is_file():
        return {}
    frame = pd.read_csv(path, dtype={"image": str}).set_index("image")
    if name not in frame.index:
        return {}
    line: Any = frame.loc[name] if frame.index.is_unique else frame.loc[[name]].iloc[0]
    return {before: ", ".join(f"{quantity(m).label} {text(m, line[before + m])} {quantity(m).unit}".strip()
                              for m in SCORES if before + m in frame.columns) for before in ("", "hazy_")}


def compare(pictures: dict[str, dict[str, dict[str, str]]], title: str, width: int, height: int) -> str:
    """HTML of a box that static/site.js brings to life; without scripts, two pictures beside each other.

    Args:
        pictures: by name of the picture and of the system, 'src' and the 'text' below it.
        title: what the box shows.
        width, height: of the first picture, in pixels.
    """
    first = next(iter(pictures.values()))
    left, right = list(first)[:2]
    data = json.dumps(pictures).replace("</", "<\\/")
    menus = "".join((_menu("picture", list(pictures), ""), _menu("left", list(first), left),
                     _menu("right", list(first), right)))
    views = "".join(
        f'<figure class="{side}"><img src="{escape(first[name]["src"])}" alt="{escape(f"{title}: {name}")}" '
        f'width="{width}" height="{height}"><figcaption>{escape(name)}</figcaption></figure>'
        for side, name in (("right", right), ("left", left)))
    return (f'<div class="compare" data-title="{escape(title)}">\n<div class="menus">{menus}</div>\n'
            f'<div class="stage">{views}<input type="range" min="0" max="100" value="50" step="0.5" hidden '
            f'aria-label="{escape(title)}: where left ends and right begins"></div>\n'
            f'<script type="application/json">{data}</script>\n</div>')


def _menu(name: str, values: list[str], chosen: str) -> str:
    options = "".join(f"<option{' selected' if value == chosen else ''}>{escape(value)}</option>" for value in values)
    return f'<label>{name} <select name="{name}" autocomplete="off">{options}</select></label> '


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(stream, format="jpeg", quality=90)
    return stream.getvalue()
