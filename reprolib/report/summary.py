"""The page a person reads first: what was measured, beside the paper, what it cost, on what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.report.tables import read_ledger

BEGIN, END = "<!-- results: written by `reprolib report summary --readme` -->", "<!-- end of results -->"


def summary(profile: str, root: Path = Path()) -> str:
    """Markdown: measured rows, counts of statuses, cost."""
    entries = read_ledger(profile, root)
    measured = [e for e in entries if e["value"] is not None and e["metric"] in ("psnr", "ssim")]
    counts: dict[str, int] = {}
    for e in entries:
        counts[e["status"]] = counts.get(e["status"], 0) + 1
    lines = [f"Profile `{profile}`. Of {len(entries)} cells in the papers' tables: "
             + ", ".join(f"{n} {status}" for status, n in counts.items()) + ". In `mini` networks are reduced, runs are "
             "short and the haze is synthetic over an assumed depth: the paper's numbers stand beside ours for "
             "orientation, not for comparison.", "",
             "| row | pictures | PSNR hazy | PSNR here | SSIM hazy | SSIM here | paper PSNR / SSIM |", "|---|---|---|---|---|---|---|"]
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    for e in measured:
        pairs.setdefault((e["row"], e["stand_in"] or e["dataset"]), {})[e["metric"]] = e
    for (row, place), both in pairs.items():
        p, s = both["psnr"], both["ssim"]
        lines.append(f"| {row} | {place} | {p['input_value']:.2f} | {_with_spread(p, 2)} | {s['input_value']:.4f} | "
                     f"{_with_spread(s, 4)} | {p['printed']} / {s['printed']} |")
    return "\n".join([*lines, "", *_costs(profile, root)]) + "\n"


def _with_spread(entry: dict[str, Any], decimals: int) -> str:
    text = f"{entry['value']:.{decimals}f}"
    return text if entry["spread"] is None else f"{text} ± {entry['spread']:.{decimals}f}"


def _costs(profile: str, root: Path) -> list[str]:
    """One sentence on time, memory and machine, from the cost files."""
    costs = [json.loads(p.read_text()) for p in sorted((root / "results" / profile / "cost").glob("*.json"))]
    if not costs:
        return []
    machine = costs[0]["environment"]
    return [f"Training took {sum(c['seconds'] for c in costs) / 60:.1f} minutes for {len(costs)} networks "
            f"({machine['cpu'] if machine['device'] == 'cpu' else machine['device']}, {machine['threads']} threads, torch "
            f"{machine['torch']}); the most memory any of them needed was {max(c['peak_memory_mb'] for c in costs) / 1024:.1f} GB. "
            "± is the standard deviation over the seeds of the calibration."]


def write_summary(profile: str, root: Path = Path()) -> None:
    """results/<profile>/README.md."""
    write_text(root / "results" / profile / "README.md", f"# Results of profile `{profile}`\n\n{summary(profile, root)}")


def write_readme(profile: str, root: Path = Path()) -> None:
    """Put the summary between the marks in the project's README.

    Raises:
        UserError: the marks are gone.
    """
    path = root / "README.md"
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise UserError("the README has no place for results", where=path, fix=f"put back the lines {BEGIN} and {END}")
    before, rest = text.split(BEGIN, 1)
    write_text(path, f"{before}{BEGIN}\n{summary(profile, root)}{END}{rest.split(END, 1)[1]}")
