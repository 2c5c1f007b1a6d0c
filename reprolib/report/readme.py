"""The measured part of the project's README: results, and steps beside the plain way."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reprolib.bench.run import read
from reprolib.errors import UserError
from reprolib.evaluation.record import read_records
from reprolib.files import write_text
from reprolib.report import ledger
from reprolib.report.bench import table, targets
from reprolib.report.markdown import to_markdown
from reprolib.report.summary import measured, summary
from reprolib.results.quantity import quantity, text
from reprolib.runs.places import results_folder

BEGIN, END = "<!-- results: written by `reprolib report readme` -->", "<!-- end of results -->"

MAIN, LONGER, SHORT = "mini", "hour", "samples"
"""The profile that a fresh clone rebuilds; the one of longer runs; the one of a few steps on real pictures."""

PICTURES = {"cut_cityscapes": "From label maps to photos, never seen in pairs, after 1200 steps"}
"""Figures of the longer runs that are shown, with their captions."""


def write(root: Path = Path()) -> None:
    """Put what was measured between the marks in the project's README.

    Raises:
        UserError: the marks are gone, or the main profile has no ledger yet.
    """
    path = root / "README.md"
    content = path.read_text(encoding="utf-8")
    if BEGIN not in content or END not in content:
        raise UserError("the README has no place for results", where=path, fix=f"put back the lines {BEGIN} and {END}")
    before, rest = content.split(BEGIN, 1)
    found = "\n".join([summary(MAIN, root), *longer_runs(root), *short_runs(root), *bench_table(root)])
    write_text(path, f"{before}{BEGIN}\n{found}{END}{rest.split(END, 1)[1]}")


def longer_runs(root: Path = Path()) -> list[str]:
    """Markdown lines: what the longer runs measured, and their pictures; nothing where they were not run."""
    if not ledger.ledger_file(LONGER, root).is_file():
        return []
    lines = [f"Longer runs of the same reduced networks (profile `{LONGER}`, one seed):", "",
             *measured(ledger.read(LONGER, root))]
    for name, caption in PICTURES.items():
        figure = results_folder(LONGER) / "figures" / f"{name}.png"
        if (root / figure).is_file():
            lines += [f"{caption}:", "", f"![{caption}]({figure.as_posix()})", ""]
    return lines


def short_runs(root: Path = Path()) -> list[str]:
    """Markdown lines: scores of short runs on real pictures; nothing where none was measured."""
    rows: dict[str, dict[str, object]] = {}
    for r in read_records(SHORT, root):
        if r.tabled and r.value is not None:
            row = rows.setdefault(r.experiment, {"system": r.system, "dataset": r.dataset,
                                                 "pictures": f"{r.n} against {r.n_real}", "steps": r.steps})
            before = "" if r.input_value is None else f" (untranslated {text(r.metric, r.input_value)})"
            row[quantity(r.metric).label] = text(r.metric, r.value) + before
    if not rows:
        return []
    return [f"Short runs on real pictures (profile `{SHORT}`): they show that everything works, not how good it is.",
            "", to_markdown(pd.DataFrame(list(rows.values())))]


def bench_table(root: Path = Path()) -> list[str]:
    """Markdown lines: each configuration of `reprolib bench` and its targets; nothing where none was measured."""
    rows = read(root)
    if not rows:
        return []
    shown = table(rows).drop(columns=["layout", "of copies", "torch"])
    promised = targets(rows).drop(columns="device")
    return ["A step, and a whole picture, beside the plain way of computing them in one run (`reprolib bench`):", "",
            to_markdown(shown.astype(str)), to_markdown(promised.astype(str))]
