"""Claims and their verdicts, for the command line and for the notebooks."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from reprolib import papers
from reprolib.results.claims import evidence, sources, verdict
from reprolib.results.quantity import quantity
from reprolib.runs.rows import rows_of


def rows_of_claims(profile: str | None = None, root: Path = Path(), table: str | None = None) -> list[dict[str, Any]]:
    """One row a claim, with the best evidence of a profile or of all.

    Args:
        table: only the claims about this one.
    """
    among = sources(profile, root)
    rows = []
    for claim in papers.claims():
        if table not in (None, claim.table):
            continue
        found = evidence(claim, among)
        best = found[0] if found else None
        rows.append({
            "paper": claim.paper, "table": claim.table, "claim": claim.text, "left": claim.left, "right": claim.right,
            "column": claim.column, "metric": claim.metric, "better": claim.better, "relation": claim.relation,
            "verdict": verdict(found),
            "difference": best and best.difference, "margin": best and best.margin,
            "interval": best.interval if best else "", "basis": best.basis if best else "",
            "measured": best.measured if best else "", "profile": best and best.profile,
            "dataset": best and best.dataset, "seeds": best.seeds if best else 0, "n": best.pictures if best else 0,
            "evidence": " ".join(filter(None, (best.profile, best.dataset))) if best else "",
            "why": best.why if best else "both sides were not measured on the same pictures"})
    return rows


def page(rows: list[dict[str, Any]]) -> str:
    """For a terminal: each claim once, below it a line a comparison, and how many have which verdict."""
    lines = []
    for text, of_claim in groupby(rows, key=lambda r: (r["paper"], r["table"], r["claim"])):
        lines.append(f"{text[2]} ({text[1]})")
        for r in of_claim:
            left, right = (r[side].partition("/")[2] for side in ("left", "right"))
            sides = f"{left} {r['relation']} {right}"
            where = " ".join(filter(None, (r["column"], r["measured"] or r["metric"])))
            basis = ", ".join(filter(None, (r["evidence"], r["basis"])))
            found = f"{r['interval']}, {basis}" if r["interval"] else r["why"]
            lines += [f"  {r['verdict'] + ':':<15}{sides}, {where}", f"  {'':<15}{found}"]
    counts = Counter(r["verdict"] for r in rows)
    return "\n".join([*lines, "", ", ".join(f"{number} {verdict}" for verdict, number in counts.most_common())])


def frame(table: str, profile: str | None = None, root: Path = Path()) -> pd.DataFrame:
    """The paper's claims about a table, for a reader; empty where it makes none."""
    label = {row.id: row.label for row in rows_of(table).values()}
    return pd.DataFrame([
        {"the paper says": r["claim"],
         "that is": f"{label[r['left']]} {r['relation']} {label[r['right']]}",
         "in": " ".join(filter(None, (r["column"], quantity(r["metric"]).label))), "difference here": r["interval"],
         "on": r["evidence"], "over": r["basis"], "verdict": r["verdict"]}
        for r in rows_of_claims(profile, root, table)])
