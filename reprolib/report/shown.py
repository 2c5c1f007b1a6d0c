"""What notebooks show: runs by the rows that they stand for, their test pictures, and what became of these."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reprolib import models, papers
from reprolib.data.content import spread
from reprolib.data.images import read_rgb
from reprolib.data.paired import PairedFolder, open_split
from reprolib.data.registry import get_dataset
from reprolib.data.unpaired import open_domains
from reprolib.errors import UserError
from reprolib.report.comparison import Panel
from reprolib.report.slider import Comparison, slider
from reprolib.results.quantity import quantity, text
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun, read_profile
from reprolib.runs.rows import rows_of

PICTURES = 4
"""Test pictures that figures show, evenly spread over the split: a figure of fewer shows the first of them, so that the
same pictures stand in every figure."""

SCORES = 2
"""How many scores of a picture stand under it: a table's first metrics, which its paper prints."""


def enter(root: str | Path | None = None) -> None:
    """Make the project's folder the current one, wherever a notebook lies or is opened: the nearest with profiles/.

    Raises:
        UserError: there is none above.
    """
    here = Path(root) if root else Path.cwd()
    found = next((folder for folder in (here, *here.resolve().parents) if (folder / "profiles").is_dir()), None)
    if found is None:
        raise UserError("not in a reprolib project", where=here, fix="open the notebook from the checkout")
    os.chdir(found)


def table_of(shows: str) -> str:
    """The table of a row's or a table's id."""
    return shows.partition("/")[0]


def find_runs(profile: str, shows: str, column: str, root: Path = Path(), *,
              pictured: bool = False) -> dict[str, TaskRun]:
    """Runs of a profile that stand for a row, or for the rows of a table, in one column; by the rows' labels.

    All are measured on one dataset: the benchmark itself if any of them is, otherwise what stands in for it. Empty if
    the profile has none.

    Args:
        pictured: their pictures are to be shown. Pictures that come along go first then: a benchmark's are its authors'
            to publish, and a figure must not change with what is on a machine.
    """
    paper, table = papers.table(table_of(shows))
    runs = read_profile(profile, root).runs.values()
    datasets = paper.columns[column].datasets
    for dataset in sorted(datasets, key=lambda name: not get_dataset(name).embedded) if pictured else datasets:
        found: dict[str, TaskRun] = {}
        for row in rows_of(table.name).values():
            if shows in (table.name, row.id):
                of_row = [run for run in runs if row.id in run.rows and run.measured_on == dataset]
                if of_row:
                    found[row.label] = of_row[0]
        if found:
            return found
    return {}


def runs_of(profile: str, shows: str, column: str, root: Path = Path(), *,
            pictured: bool = False) -> dict[str, TaskRun]:
    """As `find_runs`, but never empty.

    Raises:
        UserError: the profile has no such run.
    """
    found = find_runs(profile, shows, column, root, pictured=pictured)
    if not found:
        raise UserError(f"no run of profile '{profile}' stands for {shows} in column {column}",
                        where=root / "profiles" / profile / "params.yaml", fix="choose another profile")
    return found


def run_of(profile: str, row: str, column: str, root: Path = Path()) -> TaskRun:
    """The run of a profile that stands for a row in a column, its pictures to be shown (`find_runs`).

    Raises:
        UserError: the profile has none.
    """
    return next(iter(runs_of(profile, row, column, root, pictured=True).values()))


@dataclass(frozen=True)
class TestPicture:
    """A picture of a test split as uint8 HW3, and what it ought to become."""

    __test__ = False  # no test, whatever pytest thinks of the name

    name: str
    source: NDArray[np.uint8]
    target: NDArray[np.uint8]
    """The truth of a hazy picture; any picture of the target domain otherwise."""
    note: str
    """Whose picture the target is, if it is no truth."""


def test_pictures(dataset: str, count: int, folder: Path | None = None) -> list[TestPicture]:
    """The first pictures of those that figures show of a dataset's test split (`PICTURES`); all if there are no more.

    Args:
        count: beyond `PICTURES` they are spread anew.
        folder: of the dataset, instead of where it is registered.

    Raises:
        UserError: it is not on this machine.
    """
    if get_dataset(dataset).task == "dehazing":
        pairs = open_split(dataset, "test", root=folder)
        return [_pair(pairs, i) for i in _chosen(len(pairs), count)]
    domains = open_domains(dataset, "test", root=folder)
    return [TestPicture(domains.a.names[i], domains.a[i], domains.b[i % len(domains.b)],
                        domains.b.names[i % len(domains.b)]) for i in _chosen(len(domains.a), count)]


test_pictures.__test__ = False  # type: ignore[attr-defined]


def _chosen(n: int, count: int) -> list[int]:
    return spread(range(n), max(count, PICTURES))[:count]


def _pair(pairs: PairedFolder, index: int) -> TestPicture:
    pair = pairs[index]
    return TestPicture(pair.name, pair.hazy, pair.clear, "")


def training_log(run: TaskRun, root: Path = Path()) -> pd.DataFrame:
    """What the training of a run wrote down at each validation.

    Raises:
        UserError: it was not trained here.
    """
    path = Places(run, root).checkpoint / "log.csv"
    if not path.is_file():
        raise UserError(f"'{run.id}' is not trained yet", where=path, fix=f"run `reprolib train {run.id}`")
    return pd.read_csv(path)


def made(run: TaskRun, name: str, root: Path = Path()) -> NDArray[np.uint8]:
    """What a run made of a test picture, uint8 HW3.

    Raises:
        UserError: it was not measured here.
    """
    path = Places(run, root).pictures / f"{name}.png"
    if not path.is_file():
        raise UserError(f"no pictures of '{run.id}' yet", where=path, fix=f"run `reprolib measure {run.id}`")
    return read_rgb(path)


def failures(run: TaskRun, count: int, root: Path = Path()) -> list[TestPicture]:
    """Test pictures of which a dehazer makes least, by its gain in PSNR over the hazy ones; the worst first.

    Raises:
        UserError: as `test_pictures`, or it was not measured here.
    """
    frame = _images(run, root)
    worst = frame.assign(gain=frame["psnr"] - frame["hazy_psnr"]).sort_values("gain", kind="stable")["image"][:count]
    pairs = open_split(run.measured_on, "test")
    index = {name: i for i, name in enumerate(pairs.names)}
    return [_pair(pairs, index[name]) for name in worst]


def grid(profile: str, table: str, column: str, count: int, worst: bool = False,
         root: Path = Path()) -> list[list[Panel]]:
    """Test pictures of a column through every system of a table, as `reprolib.report.comparison` draws them.

    Args:
        worst: those on which the last row's system, a dehazer, fails, instead of those that all figures show.

    Raises:
        UserError: as `runs_of`, `test_pictures` and `made`.
    """
    runs = runs_of(profile, table, column, root, pictured=True)
    last = list(runs.values())[-1]
    paired = get_dataset(last.measured_on).task == "dehazing"
    scores = {label: _scores(run, table, root) for label, run in runs.items()} if paired else {}
    first = next(iter(scores.values()), {})
    rows = []
    for picture in failures(last, count, root) if worst else test_pictures(last.measured_on, count):
        row = [Panel("hazy" if paired else "input", picture.source, first.get(f"hazy {picture.name}", picture.name))]
        row += [Panel(label, made(run, picture.name, root), scores.get(label, {}).get(picture.name, ""))
                for label, run in runs.items()]
        row.append(Panel("clear" if paired else "a real target picture", picture.target, picture.note, aligned=paired))
        rows.append(row)
    return rows


def title(name: str, profile: str, table: str, column: str, worst: bool = False, root: Path = Path()) -> str:
    """What `grid` shows as figure `name`, for a heading: a paper's own figure by its number, a stand-in by its name.

    Raises:
        UserError: as `runs_of`.
    """
    last = list(runs_of(profile, table, column, root, pictured=True).values())[-1]
    printed = papers.table(table)[0].columns[column]
    figure = re.fullmatch(r"figure(\d+)", name)
    pictures = printed.label + ("" if last.measured_on == printed.datasets[0] else f" (here {last.measured_on})")
    shown = f"where {models.get(last.system).label} does worst" if worst else "through every system"
    return f"{f'Figure {figure[1]}: ' if figure else ''}{pictures} {shown}"


def _images(run: TaskRun, root: Path) -> pd.DataFrame:
    """Scores of a run picture by picture."""
    path = Places(run, root).images
    if not path.is_file():
        raise UserError(f"no scores of '{run.id}' yet", where=path, fix=f"run `reprolib measure {run.id}`")
    return pd.read_csv(path, dtype={"image": str})


def _scores(run: TaskRun, table: str, root: Path) -> dict[str, str]:
    """What stands under each picture of a run, and under its hazy one ('hazy NAME')."""
    frame = _images(run, root)
    chosen = [m for m in papers.table(table)[1].metrics if m in frame.columns][:SCORES]
    return {f"{prefix}{line['image']}": " / ".join(
        f"{text(m, line[before + m])} {quantity(m).unit}".strip() for m in chosen)
        for _, line in frame.iterrows() for prefix, before in (("", ""), ("hazy ", "hazy_"))}


def comparison(run: TaskRun, label: str = "", root: Path = Path()) -> str:
    """The slider of a run's first test picture: what it was, what the run made of it, and the truth if there is one;
    a sentence instead where the picture is not ours to publish.

    Args:
        label: whose picture it is; by default the system's, as its paper prints it.

    Raises:
        UserError: as `test_pictures` and `made`.
    """
    picture, = test_pictures(run.measured_on, 1)
    ours = {label or models.get(run.system).label: made(run, picture.name, root)}
    theirs = _theirs(run.measured_on)
    if get_dataset(run.measured_on).task == "dehazing":
        return theirs or slider({"hazy": picture.source, **ours, "clear": picture.target})
    return theirs or slider({"input": picture.source, **ours}, width=384)


def comparisons(profile: str, table: str, column: str, root: Path = Path()) -> Comparison:
    """A column's first test picture, what every system of a table made of it, and the truth if there is one.

    Raises:
        UserError: as `grid`.
    """
    row, = grid(profile, table, column, 1, root=root)
    run = next(iter(runs_of(profile, table, column, root, pictured=True).values()))
    return Comparison({panel.label: panel.picture for panel in row if panel.aligned},
                      640 if row[-1].aligned else 384, _theirs(run.measured_on))


def _theirs(dataset: str) -> str:
    """Why no picture of a dataset is kept in an executed notebook, as HTML; empty for those that come along."""
    found = get_dataset(dataset)
    return "" if found.embedded else (
        f"<p>Pictures of {escape(found.title)} are their authors' to publish and are not kept here: <code>reprolib "
        "report pictures</code> draws them where they are at hand.</p>")


def table_comparison(profile: str, table: str, root: Path = Path()) -> Comparison | None:
    """That of a table's first column that has a run; None if there is none."""
    return next((comparisons(profile, table, column, root) for column in papers.table(table)[1].columns
                 if find_runs(profile, table, column, root)), None)
