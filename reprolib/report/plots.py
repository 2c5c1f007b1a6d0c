"""What DVC shows by itself: numbers for `dvc metrics show` and `diff`, curves and bars for `dvc plots show` and `diff`.

A folder for each table holds a small JSON for each row, so that `dvc metrics show results/mini/metrics/table1` stands
like the paper's table: systems below each other, test sets and metrics side by side. Costs are left out: they are
times of one machine.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from reprolib.files import write_text
from reprolib.report import ledger
from reprolib.results.ledger import Entry, own
from reprolib.runs.places import Places, make, records_folder, results_folder
from reprolib.runs.profile import read_profile

POINTS = 40
"""Of a curve; the whole log lies beside the checkpoint."""

CURVES = ("loss", "validation")
"""Columns of logs."""

DIGITS = 4
"""Of a number behind the point."""


def write(profile: str, root: Path = Path()) -> None:
    """results/<profile>/metrics/TABLE/ROW.json and results/<profile>/plots/{loss,validation,psnr}.csv.

    Where a run's log is not here, a clone before `dvc pull`, its curve stays as it was.

    Raises:
        UserError: there is no ledger yet.
    """
    measured = [e for e in own(ledger.read(profile, root)) if _is_recorded(e, profile)]
    before = {name: _curve(results_folder(profile, root) / "plots" / f"{name}.csv") for name in CURVES}
    for name in ("metrics", "plots"):
        shutil.rmtree(results_folder(profile, root) / name, ignore_errors=True)
    make(profile, "metrics", "plots", root=root)
    for row, content in numbers(measured).items():
        write_text(results_folder(profile, root) / "metrics" / f"{row}.json",
                   json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")
    logs = {(run.system, run.id): _log(Places(run, root).checkpoint / "log.csv")
            for run in read_profile(profile, root).runs.values() if not run.weights_of}
    plots = {name: curves(logs, name, before[name]) for name in CURVES} | {"psnr": bars(measured)}
    for name, (columns, rows) in plots.items():
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([columns, *rows])
        write_text(results_folder(profile, root) / "plots" / f"{name}.csv", text.getvalue())


Table = tuple[list[str], list[tuple[object, ...]]]
"""Names of columns, and rows."""


def numbers(measured: Iterable[Entry]) -> dict[str, dict[str, dict[str, float]]]:
    """By row of a table ('table1/aodnet'): by test set and metric."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for e in measured:
        found.setdefault(e["row"], {}).setdefault(e["dataset"], {})[e["metric"]] = round(e["value"], DIGITS)
    return found


def curves(logs: Mapping[tuple[str, str], list[dict[str, str]]], column: str,
           before: Mapping[tuple[str, str], list[tuple[str, str]]]) -> Table:
    """A column of each run's log at `POINTS` steps or fewer, the last among them.

    Args:
        before: curves of runs whose log is not here: steps and values.
    """
    rows: list[tuple[object, ...]] = []
    for (system, run), log in logs.items():
        rows += [(system, run, *point) for point in before.get((system, run), ()) if not log]
        whole = [row for row in log if row.get(column)]
        every = -(-len(whole) // POINTS) or 1
        rows += [(system, run, row["step"], row[column]) for row in whole[::-1][::every][::-1]]
    return ["system", "run", "step", column], rows


def bars(measured: Iterable[Entry]) -> Table:
    """PSNR by test set and system, ours and the paper's."""
    rows: list[tuple[object, ...]] = [
        (f"{e['table']}, {e['dataset']}", e["label"], round(e["value"], DIGITS), e["paper_value"] or "")
        for e in measured if e["metric"] == "psnr"]
    return ["column", "system", "here", "paper"], rows


def _is_recorded(entry: Entry, profile: str) -> bool:
    """Whether a value was measured on a run of the profile: costs, counts and authors' weights were not."""
    return entry["value"] is not None and str(entry["record"]).startswith(records_folder(profile).as_posix())


def _log(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _curve(path: Path) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """The points of each run, by system and name, in a file that `write` has made."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in _log(path):
        system, run, step, value = row.values()
        found.setdefault((system, run), []).append((step, value))
    return found
