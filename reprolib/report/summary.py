"""The page a person reads first: what was measured, beside the paper, what it cost, on what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reprolib.files import write_text
from reprolib.markdown import lines_of
from reprolib.report.tables import read_ledger

DEHAZING = {"psnr": ("PSNR", 2), "ssim": ("SSIM", 4)}
TRANSLATION = {"fid": ("distance", 2), "miou": ("mIoU", 1), "classacc": ("class acc.", 1), "pixacc": ("pixel acc.", 1)}
REDUCED = ("mini", "hour")
CONDITION = (" Networks are reduced, runs are short and embedded photos stand in for the benchmarks: the paper's "
             "numbers stand beside ours for orientation, not for comparison.")
"""Said of these profiles."""


def summary(profile: str, root: Path = Path()) -> str:
    """Markdown: counts of statuses, measured rows of both papers, cost."""
    entries = read_ledger(profile, root)
    counts: dict[str, int] = {}
    for e in entries:
        counts[e["status"]] = counts.get(e["status"], 0) + 1
    lines = [f"Profile `{profile}`. Of {len(entries)} cells in the papers' tables: "
             + ", ".join(f"{n} {status}" for status, n in counts.items()) + "."
             + (CONDITION if profile in REDUCED else "") +
             " 'Input' is the unprocessed picture; the paper's value stands in brackets; ± is the standard deviation "
             "over the seeds of the calibration.", "",
             *measured(entries), *_costs(profile, root)]
    return "\n".join(lines) + "\n"


def measured(entries: list[dict[str, Any]]) -> list[str]:
    """Markdown lines: the rows of a ledger that have a number, a table for each paper."""
    return [*_table(entries, DEHAZING, "Dehazing:"),
            *_table(entries, TRANSLATION, "Translation; 'distance' is FID where Inception was used, and FD-VGG16, "
                                          "which is not FID, elsewhere:")]


def _table(entries: list[dict[str, Any]], metrics: dict[str, tuple[str, int]], text: str) -> list[str]:
    """One line a row and column of the paper, with input, ours and paper of each metric; empty if none was measured."""
    found: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for e in entries:
        if e["value"] is not None and e["metric"] in metrics:
            found.setdefault((e["row"], e["stand_in"] or e["dataset"]), {})[e["metric"]] = e
    if not found:
        return []
    shown = [m for m in metrics if any(m in cells for cells in found.values())]
    heads = [head for m in shown for head in (f"{metrics[m][0]} input", f"{metrics[m][0]} here (paper)")]
    rows = [(row, place, *(text for m in shown for text in _texts(cells.get(m), metrics[m][1])))
            for (row, place), cells in found.items()]
    return [text, "", *lines_of(("row", "pictures", *heads), rows), ""]


def _texts(entry: dict[str, Any] | None, decimals: int) -> tuple[str, str]:
    if entry is None:
        return "", ""
    before = "" if entry["input_value"] is None else f"{entry['input_value']:.{decimals}f}"
    spread = "" if entry["spread"] is None else f" ± {entry['spread']:.{decimals}f}"
    return before, f"{entry['value']:.{decimals}f}{spread} ({entry['printed']})"


def _costs(profile: str, root: Path) -> list[str]:
    """One sentence on time, memory and machine, from the cost files."""
    files = sorted((root / "results" / profile / "cost").glob("*.json"))
    costs = [c for c in (json.loads(path.read_text()) for path in files) if "peak_memory_mb" in c]
    if not costs:
        return []
    place = costs[0]["environment"]
    device = place["cpu"] if place["device"] == "cpu" else place["device"]
    minutes, memory = sum(c["seconds"] for c in costs) / 60, max(c["peak_memory_mb"] for c in costs) / 1024
    return [f"Training took {minutes:.1f} minutes for {len(costs)} networks ({device}, {place['threads']} threads, "
            f"torch {place['torch']}); the most memory that any of them needed was {memory:.1f} GB."]


def write_summary(profile: str, root: Path = Path()) -> None:
    """results/<profile>/README.md."""
    text = f"# Results of profile `{profile}`\n\n{summary(profile, root)}"
    write_text(root / "results" / profile / "README.md", text)
