"""The ledger: every cell of the papers' tables beside what this repository measured for it, or why it did not.

Rows are the printed ones and the registered systems that join a table; columns and metrics are the papers' own and
those that a table adds to them. Nothing here knows a table, a paper or a column by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from reprolib import metrics, models, papers
from reprolib.data.identity import lacking
from reprolib.data.notes import sample_note
from reprolib.data.registry import get_dataset
from reprolib.evaluation.record import PUBLISHED as KEPT
from reprolib.evaluation.record import Record, read_records
from reprolib.metrics.protocols import DEFAULT
from reprolib.papers import Cell, Paper, Row, Table
from reprolib.results.costs import Cost, read_costs
from reprolib.results.changed import changed_pictures
from reprolib.results.gate import compare, expected_file, key, read_expected
from reprolib.results.quantity import quantity
from reprolib.runs.digests import evaluating_digest, measuring_digest
from reprolib.runs.places import profile_folder, records_folder
from reprolib.runs.profile import TaskRun, read_profile
from reprolib.runs.rows import all_rows, rows_of
from reprolib.runs.run import TranslationRun

Entry = dict[str, Any]
"""One cell by one kind of evidence, as ledger.json holds it (`_blank` has the fields)."""

TRAINED, PUBLISHED, COUNTED = "trained here", "authors' weights", "counted"
"""Evidence of a cell. What has nothing to train counts as the first in a profile, and as the second among the records
of the authors' weights: both are this code on pictures, and the second on the real ones."""

Digest = Callable[[TaskRun], str]


def build(profile: str, root: Path = Path(), digest: Digest | None = measuring_digest) -> list[Entry]:
    """One entry for every printed cell, and for every other row, column and metric of a table that has a record.

    Where the authors' weights were measured for a cell, another entry follows it: nothing about them is reduced, so that
    they may be held against the paper whatever a profile trains.

    Args:
        digest: of the code that would make a run's records now; a record with another one is 'stale'. None asks not.

    Raises:
        UserError: a file of records, of costs or of recorded results is damaged.
    """
    source = Source(profile, root, digest)
    return [entry for paper, table in papers.tables() for row in rows_of(table.name).values()
            for entry in _row(paper, table, row, source)]


def own(entries: Iterable[Entry]) -> list[Entry]:
    """Without those of the authors' weights: one entry a cell."""
    return [e for e in entries if e["evidence"] != PUBLISHED]


def strongest(entries: Iterable[Entry]) -> list[Entry]:
    """One entry a cell: the authors' weights on a whole real test set go before what was trained here."""
    found: dict[tuple[str, str, str], Entry] = {}
    for e in entries:
        found.setdefault((e["row"], e["dataset"], e["metric"]), e)
        if e["gap"] is not None:
            found[e["row"], e["dataset"], e["metric"]] = e
    return list(found.values())


@dataclass(frozen=True)
class Source:
    """What a ledger, and a verdict on a claim, is made from."""

    profile: str
    root: Path = Path()
    digest: Digest | None = measuring_digest

    @cached_property
    def records(self) -> list[Record]:
        """Those that fill cells; a picture's scores by the protocol that tables use."""
        found = (r for r in read_records(self.profile, self.root) if r.tabled)
        return [r for r in found if metrics.get(r.metric).of != "pictures" or r.protocol == DEFAULT]

    @cached_property
    def published(self) -> list[Record]:
        """Those of the authors' weights, by the protocol that tables use."""
        return [r for r in read_records(KEPT, self.root) if r.protocol == DEFAULT]

    @cached_property
    def runs(self) -> dict[tuple[str, int], TaskRun]:
        """The profile's runs by name and seed; there are none behind the records of the authors' weights."""
        if not (profile_folder(self.profile, self.root) / "params.yaml").is_file():
            return {}
        return {(run.name, run.seed): run for run in read_profile(self.profile, self.root).runs.values()}

    @cached_property
    def expected(self) -> dict[str, Any]:
        return read_expected(self.profile, self.root) if expected_file(self.profile, self.root).is_file() else {}

    @cached_property
    def costs(self) -> dict[str, Cost]:
        """By system, in a profile that trains translators: elsewhere their table is not drawn."""
        return read_costs(self.root) if any(isinstance(run, TranslationRun) for run in self.runs.values()) else {}

    @cached_property
    def digests(self) -> dict[str, str]:
        """Digests that were asked for, by the run's name."""
        return {}

    @cached_property
    def pictures(self) -> dict[tuple[object, ...], str | None]:
        """What was found of pictures, by what records say of them."""
        return {}

    def of(self, paper: Paper, row: Row, column: str, metric: str) -> list[Record]:
        """The records that stand for a cell."""
        return [r for r in self.records if row.id in r.rows and (paper.name, column) in papers.columns_of(r.dataset)
                and metric in (r.metric, metrics.get(r.metric).stands_for)]

    def of_authors(self, paper: Paper, table: Table, row: Row, column: str, metric: str) -> list[Record]:
        """The records of the authors' weights for a cell of a table of all systems."""
        if not table.task:
            return []
        return [r for r in self.published if r.system == row.system and r.metric == metric
                and (paper.name, column) in papers.columns_of(r.dataset)]

    def by_seed(self, records: Iterable[Record]) -> dict[int, float]:
        """Values of a run's number by seed.

        Seeds of the calibration that are not measured now count with them, if it was of the same training: the numbers
        that are measured now pass for the recorded ones (`reprolib.results.gate`).
        """
        found = [r for r in records if r.value is not None]
        values = {r.seed: r.value for r in found if r.value is not None}
        known = self.expected.get(key(found[0])) if found else None
        if known and known["steps"] == found[0].steps and known["network"] == dict(found[0].network) \
                and all(compare(r, known).ok for r in found):
            values = {int(seed): float(value) for seed, value in known.get("values", {}).items()} | values
        return dict(sorted(values.items()))

    def outdated(self, record: Record) -> str | None:
        """Why a record is not what its run would give now."""
        return self._outdated_code(record) or self._outdated_pictures(record)

    def by_earlier_code(self, record: Record) -> bool:
        """Whether other code than the present measured the authors' weights."""
        if self.digest is None:
            return False
        scores = {r.metric for r in self.published if r.experiment == record.experiment}
        return record.code_hash != evaluating_digest(record.system, scores)

    def _outdated_pictures(self, record: Record) -> str | None:
        asked = record.dataset, record.data_hash, *record.data.items()
        if asked not in self.pictures:
            self.pictures[asked] = changed_pictures(record)
        return self.pictures[asked]

    def _outdated_code(self, record: Record) -> str | None:
        if self.digest is None:
            return None
        run = self.runs.get((record.experiment, record.seed))
        if run is None:
            return f"profile '{self.profile}' has no run '{record.experiment}' with seed {record.seed} any more"
        if record.fingerprint and record.fingerprint != run.fingerprint:
            return "the settings have changed since: run `dvc repro`"
        if run.name not in self.digests:
            self.digests[run.name] = self.digest(run)
        return None if self.digests[run.name] == record.code_hash else "the code has changed since: run `dvc repro`"


def _row(paper: Paper, table: Table, row: Row, source: Source) -> Iterator[Entry]:
    """The cells of a row in printed order, those that only we have among them."""
    printed = {(c.column, c.metric): c for c in paper.cells if c.row == row.id}
    for column in table.columns:
        for metric in table.metrics:
            cell = printed.pop((column, metric), None)
            records = source.of(paper, row, column, metric)
            if cell or records:
                entry = _blank(paper, table, row, column, metric, cell)
                yield entry | (_measured(cell, records, source) if records
                               else _absent(paper, row, column, cell, source))
            if authors := source.of_authors(paper, table, row, column, metric):
                yield _blank(paper, table, row, column, metric, cell) | _by_authors(cell, authors, source)
    for metric in (*table.counts, *table.costs):
        column, cell = next(((c.column, c) for c in printed.values() if c.metric == metric), ("", None))
        entry = _blank(paper, table, row, column, metric, cell)
        if metric in table.counts:
            yield entry | _count(row, cell)
        elif cell or row.system in source.costs:
            yield entry | _cost(paper, row, column, metric, cell, source)


def _blank(paper: Paper, table: Table, row: Row, column: str, metric: str, cell: Cell | None) -> Entry:
    """An entry that says only what the paper does."""
    kind = cell or quantity(metric)
    return {
        "paper": paper.name, "table": table.name, "row": row.id, "dataset": column, "metric": metric,
        "unit": kind.unit, "better": kind.better, "paper_value": cell.value if cell else None,
        "printed": cell.printed if cell else "", "label": row.label, "value": None, "spread": None, "n_seeds": 0,
        "n": None,
        "status": "", "why": "", "evidence": None, "record": None, "stand_in": None, "measured": metric, "gap": None,
        "input_value": None, "sample": "",
    }


def _measured(cell: Cell | None, candidates: list[Record], source: Source) -> Entry:
    """What the records say."""
    found = _of_one_run(candidates)
    first = found[0]
    dataset = get_dataset(first.dataset)
    made: Entry = {"record": _reference(first, source), "measured": first.metric, "input_value": first.input_value,
                   "n": first.n, "sample": sample_note(first.dataset, "test", first.n, first.n_real),
                   "stand_in": first.dataset if dataset.embedded else None, "evidence": TRAINED}
    bad = next((r for r in found if r.status != "ok"), None)
    if bad is not None:
        return made | {"status": bad.status, "why": f"seed {bad.seed}: the output is {bad.status}"}
    by_seed = source.by_seed(found)
    values = list(by_seed.values())
    made |= {"value": mean(values), "n_seeds": len(values), "spread": stdev(values) if len(values) > 1 else None}
    why = _conditions(first)
    if recorded := sorted(by_seed.keys() - {r.seed for r in found}):
        why += f"; mean of {len(values)} seeds, {' and '.join(map(str, recorded))} from the calibration"
    if others := sorted({r.experiment for r in candidates} - {first.experiment}):
        why += f"; also measured by {', '.join(others)}"
    outdated = next(filter(None, map(source.outdated, found)), None)
    if outdated:
        return made | {"status": "stale", "why": outdated}
    if cell is None or cell.value is None:
        return made | {"status": "measured", "why": f"the paper prints no number; {why}"}
    if not _is_comparable(first, cell):
        return made | {"status": "measured", "why": f"not comparable with the paper's cell: {why}"}
    return made | _against_paper(made["value"] - cell.value, cell, made) | {"why": why}


def _by_authors(cell: Cell | None, candidates: list[Record], source: Source) -> Entry:
    """What the authors' weights give: of several test sets the largest."""
    first = max(candidates, key=lambda r: r.n)
    made: Entry = {"value": first.value, "spread": None, "n": first.n, "n_seeds": 1, "evidence": PUBLISHED,
                   "measured": first.metric, "record": _reference(first, source, KEPT), "input_value": first.input_value,
                   "sample": sample_note(first.dataset, "test", first.n, first.n_real),
                   "why": ", ".join(filter(None, [first.note, f"{first.n} pictures of {first.dataset}"]))}
    if first.value is None:
        return made | {"status": first.status}
    if source.by_earlier_code(first):
        made["why"] += "; by an earlier state of this code"
    if first.checkpoint == "published" and _has_training_pictures(first.dataset):
        made["why"] += f"; not trained on {get_dataset(first.dataset).title}'s own training pictures"
    if cell is None or cell.value is None or not _is_comparable(first, cell):
        return made | {"status": "measured"}
    return made | _against_paper(first.value - cell.value, cell, made)


def _of_one_run(candidates: list[Record]) -> list[Record]:
    """The seeds of one run, in order: of several that stand for a cell, one on the real benchmark goes first.

    Numbers of different runs are never averaged, and the printed metric goes before one that stands for it.
    """
    groups: dict[tuple[bool, bool, str, str], list[Record]] = {}
    for r in candidates:
        stands = metrics.get(r.metric).stands_for is not None
        groups.setdefault((get_dataset(r.dataset).embedded, stands, r.experiment, r.dataset), []).append(r)
    return sorted(groups[min(groups)], key=lambda r: r.seed)


def _reference(record: Record, source: Source, profile: str = "") -> str:
    """File and metric of a record."""
    path = records_folder(profile or source.profile, source.root) / record.system / f"{run_id(record)}.json"
    return f"{path.relative_to(source.root).as_posix()}#{record.metric}"


def run_id(record: Record) -> str:
    """Of the pipeline's run that a record is of (`reprolib.runs.run.Run.id`): the name of its files."""
    return record.experiment if record.seed == 0 else f"{record.experiment}-seed{record.seed}"


def _is_comparable(record: Record, cell: Cell) -> bool:
    """Whether a number means what the paper's does: the metric, the whole real test set, the network, the recipe.

    The authors' weights have their recipe, and a prior has none. A test set that has training pictures of its own was
    trained for, and none of the authors' weights that are at hand was.
    """
    trained = record.checkpoint not in ("published", "none")
    elsewhere = record.checkpoint == "published" and _has_training_pictures(record.dataset)
    return (record.metric == cell.metric and not get_dataset(record.dataset).embedded and not record.reduced
            and record.n == size_of_split(record.dataset) and not elsewhere and not (trained and _shortened(record)))


def _has_training_pictures(dataset: str) -> bool:
    return "train" in get_dataset(dataset).splits


def size_of_split(dataset: str) -> int | None:
    """Pictures that a whole test split has."""
    test = get_dataset(dataset).splits.get("test", {})
    found = test.get("pairs", test.get("a"))
    return None if found is None else int(found)


def _shortened(record: Record) -> bool:
    """Whether the training was another one than the system's authors describe; a larger dataset takes more steps."""
    steps = models.get(record.system).recipe.get("steps", 0)
    return record.recipe != "published" or record.steps < steps


def _against_paper(gap: float, cell: Cell, entry: Entry) -> Entry:
    """Status and signed gap of a comparable number."""
    if abs(gap) <= cell.half_digit:
        status = "reproduced"
    elif entry["spread"] is not None and entry["n_seeds"] > 1 and abs(gap) <= 2 * entry["spread"]:
        status = "within seed noise"
    else:
        status = f"off by {gap:+.4g}"
    return {"status": status, "gap": gap}


def _count(row: Row, cell: Cell | None) -> Entry:
    """Parameter counts need no training: the network is built without memory and counted."""
    if cell and cell.value is None:
        return {"status": "not printed", "why": "the paper prints '-'"}
    if row.system not in models.names():
        return {"status": "not attempted", "why": f"{row.system} is not built yet"}
    system, count = models.get(row.system), models.full_size_count(row.system)
    made: Entry = {"value": count, "n_seeds": 1, "evidence": COUNTED,
                   "why": f"exact count {count:,}" + (", verified" if system.verified_params == count else "")}
    if cell is None or cell.value is None:
        return made | {"status": "measured", "why": f"the paper prints no number; {made['why']}"}
    matched = abs(count - cell.value) <= cell.half_digit
    if not matched:
        made["why"] += f"; {system.count_note or 'differs from the printed figure'}"
    return made | {"status": "matched" if matched else "not matched", "gap": count - cell.value}


def _cost(paper: Paper, row: Row, column: str, metric: str, cell: Cell | None, source: Source) -> Entry:
    """Seconds and memory of a step, from the one run of the bench that measured all systems."""
    cost = source.costs.get(row.system)
    if cost is None:
        return _absent(paper, row, column, cell, source)
    reference = next((c.value for c in paper.cells if c.column == column and c.metric == metric
                      and all_rows()[c.row].system == cost.reference), None)
    ratio = f"{cost.ratios[metric]:.2f} of {models.get(cost.reference).label}'s in the same run"
    said = f"{ratio}; the paper prints no number" if not cell or not cell.value or not reference else \
        f"to be compared as a ratio: {ratio}, in the paper {cell.value / reference:.2f}"
    return {"status": "measured", "value": cost.values[metric], "n_seeds": 1, "evidence": TRAINED,
            "record": cost.file, "why": f"{said}; {cost.conditions}"}


def _absent(paper: Paper, row: Row, column: str, cell: Cell | None, source: Source) -> Entry:
    """Status and reason of a cell without a record."""
    if cell is None or cell.value is None:
        return {"status": "not printed", "why": "the paper prints '-'"}
    if row.system not in models.names():
        return {"status": "not attempted", "why": f"{row.system} is not built yet"}
    runs = [run for run in source.runs.values()
            if row.id in run.rows and (paper.name, column) in papers.columns_of(run.measured_on)]
    if absent := lacking(name for run in runs for name in (run.dataset, run.measured_on)):
        ways = " and ".join(f"`reprolib data register {name} PATH`" for name in absent)
        titles = " and ".join(f"{get_dataset(d).title} ({get_dataset(d).licence})" for d in absent)
        return {"status": "impossible here", "why": f"not on this machine, to be had by hand only: {titles}; {ways}"}
    if runs:
        return {"status": "not attempted", "why": f"{runs[0].id} is not measured yet: run `dvc repro`"}
    return {"status": "not attempted", "why": f"no run of profile '{source.profile}' stands for this row"}


def _conditions(record: Record) -> str:
    """What a reader must know before comparing."""
    metric, sample = metrics.get(record.metric), sample_note(record.dataset, "test", record.n, record.n_real)
    parts = [record.note] if record.note else []
    if metric.stands_for:
        parts.insert(0, f"{metric.label}, not {metrics.get(metric.stands_for).label}")
    if record.reduced:
        parts.append("reduced network (" + ", ".join(f"{k} {v}" for k, v in sorted(record.network.items())) + ")")
    if record.steps:
        parts.append(f"{record.steps} steps of batch {record.batch}, crop {record.crop}")
    if record.features:
        parts.append(f"features {record.features}")
    if record.steps and _shortened(record) and not get_dataset(record.dataset).embedded:
        parts.append("not its authors' training")
    if sample not in record.note:
        parts.append(sample)
    if record.checkpoint not in ("last", "none"):
        parts.append(f"checkpoint: {record.checkpoint}")
    return ", ".join(parts) or f"{record.n} pictures"
