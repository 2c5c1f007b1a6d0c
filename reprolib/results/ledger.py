"""The ledger: every cell of the papers beside what this repository measured for it, or why it did not."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from reprolib import models
from reprolib.data.registry import data_home, datasets, get_dataset, locate
from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.markdown import lines_of
from reprolib.papers.cells import Cell, exact_counts, load
from reprolib.results.gate import expected_file, key, read_expected
from reprolib.evaluation.record import Record, read_records, records_folder

TABLE_PROTOCOL = "aecr"
"""The protocol whose numbers fill the PSNR and SSIM cells."""

NAMES = {"fid": "FID", "fd_vgg16": "FD-VGG16"}
STANDS_FOR = {"fd_vgg16": "fid"}
"""Metrics that fill a cell of another metric where that one cannot be had; the entry says which was measured."""

COSTS = ("sec_per_iter", "memory")
"""Metrics that are measured in one run for all systems, apart from the records: they differ from run to run."""

Entry = dict[str, Any]


def build(profile: str, root: Path = Path(), current_hash: Callable[[Record], str] | None = None) -> list[Entry]:
    """One entry for every printed cell, in the order of the tables.

    Args:
        current_hash: hash of the code that would make a record now; a record with another one is 'stale'.

    Raises:
        UserError: a file of records, or the profile's file of recorded results, is damaged.
    """
    quality = ("psnr", "ssim")
    records = [r for r in read_records(profile, root)
               if r.tabled and (r.metric not in quality or r.protocol == TABLE_PROTOCOL)]
    expected = read_expected(profile, root) if expected_file(profile, root).is_file() else {}
    return [_entry(cell, profile, records, expected, current_hash, root) for cell in load()]


def _entry(cell: Cell, profile: str, records: list[Record], expected: dict[str, Any],
           current_hash: Callable[[Record], str] | None, root: Path) -> Entry:
    entry: Entry = {
        "paper": cell.paper, "table": cell.table, "row": cell.row, "dataset": cell.dataset, "metric": cell.metric,
        "unit": cell.unit, "better": cell.better, "paper_value": cell.value, "printed": cell.printed,
        "label": cell.label, "value": None, "spread": None, "n_seeds": 0, "status": "", "why": "", "record": None,
        "stand_in": None, "measured": cell.metric, "gap": None, "input_value": None,
    }
    if cell.metric == "params":
        return entry | _count(cell)
    if cell.metric in COSTS:
        return entry | _cost(cell, profile, root)
    candidates = [r for r in records if cell.row in r.rows and _column(r) == cell.dataset
                  and STANDS_FOR.get(r.metric, r.metric) == cell.metric]
    if not candidates:
        return entry | _absent(cell, profile)
    found = _of_one_experiment(candidates)
    first = found[0]
    dataset = get_dataset(first.dataset)
    path = records_folder(profile, root) / f"{first.experiment}.json"
    entry |= {"record": f"{path.relative_to(root).as_posix()}#{first.metric}",
              "stand_in": first.dataset if dataset.embedded else None, "measured": first.metric,
              "input_value": first.input_value}
    bad = next((r for r in found if r.status != "ok"), None)
    if bad is not None:
        return entry | {"status": bad.status, "why": f"seed {bad.seed}: the output is {bad.status}"}
    values = [r.value for r in found if r.value is not None]
    entry |= {"value": mean(values), "n_seeds": len(values), "spread": stdev(values) if len(values) > 1 else None}
    why = _conditions(first)
    known = expected.get(key(first))
    if len(values) == 1 and known and known["n_seeds"] > 1:
        entry |= {"spread": known["sd"], "n_seeds": known["n_seeds"]}
        why += f"; value of seed {first.seed}, spread over the {known['n_seeds']} seeds of the calibration"
    others = sorted({r.experiment for r in candidates} - {first.experiment})
    if others:
        why += f"; also measured by {', '.join(others)}"
    if current_hash and any(current_hash(r) != r.code_hash for r in found):
        return entry | {"status": "stale", "why": "the code has changed since: run `dvc repro`"}
    if cell.value is None:
        return entry | {"status": "measured", "why": f"the paper prints no number; {why}"}
    if profile != "paper" or dataset.embedded or first.reduced or first.metric != cell.metric:
        return entry | {"status": "measured", "why": f"not comparable with the paper's cell: {why}"}
    return entry | _against_paper(entry["value"] - cell.value, cell, entry) | {"why": why}


def _of_one_experiment(candidates: list[Record]) -> list[Record]:
    """The seeds of one experiment, in order: of several that stand for a cell, one on the real benchmark goes first.

    Numbers of different experiments are never averaged.
    """
    groups: dict[tuple[bool, str, str], list[Record]] = {}
    for r in candidates:
        groups.setdefault((get_dataset(r.dataset).embedded, r.experiment, r.dataset), []).append(r)
    return sorted(groups[min(groups)], key=lambda r: r.seed)


def _against_paper(gap: float, cell: Cell, entry: Entry) -> Entry:
    """Status and signed gap in profile 'paper', where cells are comparable."""
    if abs(gap) <= cell.half_digit:
        status = "reproduced"
    elif entry["spread"] is not None and entry["n_seeds"] > 1 and abs(gap) <= 2 * entry["spread"]:
        status = "within seed noise"
    else:
        status = f"off by {gap:+.4g}"
    return {"status": status, "gap": gap}


def _count(cell: Cell) -> Entry:
    """Parameter counts need no training: the network is built without memory and counted."""
    name = cell.row.split("/")[1]
    if cell.value is None:
        return {"status": "not printed", "why": "the paper prints '-'"}
    if name not in models.names():
        return {"status": "not attempted", "why": f"{name} is not built yet"}
    count = models.full_size_count(name)
    matched = abs(count - cell.value) <= cell.half_digit
    why = f"exact count {count:,}" + (", verified" if exact_counts().get(name) == count else "")
    if not matched:
        why += f"; {models.get(name).count_note or 'differs from the printed figure'}"
    return {"status": "matched" if matched else "not matched", "value": count, "why": why, "n_seeds": 1,
            "gap": count - cell.value}


def _cost(cell: Cell, profile: str, root: Path) -> Entry:
    """Seconds and memory of a step, from the one run that measured all systems."""
    path = costs_file(profile, root)
    if not path.is_file():
        return _absent(cell, profile)
    content = json.loads(path.read_text())
    found = next((row for row in content["systems"] if f"cut/{row['system']}" == cell.row), None)
    if found is None:
        return _absent(cell, profile)
    return {"status": "measured", "value": found[cell.metric], "n_seeds": 1,
            "record": path.relative_to(root).as_posix(),
            "why": f"not comparable with the paper's cell: {content['conditions']}; "
                   f"{found[cell.metric + '_ratio']:.2f} of CycleGAN in the same run"}


def ledger_file(profile: str, root: Path = Path()) -> Path:
    """Where `write` puts the entries; the same as CSV and as a page lie beside it."""
    return root / "results" / profile / "ledger.json"


def costs_file(profile: str, root: Path = Path()) -> Path:
    """Where `reprolib report cost` writes."""
    return root / "results" / profile / "cost" / "translation.json"


def _column(record: Record) -> str | None:
    return get_dataset(record.dataset).column


def _absent(cell: Cell, profile: str) -> Entry:
    """Status and reason of a cell without a record."""
    if cell.value is None:
        return {"status": "not printed", "why": "the paper prints '-'"}
    name = cell.row.split("/")[1]
    if cell.table in ("table1", "cut") and name not in models.names():
        return {"status": "not attempted", "why": f"{name} is not built yet"}
    real = [d for d in datasets().values() if d.column == cell.dataset and not d.embedded]
    if profile == "paper" and real and not any(_is_here(d.name) for d in real):
        ways = " or ".join(f"`reprolib data register {d.name} PATH`" for d in real)
        titles = " or ".join(f"{d.title} ({d.licence})" for d in real)
        return {"status": "impossible here", "why": f"not on this machine, to be had by hand only: {titles}; {ways}"}
    return {"status": "not attempted", "why": f"no experiment of profile '{profile}' stands for this row"}


def _is_here(dataset: str) -> bool:
    data_home()  # a mistyped place is told, not taken for absence
    try:
        return locate(dataset).is_dir()
    except UserError:
        return False


def _conditions(record: Record) -> str:
    """What a reader must know before comparing."""
    parts = [record.note] if record.note else []
    if record.metric in STANDS_FOR:
        parts.insert(0, f"{NAMES[record.metric]}, not {NAMES[STANDS_FOR[record.metric]]}")
    if record.reduced:
        parts.append("reduced network (" + ", ".join(f"{k} {v}" for k, v in sorted(record.network.items())) + ")")
    if record.steps:
        parts.append(f"{record.steps} steps of batch {record.batch}, crop {record.crop}")
    if record.features:
        parts.append(f"features {record.features}")
    if record.checkpoint not in ("last", "none"):
        parts.append(f"checkpoint: {record.checkpoint}")
    return ", ".join(parts) or f"{record.n} pictures"


def to_markdown(entries: list[Entry]) -> str:
    """The ledger as a page: a count of statuses, then every cell."""
    counts: dict[str, int] = {}
    for e in entries:
        counts[e["status"]] = counts.get(e["status"], 0) + 1
    columns = ("row", "column", "metric", "paper", "ours", "gap", "spread (seeds)", "status", "why")
    lines = ["# Ledger", "",
             "Every cell of the papers' tables: " + ", ".join(f"{v} {k}" for k, v in counts.items()) + ". "
             "Gap is ours less the paper's, given only where the two are comparable.", ""]
    rows = []
    for e in entries:
        whole = e["metric"] == "params"
        ours = "" if e["value"] is None else f"{e['value']:,}" if whole else f"{e['value']:.4f}"
        gap = "" if e["gap"] is None else f"{e['gap']:+,.0f}" if whole else f"{e['gap']:+.4f}"
        spread = "" if e["spread"] is None else f"{e['spread']:.4f} ({e['n_seeds']})"
        rows.append((e["row"], e["dataset"], e["metric"], e["printed"], ours, gap, spread, e["status"], e["why"]))
    return "\n".join([*lines, *lines_of(columns, rows)]) + "\n"


def write(profile: str, entries: list[Entry], root: Path = Path()) -> None:
    """results/<profile>/ledger.{json,csv,md}."""
    path = ledger_file(profile, root)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(entries[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(entries)
    write_text(path.with_suffix(".csv"), text.getvalue())
    write_text(path, json.dumps(entries, indent=1, allow_nan=False) + "\n")
    write_text(path.with_suffix(".md"), to_markdown(entries))
