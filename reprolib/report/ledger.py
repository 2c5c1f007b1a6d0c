"""The ledger in files: ledger.json for programs, ledger.csv for spreadsheets, ledger.md and the tables for people."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path

import pandas as pd

from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.report import tables
from reprolib.report.markdown import to_markdown
from reprolib.results.ledger import COUNTED, Digest, Entry, build, strongest
from reprolib.runs.digests import measuring_digest
from reprolib.runs.places import results_folder


def ledger_file(profile: str, root: Path = Path()) -> Path:
    """Where `write` puts the entries; the same as CSV and as a page lie beside it."""
    return results_folder(profile, root) / "ledger.json"


def write(profile: str, root: Path = Path(), digest: Digest | None = measuring_digest) -> list[Entry]:
    """results/<profile>/ledger.{json,csv,md} and results/<profile>/tables/*; returns the entries.

    Raises:
        UserError: as `reprolib.results.ledger.build`.
    """
    entries = build(profile, root, digest)
    path = ledger_file(profile, root)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(entries[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(entries)
    write_text(path, json.dumps(entries, indent=1, allow_nan=False) + "\n")
    write_text(path.with_suffix(".csv"), text.getvalue())
    write_text(path.with_suffix(".md"), page(entries))
    tables.write(profile, entries, root)
    return entries


def read(profile: str, root: Path = Path()) -> list[Entry]:
    """Entries of a profile's ledger.

    Raises:
        UserError: it was not written yet, or is damaged.
    """
    path = ledger_file(profile, root)
    if not path.is_file():
        raise UserError("no ledger yet", where=path, fix=f"run `dvc repro profiles/{profile}/dvc.yaml`")
    try:
        return list(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise UserError("not a ledger", where=path, fix="delete it and run `dvc repro`") from error


def statuses(entries: list[Entry]) -> str:
    """How many printed cells have which status by their strongest evidence, in words."""
    counts = Counter("off" if e["gap"] is not None and str(e["status"]).startswith("off by") else e["status"]
                     for e in strongest(entries) if e["printed"])
    return ", ".join(f"{number} {status}" for status, number in counts.items())


def page(entries: list[Entry]) -> str:
    """The ledger as Markdown: a count of statuses, then every cell."""
    own = sum(not e["printed"] for e in strongest(entries))
    further = f" {own} further cells are ours alone." if own else ""
    rows = [(e["row"], e["dataset"], e["metric"], e["printed"], *_numbers(e), e["n"] or "", e["status"], e["evidence"],
             e["why"]) for e in entries]
    columns = ("row", "column", "metric", "paper", "ours", "gap", "spread (seeds)", "pictures", "status", "evidence",
               "why")
    return "\n".join([
        "# Ledger", "", f"Every cell of the papers' tables, by its strongest evidence: {statuses(entries)}.{further} "
        "Gap is ours less the paper's, given only where the two are comparable.", "",
        to_markdown(pd.DataFrame(rows, columns=columns))])


def _numbers(entry: Entry) -> tuple[str, str, str]:
    digits = ",.0f" if entry["evidence"] == COUNTED else ".4f"
    ours = "" if entry["value"] is None else format(entry["value"], digits)
    gap = "" if entry["gap"] is None else format(entry["gap"], f"+{digits}")
    return ours, gap, "" if entry["spread"] is None else f"{entry['spread']:.4f} ({entry['n_seeds']})"
