"""The measured part of the project's README: results, where the pipeline's time went, steps beside the plain way."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reprolib.bench.run import read
from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.markdown import to_markdown
from reprolib.results.ledger import ledger_file
from reprolib.evaluation.record import read_records
from reprolib.report.bench import table, targets
from reprolib.report.summary import measured, summary
from reprolib.report.tables import read_ledger
from reprolib.report.times import times_table

BEGIN, END = "<!-- results: written by `reprolib report summary --readme` -->", "<!-- end of results -->"

SCORES = {"fd_vgg16": "FD-VGG16", "kid_vgg16": "KD-VGG16", "miou": "mIoU %"}
"""Metrics of the short runs that are shown, and their heads."""

LONGER = "hour"
PICTURES = {"cut_cityscapes": "From label maps to photos, never seen in pairs, after 1200 steps"}
"""The profile of longer runs, and its figures that are shown with their captions."""


def write_readme(profile: str, root: Path = Path()) -> None:
    """Put what was measured between the marks in the project's README.

    Raises:
        UserError: the marks are gone.
    """
    path = root / "README.md"
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise UserError("the README has no place for results", where=path, fix=f"put back the lines {BEGIN} and {END}")
    before, rest = text.split(BEGIN, 1)
    found = "\n".join([summary(profile, root), *longer_runs(root), *short_runs(root), *times_table(profile, root),
                       *bench_table(root)])
    write_text(path, f"{before}{BEGIN}\n{found}{END}{rest.split(END, 1)[1]}")


def longer_runs(root: Path = Path()) -> list[str]:
    """Markdown lines: what profile `hour` measured, and its pictures; nothing where it was not run."""
    if not ledger_file(LONGER, root).is_file():
        return []
    lines = [f"Longer runs of the same reduced networks (profile `{LONGER}`, one seed):", "",
             *measured(read_ledger(LONGER, root))]
    for name, caption in PICTURES.items():
        figure = Path("results") / LONGER / "figures" / f"{name}.png"
        if (root / figure).is_file():
            lines += [f"{caption}:", "", f"![{caption}]({figure.as_posix()})", ""]
    return lines


def short_runs(root: Path = Path()) -> list[str]:
    """Markdown lines: scores of profile `samples`, real pictures; nothing where none was measured."""
    rows: dict[str, dict[str, object]] = {}
    for r in read_records("samples", root):
        if r.tabled and r.metric in SCORES and r.value is not None:
            row = rows.setdefault(r.experiment, {"system": r.system, "dataset": r.dataset,
                                                 "pictures": f"{r.n} against {r.n_real}", "steps": r.steps})
            before = "" if r.input_value is None else f" (untranslated {r.input_value:.2f})"
            row[SCORES[r.metric]] = f"{r.value:.2f}{before}"
    if not rows:
        return []
    return ["Short runs on real pictures (profile `samples`): they show that everything works, not how good it is.", "",
            to_markdown(pd.DataFrame(list(rows.values())))]


def bench_table(root: Path = Path()) -> list[str]:
    """Markdown lines: each configuration of `reprolib bench` and its targets; nothing where none was measured."""
    rows = read(root)
    if not rows:
        return []
    shown = table(rows).drop(columns=["layout", "of copies", "torch"])
    promised = targets(rows).drop(columns="device")
    return ["A step, and a whole picture, beside the plain way of computing them in one run (`reprolib bench`):", "",
            to_markdown(shown.astype(str)), to_markdown(promised.astype(str))]
