"""The papers' tables with our numbers beside theirs, drawn from the ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.markdown import to_markdown
from reprolib.results.ledger import NAMES, ledger_file

TITLES = {
    "table1": "Table 1. Dehazing systems",
    "table2": "Table 2. Ablation of AECR-Net",
    "table4": "Table 4. Rates of positives to negatives",
    "cut": "CUT's table. Unpaired translation",
}
DECIMALS = {"psnr": 2, "ssim": 4}


def read_ledger(profile: str, root: Path = Path()) -> list[dict[str, Any]]:
    """Entries of a profile's ledger.

    Raises:
        UserError: it was not written yet.
    """
    path = ledger_file(profile, root)
    if not path.is_file():
        raise UserError("no ledger yet", where=path, fix="run `dvc repro`")
    return list(json.loads(path.read_text()))


def table(entries: list[dict[str, Any]], name: str) -> pd.DataFrame:
    """One table: a row a system, and for each printed column the paper's number and ours.

    Where an embedded dataset stands in for a benchmark, or another metric for the printed one, the column says so.
    Spread is the standard deviation over seeds. The first row is the unprocessed input under the same measures.
    """
    chosen = [e for e in entries if e["table"] == name]
    here = {(e["dataset"], e["metric"]): _here(e) for e in chosen}
    here |= {(e["dataset"], e["metric"]): _here(e) for e in chosen if e["value"] is not None}
    rows: dict[str, dict[str, str]] = {}
    untouched: dict[str, str] = {"row": "input, unprocessed"}
    for e in chosen:
        row = rows.setdefault(e["row"], {"row": e["label"]})
        row[f"{_column(e['dataset'], e['metric'], e['unit'])} paper"] = e["printed"]
        column = here[e["dataset"], e["metric"]]
        row[column] = ours(e)
        if e["input_value"] is not None:
            untouched[column] = f"{e['input_value']:.{DECIMALS.get(e['metric'], 2)}f}"
    body = ([untouched] if len(untouched) > 1 else []) + list(rows.values())
    columns = list(dict.fromkeys(k for row in rows.values() for k in row))
    return pd.DataFrame(body, columns=columns).fillna("")


def _column(dataset: str, metric: str, unit: str) -> str:
    return " ".join(part for part in (dataset, metric, f"[{unit}]" if unit else "") if part)


def _here(entry: dict[str, Any]) -> str:
    """Heading of our column: what was measured, on what."""
    measured = NAMES.get(entry["measured"], entry["measured"])
    return f"{_column(entry['stand_in'] or entry['dataset'], measured, entry['unit'])} here"


def ours(entry: dict[str, Any]) -> str:
    """Our side of a cell: value and spread, or the status in words."""
    if entry["value"] is None:
        return "" if entry["status"] == "not printed" else entry["status"]
    if entry["metric"] == "params":
        return f"{entry['value']:,} ({entry['status']})"
    decimals = DECIMALS.get(entry["metric"], 2)
    text = f"{entry['value']:.{decimals}f}"
    if entry["spread"] is not None:
        text += f" ± {entry['spread']:.{decimals}f}"
    return text if entry["status"] == "measured" else f"{text} ({entry['status']})"


def notes(entries: list[dict[str, Any]], name: str) -> list[str]:
    """Conditions under which the numbers of a table were measured, each once."""
    measured = (e for e in entries if e["table"] == name and e["value"] is not None and e["metric"] != "params")
    return list(dict.fromkeys(e["why"] for e in measured))


def write(profile: str, entries: list[dict[str, Any]], root: Path = Path()) -> None:
    """results/<profile>/tables/<table>.{csv,md}."""
    folder = root / "results" / profile / "tables"
    for name, title in TITLES.items():
        frame = table(entries, name)
        write_text(folder / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"))
        page = [f"# {title}: the paper and profile '{profile}'", "", to_markdown(frame)]
        page += [f"* {note}" for note in notes(entries, name)]
        write_text(folder / f"{name}.md", "\n".join(page).rstrip() + "\n")
