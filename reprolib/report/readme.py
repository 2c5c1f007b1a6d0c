"""What the project's README shows of the results: few lines, the comparable numbers first, and where the rest lies."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from statistics import mean

import pandas as pd

from reprolib import models, papers
from reprolib.bench.run import FOLDER, read
from reprolib.data.registry import get_dataset
from reprolib.errors import UserError
from reprolib.evaluation.record import PUBLISHED, Record, read_records
from reprolib.files import write_text
from reprolib.metrics.protocols import DEFAULT
from reprolib.papers import Cell, Row, Table
from reprolib.report import ledger
from reprolib.report.bench import references, table, targets, translators
from reprolib.report.claims import rows_of_claims
from reprolib.report.markdown import to_markdown
from reprolib.results.costs import read_costs
from reprolib.results.ledger import size_of_split
from reprolib.results.quantity import quantity, text
from reprolib.runs.places import results_folder

BEGIN, END = "<!-- results: written by `reprolib report readme` -->", "<!-- end of results -->"

WAYS = """\
*Plain* is what a user would put together from PyTorch's own pieces in the published arrangement: torchvision's
deformable convolution, and VGG three times, for the restored, the clear and the hazy picture. Every way has a process
of its own, and they take steps in turns: *faster* is the median over turns of its time over ours, with quartiles;
*memory* our process's peak over its process's, both with their libraries; *growth* the same without what libraries and
weights took before the first step. Seconds hold for a machine at the given *load* (processes that wanted one of its
cores, these included); ratios hardly depend on it.""".replace("\n", " ")

STEPS = """\
`reprolib bench-translators` times all of them in one run, by the settings of profile `paper` and one picture, or two
where a method compares pictures (seconds are then halved, as printed). Shares are of CycleGAN's. Memory is counted
tensor by tensor, so that it means the same on a CPU and on a GPU; what operators take for themselves while they compute
is not in it, and is in the paper's.""".replace("\n", " ")

SHOWN = ("psnr", "ssim")
"""Metrics of the README's table; the others stand in the ledgers."""

FEWEST = 100
"""Pictures of a test set: means over fewer stand in the ledgers alone."""

SEVERAL = 2
"""Seeds, for an interval that is over seeds."""

RELATION = {"higher": ">", "lower": "<"}

IN_A_SENTENCE = {"holds": "{} hold", "does not hold": "{} do not", "within noise": "{} are within noise",
                 "not tested": "{} were not tested"}
"""How many claims have a verdict, in words."""


def write(root: Path = Path()) -> None:
    """Put the results between the marks in the project's README, and the bench's tables beside its files.

    Raises:
        UserError: the marks are gone.
    """
    path = root / "README.md"
    content = path.read_text(encoding="utf-8")
    if BEGIN not in content or END not in content:
        raise UserError("the README has no place for results", where=path, fix=f"put back the lines {BEGIN} and {END}")
    before, rest = content.split(BEGIN, 1)
    found = "\n".join([*on_real_test_sets(root), *verdicts(root), *over_seeds(root), *profiles(root)])
    write_text(path, f"{before}{BEGIN}\n{found}\n{END}{rest.split(END, 1)[1]}")
    if rows := read(root):
        shown, promised = table(rows).astype(str), targets(rows).drop(columns="device").astype(str)
        page = ["# A step, and a whole picture, beside other ways of computing them in one run", "", WAYS, "",
                to_markdown(shown), to_markdown(references(rows).astype(str)), to_markdown(promised)]
        if len(costs := translators(root)):
            conditions = next(iter(read_costs(root).values())).conditions
            page += ["# A step of each translator of CUT's table", "", f"{STEPS} ({conditions})", "",
                     to_markdown(costs.astype(str))]
        write_text(root / FOLDER / "README.md", "\n".join(page).rstrip() + "\n")


def on_real_test_sets(root: Path = Path()) -> list[str]:
    """Markdown lines: what was measured on whole real test sets, with the papers' numbers; nothing without records.

    Test sets of at least `FEWEST` pictures, the largest first; on each the authors' weights, since nothing about them
    is reduced, those nearest to the printed numbers before the others; then what was trained here.
    """
    names = [PUBLISHED, *sorted(path.parent.name for path in (root / "results").glob("*/records")
                                if path.parent.name != PUBLISHED)]
    runs: dict[tuple[str, str, str], list[Record]] = {}
    for r in (r for name in names for r in read_records(name, root)):
        if r.metric in SHOWN and r.value is not None and r.tabled and r.protocol == DEFAULT \
                and not get_dataset(r.dataset).embedded and r.n == size_of_split(r.dataset) and r.n >= FEWEST:
            runs.setdefault((r.profile, r.experiment, r.dataset), []).append(r)
    if not runs:
        return []
    places = {name: (-records[0].n, records[0].profile != PUBLISHED, _gap(records)) for name, records in runs.items()}
    rows = [_row(runs[name]) for name in sorted(runs, key=places.__getitem__)]
    return ["From the hazy input to the result, on whole real test sets:", "",
            to_markdown(pd.DataFrame(rows).fillna(""))]


def _row(records: list[Record]) -> dict[str, str]:
    """Of the records of one run, of all its seeds."""
    first = records[0]
    row = {"": _label(first), "weights": _weights(first, len({r.seed for r in records})),
           "test set": f"{get_dataset(first.dataset).title}, {first.n} pictures"}
    for metric in dict.fromkeys(r.metric for r in records):
        one = next(r for r in records if r.metric == metric)
        before = "" if one.input_value is None else f"{text(metric, one.input_value)} → "
        row[quantity(metric).label] = f"{before}{text(metric, _mean(records, metric))}"
        cell = _printed(one)
        row[f"the paper's {quantity(metric).label}"] = cell.printed if cell else ""
    return row


def _mean(records: list[Record], metric: str) -> float:
    return mean([r.value for r in records if r.metric == metric and r.value is not None])


def _gap(records: list[Record]) -> float:
    """To the printed number, in the first metric."""
    cell = _printed(records[0])
    return math.inf if cell is None or cell.value is None else abs(_mean(records, records[0].metric) - cell.value)


def _weights(record: Record, seeds: int) -> str:
    """Where the weights come from, in words."""
    if record.checkpoint == "published":
        return "the authors'"
    if not record.steps:
        return "none to learn"
    more = [", reduced network"] * record.reduced + [f", mean of {seeds} seeds"] * (seeds > 1)
    return f"trained here, {record.steps:,} steps{''.join(more)}"


def verdicts(root: Path = Path()) -> list[str]:
    """Markdown lines: how many of the papers' claims hold by the numbers measured here; nothing without a project."""
    if not (root / "profiles").is_dir():
        return []
    counts = Counter(row["verdict"] for row in rows_of_claims(None, root))
    told = ", ".join(words.format(counts[verdict]) for verdict, words in IN_A_SENTENCE.items() if counts[verdict])
    return [f"The papers' claims are {counts.total()} comparisons of two printed numbers (`reprolib claims`). By the "
            f"best evidence at hand, {told}.", ""]


def over_seeds(root: Path = Path()) -> list[str]:
    """Markdown lines: the claims that several seeds on a whole real test set bear on, with intervals and verdicts."""
    if not (root / "profiles").is_dir():
        return []
    cells = {(c.row, c.column, c.metric): c.value for paper in papers.papers().values() for c in paper.cells}
    label = {row.id: row.label for _, table in papers.tables() for row in table.rows.values()}
    tables: dict[str, dict[tuple[str, str], dict[str, str]]] = {}
    for r in rows_of_claims(None, root):
        if r["seeds"] < SEVERAL or not r["dataset"] or get_dataset(r["dataset"]).embedded \
                or r["n"] != size_of_split(r["dataset"]):
            continue
        left, right = (cells[r[side], r["column"], r["metric"]] for side in ("left", "right"))
        where = f"{get_dataset(r['dataset']).title}, {r['n']} pictures; {r['seeds']} seeds; {r['why']}"
        row = tables.setdefault(where, {}).setdefault((r["left"], r["right"]), {
            "the paper says": r["claim"], "that is": f"{label[r['left']]} {RELATION[r['better']]} {label[r['right']]}"})
        name = quantity(r["metric"]).label
        row[f"{name} here"] = f"{r['interval']}: {r['verdict']}"
        row[f"the paper's {name}"] = f"{left - right:+.3g}" if left and right else ""
    return [line for where, rows in tables.items() for line in (
        f"Claims that several seeds bear on, each with its difference, the 95 % interval and a verdict ({where}):", "",
        to_markdown(pd.DataFrame(list(rows.values())).fillna("")))]


def profiles(root: Path = Path()) -> list[str]:
    """Markdown lines: one for each profile that was run."""
    lines = []
    for path in sorted((root / "results").glob("*/ledger.json")):
        name = path.parent.name
        entries = ledger.read(name, root)
        place = results_folder(name).as_posix()
        pages = {"Results": "README.md", "ledger": "ledger.md", "notebooks": "notebooks"}
        links = [f"[{page}]({place}/{file})" for page, file in pages.items() if (path.parent / file).exists()]
        lines.append(f"* Printed cells beside profile `{name}`: {ledger.statuses(entries)}. {', '.join(links)}")
    return lines


def _printed_row(record: Record) -> tuple[Table, Row] | None:
    """What a record stands for in print: the first of its run's rows, else its system's in a table of all systems."""
    rows = [(found, row) for _, found in papers.tables() for row in found.rows.values()]
    own = [(found, row) for found, row in rows if row.id in record.rows]
    return next(iter(own or [(found, row) for found, row in rows
                             if found.task and row.system == record.system]), None)


def _label(record: Record) -> str:
    """The system's label, with that of the row where this is a variant of the system."""
    label, printed = models.get(record.system).label, _printed_row(record)
    variant = printed is not None and not printed[0].task
    return f"{label.removesuffix(' (Ours)')}, {printed[1].label}" if printed and variant else label


def _printed(record: Record) -> Cell | None:
    """The cell that a paper prints for it."""
    printed, columns = _printed_row(record), papers.columns_of(record.dataset)
    return next((cell for paper, _ in papers.tables() for cell in paper.cells
                 if printed and cell.row == printed[1].id and cell.metric == record.metric
                 and (paper.name, cell.column) in columns and cell.value is not None), None)
