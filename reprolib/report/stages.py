"""What the report stages of the pipeline do."""

from __future__ import annotations

from pathlib import Path

from reprolib.runs.code import current_hash
from reprolib.errors import unknown
from reprolib.runs.experiment import experiments
from reprolib.models import module_of
from reprolib.results import ledger
from reprolib.evaluation.record import Record
from reprolib.report import tables
from reprolib.report.catalogue import notebooks, protocol_runs


def build_ledger(profile: str, root: Path = Path()) -> list[ledger.Entry]:
    """The ledger with stale numbers marked."""
    runs = experiments(profile, root)
    hashes: dict[str, str] = {}

    def now(record: Record) -> str:
        e = runs.get(record.experiment)
        if e is None:
            return ""
        if e.name not in hashes:
            hashes[e.name] = current_hash(e)
        return hashes[e.name]

    return ledger.build(profile, root, now)


def write_ledger(profile: str, root: Path = Path()) -> None:
    """results/<profile>/ledger.* and results/<profile>/tables/*."""
    entries = build_ledger(profile, root)
    ledger.write(profile, entries, root)
    tables.write(profile, entries, root)


def write_protocols(profile: str, root: Path = Path()) -> None:
    """results/<profile>/tables/protocols.*."""
    from reprolib.report.protocols import write

    write(profile, protocol_runs(list(experiments(profile, root).values())), root)


def run_notebook(name: str, profile: str, root: Path = Path()) -> Path:
    """Execute one notebook of the profile.

    Raises:
        UserError: no such notebook, an unknown parameter or a failing cell.
    """
    from reprolib.report.notebooks import execute

    known = notebooks(list(experiments(profile, root).values()))
    if name not in known:
        raise unknown("notebook", name, known)
    output = root / "results" / profile / "notebooks" / f"{name}.ipynb"
    source = root / "notebooks" / f"{known[name].source}.ipynb"
    execute(source, output, {"profile": profile, **known[name].parameters}, name)
    return output


def run_pictures(dataset: str, systems: list[str], output: Path, data_root: Path | None, count: int,
                 root: Path = Path()) -> None:
    """Execute notebooks/real_pictures.ipynb.

    Args:
        systems: NAME or NAME=WEIGHTS each; a name without weights must be a prior.
        output: where the executed notebook goes, with the figure as PNG beside it.

    Raises:
        UserError: unknown names, missing data, or a cell that fails.
    """
    from reprolib.data.registry import locate
    from reprolib.report.notebooks import execute

    pairs = [(name, weights or None) for name, _, weights in (text.partition("=") for text in systems)]
    for name, _ in pairs:
        module_of(name)
    place = locate(dataset, data_root)
    execute(root / "notebooks" / "real_pictures.ipynb", output, {
        "dataset": dataset, "folder": str(place.resolve()), "systems": [list(pair) for pair in pairs], "count": count,
        "figure": str(output.with_suffix(".png").resolve())})
