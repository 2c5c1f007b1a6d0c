"""What the project's README shows of the results: few lines, the comparable numbers first, and where the rest lies."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pandas as pd

from reprolib import models, papers
from reprolib.bench.run import FOLDER
from reprolib.data.registry import get_dataset
from reprolib.errors import UserError
from reprolib.evaluation.record import PUBLISHED, Record, read_records
from reprolib.files import write_text
from reprolib.metrics.protocols import DEFAULT
from reprolib.models.objective import DehazingObjective
from reprolib.papers import Cell, Row
from reprolib.report import ledger
from reprolib.report.bench import page
from reprolib.report.claims import rows_of_claims
from reprolib.report.markdown import to_markdown
from reprolib.results.claims import UNTESTED
from reprolib.results.ledger import size_of_split
from reprolib.results.quantity import quantity, text
from reprolib.runs.places import profile_folder, results_folder
from reprolib.runs.profile import read_profile, sittings

BEGIN, END = "<!-- results: written by `reprolib report readme` -->", "<!-- end of results -->"

SHOWN = ("psnr", "ssim")
"""Metrics of the README's table; the others stand in the ledgers."""

FEWEST = 100
"""Pictures of a test set: means over fewer stand in the ledgers alone."""

SEVERAL = 2
"""Seeds, for an interval that is over seeds."""

IN_A_SENTENCE = {"holds": "{} hold", "does not hold": "{} do not", "within noise": "{} are within noise",
                 "not tested": "{} were not tested"}
"""How many claims have a verdict, in words."""

BEARING = {"real": "Of those that real test sets, counts or costs of a step bear on,",
           "stand-in": "of those that only photos which stand in for the benchmarks do, with reduced networks trained "
                       "for minutes, so that they rank nothing,",
           "none": "of those that nothing bears on,"}
"""What the best evidence of claims is, in words."""


def write(root: Path = Path()) -> None:
    """Put the results between the marks in the project's README, and the bench's tables beside its files.

    Raises:
        UserError: the marks are gone.
    """
    write_text(root / "README.md", renewed(root))
    if found := page(root):
        write_text(root / FOLDER / "README.md", found)


def renewed(root: Path = Path()) -> str:
    """The project's README with the results of now.

    Raises:
        UserError: the marks are gone.
    """
    path = root / "README.md"
    content = path.read_text(encoding="utf-8")
    if BEGIN not in content or END not in content:
        raise UserError("the README has no place for results", where=path, fix=f"put back the lines {BEGIN} and {END}")
    before, rest = content.split(BEGIN, 1)
    claims = rows_of_claims(None, root) if (root / "profiles").is_dir() else []
    found = "\n".join([*on_real_test_sets(root), *verdicts(claims), *over_seeds(claims), *profiles(root)])
    return f"{before}{BEGIN}\n{found}\n{END}{rest.split(END, 1)[1]}"


def on_real_test_sets(root: Path = Path()) -> list[str]:
    """Markdown lines: what was measured on whole real test sets, with the papers' numbers; nothing without records.

    Test sets of at least `FEWEST` pictures, the largest first.
    """
    names = [PUBLISHED, *sorted(path.parent.name for path in (root / "results").glob("*/records")
                                if path.parent.name != PUBLISHED)]
    found: dict[tuple[int, str], dict[tuple[str, str], list[Record]]] = {}
    for r in (r for name in names for r in read_records(name, root)):
        if r.metric in SHOWN and r.tabled and r.protocol == DEFAULT \
                and not get_dataset(r.dataset).embedded and r.n == size_of_split(r.dataset) and r.n >= FEWEST:
            found.setdefault((-r.n, r.dataset), {}).setdefault((r.profile, r.experiment), []).append(r)
    lines = []
    for place in sorted(found):
        runs = list(found[place].values())
        where = f"{get_dataset(place[1]).title}, {-place[0]} pictures{_input(runs[0])}"
        lines += [*_lines(f"Systems on {where}", _systems(runs, root)), *_ablations(runs, where, root)]
    return lines


def _systems(runs: list[list[Record]], root: Path) -> list[dict[str, str]]:
    """Whole systems: the authors' weights, since nothing about them is reduced, those nearest to the printed numbers
    before the others; then what was trained here."""
    whole = [(row, records) for records in runs for row in [_row(records[0])] if row is None or _is_whole(row)]
    whole.sort(key=lambda one: (one[1][0].profile != PUBLISHED, _gap(*one)))
    return [_line(_weights(records, root), row, records) for row, records in whole]


def _ablations(runs: list[list[Record]], where: str, root: Path) -> list[str]:
    """Markdown lines: rows of tables that compare variants of one system, where several seeds were trained."""
    lines, several = [], [records for records in runs if _seeds(records) >= SEVERAL]
    for table in (table for _, table in papers.tables() if not table.task):
        shown: dict[str, list[dict[str, str]]] = {}
        for row in table.rows.values():
            for records in (records for records in several if row.id in records[0].rows):
                shown.setdefault(_weights(records, root), []).append(_line("", row, records))
        for weights, rows in shown.items():
            lines += _lines(f"{table.title}: {weights}; {where}", rows)
    return lines


def _lines(title: str, rows: list[dict[str, str]]) -> list[str]:
    """A title and a table; nothing for no rows."""
    return [f"{title}:", "", to_markdown(pd.DataFrame(rows).fillna(""))] if rows else []


def _line(weights: str, row: Row | None, records: list[Record]) -> dict[str, str]:
    """A run, all its seeds together; its weights unless the title says them."""
    line = {"": row.label if row and not _is_whole(row) else models.get(records[0].system).label}
    if weights:
        line["weights"] = weights
    for metric in dict.fromkeys(r.metric for r in records):
        values, cell = _values(records, metric), _printed(row, records[0].dataset, metric)
        bad = next((r for r in records if r.metric == metric and r.value is None), None)
        spread = f" ± {text(metric, stdev(values))}" if len(values) >= SEVERAL else ""
        told = f"{bad.status}: seed {bad.seed}" if bad else f"{text(metric, mean(values))}{spread}"
        line[quantity(metric).label] = told
        line[f"the paper's {quantity(metric).label}"] = cell.printed if cell else ""
    return line


def _seeds(records: list[Record]) -> int:
    return len({r.seed for r in records})


def _values(records: list[Record], metric: str) -> list[float]:
    return [r.value for r in records if r.metric == metric and r.value is not None]


def _input(records: list[Record]) -> str:
    """What the unprocessed pictures score, in words."""
    told = [f"{quantity(r.metric).label} {text(r.metric, r.input_value)}" for r in records if r.input_value is not None]
    return f"; hazy input {', '.join(dict.fromkeys(told))}" if told else ""


def _gap(row: Row | None, records: list[Record]) -> float:
    """To the printed number, in the first metric."""
    metric = records[0].metric
    cell, values = _printed(row, records[0].dataset, metric), _values(records, metric)
    return abs(mean(values) - cell.value) if cell is not None and cell.value is not None and values else math.inf


def _weights(records: list[Record], root: Path) -> str:
    """Where the weights come from, in words."""
    record, seeds = records[0], _seeds(records)
    if record.checkpoint == "published":
        return "the authors'"
    if not record.steps:
        return "none to learn"
    more = [", reduced network"] * record.reduced
    more += [", without its contrastive term"] * (not record.rows and _lacks_its_term(record))
    more += [f", mean ± standard deviation of {seeds} seeds"] * (seeds > 1)
    return f"trained here, {_steps(record, root)} steps{''.join(more)}"


def _steps(record: Record, root: Path) -> str:
    """Of its training, after those of the runs that it starts from: '10,000 + 7,000'."""
    described = (profile_folder(record.profile, root) / "params.yaml").is_file()
    run = read_profile(record.profile, root).runs.get(record.experiment) if described else None
    return " + ".join(f"{steps:,}" for steps in ([record.steps] if run is None else sittings(run, root)))


def verdicts(claims: list[dict[str, Any]]) -> list[str]:
    """Markdown lines: how many of the papers' claims hold by the numbers measured here; nothing without claims."""
    if not claims:
        return []
    counts: dict[str, Counter[str]] = {name: Counter() for name in BEARING}
    for claim in claims:
        counts[_bearing(claim)][claim["verdict"]] += 1
    total = sum(one.total() for one in counts.values())
    told = [f"{words} {_in_a_sentence(counts[name])}" for name, words in BEARING.items() if counts[name]]
    return [f"The papers' claims are {total} comparisons of two printed numbers (`reprolib claims`). "
            f"{'; '.join(told)}.", ""]


def _bearing(claim: dict[str, Any]) -> str:
    """Which of `BEARING` the best evidence of a claim is."""
    if claim["difference"] is None:
        return "none"
    return "stand-in" if claim["dataset"] and get_dataset(claim["dataset"]).embedded else "real"


def _in_a_sentence(counts: Counter[str]) -> str:
    return ", ".join(words.format(counts[verdict]) for verdict, words in IN_A_SENTENCE.items() if counts[verdict])


def over_seeds(claims: list[dict[str, Any]]) -> list[str]:
    """Markdown lines: the claims that several seeds on a whole real test set bear on, with intervals and verdicts."""
    cells = {(c.row, c.column, c.metric): c.value for paper in papers.papers().values() for c in paper.cells}
    label = {row.id: row.label for _, table in papers.tables() for row in table.rows.values()}
    tables: dict[str, dict[tuple[str, str], dict[str, str]]] = {}
    for r in claims:
        if r["seeds"] < SEVERAL or r["verdict"] == UNTESTED or not r["dataset"] \
                or get_dataset(r["dataset"]).embedded or r["n"] != size_of_split(r["dataset"]):
            continue
        left, right = (cells[r[side], r["column"], r["metric"]] for side in ("left", "right"))
        where = f"{get_dataset(r['dataset']).title}, {r['n']} pictures; {r['seeds']} seeds; {r['why']}"
        row = tables.setdefault(where, {}).setdefault((r["left"], r["right"]), {
            "the paper says": r["claim"], "that is": f"{label[r['left']]} {r['relation']} {label[r['right']]}"})
        name = quantity(r["metric"]).label
        row[f"{name} here"] = f"{r['interval']}: {r['verdict']}"
        row[f"the paper's {name}"] = f"{left - right:+.3g}" if left and right else ""
    return [line for where, rows in tables.items() for line in (
        f"Claims that several seeds bear on, each with its difference, the 95 % interval and a verdict ({where}). An "
        "interval is of its own comparison alone, by Student's t: of twenty, one misses the truth by chance.", "",
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


def _row(record: Record) -> Row | None:
    """What a record stands for in print: the first of its run's rows, else its system's in a table of all systems."""
    rows = papers.rows()
    own = [rows[name] for name in record.rows if name in rows]
    if not own and _lacks_its_term(record):
        return None
    return next(iter(own or [row for row in rows.values() if _is_whole(row) and row.system == record.system]), None)


def _lacks_its_term(record: Record) -> bool:
    """Whether it was trained here without the contrastive term that makes its system what it is."""
    objective = models.get(record.system).objective
    has = isinstance(objective, DehazingObjective) and objective.contrast is not None
    return has and record.contrast is None and record.profile != PUBLISHED


def _is_whole(row: Row) -> bool:
    """Whether it stands in a table of all systems, and not among variants of one."""
    return papers.table(row.id.partition("/")[0])[1].task is not None


def _printed(row: Row | None, dataset: str, metric: str) -> Cell | None:
    """The cell that a paper prints for it."""
    columns = papers.columns_of(dataset)
    return next((cell for paper in papers.papers().values() for cell in paper.cells
                 if row and cell.row == row.id and cell.metric == metric and cell.value is not None
                 and (paper.name, cell.column) in columns), None)
