"""What the report stages of the pipeline do, and which notebooks there are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reprolib.errors import unknown
from reprolib.evaluation import current_hash
from reprolib.experiment import experiments
from reprolib.paper import ledger
from reprolib.records import Record
from reprolib.report import tables
from reprolib.training import dehazing

PROTOCOL_SYSTEMS = ("dcp", "aodnet", "aecrnet")
"""Systems whose pictures are measured under every protocol."""


@dataclass(frozen=True)
class Notebook:
    """One executed notebook of a profile."""

    source: str
    parameters: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    """Files it reads; {profile} is filled in."""
    figures: tuple[str, ...] = ()
    modules: tuple[str, ...] = ("reprolib.report.tables", "reprolib.report.slider")


_LEDGER = "results/{profile}/ledger.json"
_SHOWN = tuple(f"outputs/{{profile}}/{s}-homogeneous" for s in PROTOCOL_SYSTEMS)
_SLIDER = (*_SHOWN, "data/haze-homogeneous", "results/{profile}/images/aecrnet-homogeneous.csv")


def _comparison(figure: str, column: str) -> Notebook:
    runs = tuple(f"{s}-{column}" for s in PROTOCOL_SYSTEMS)
    needs = (f"data/haze-{column}", *(f"outputs/{{profile}}/{r}" for r in runs),
             *(f"results/{{profile}}/images/{r}.csv" for r in runs))
    return Notebook("visual_comparison", {"figure": figure, "dataset": f"haze-{column}", "experiments": list(runs)},
                    needs, (figure,), ("reprolib.report.figures", "reprolib.report.slider"))


NOTEBOOKS: dict[str, Notebook] = {
    "table1": Notebook("table1", needs=(_LEDGER, *_SLIDER)),
    "table2": Notebook("table2", needs=(_LEDGER, *_SLIDER), modules=("reprolib.report.tables", "reprolib.report.slider", "reprolib.paper.claims")),
    "table4": Notebook("table4", needs=(_LEDGER, *_SLIDER), modules=("reprolib.report.tables", "reprolib.report.slider", "reprolib.paper.claims")),
    "protocols": Notebook("protocols", needs=("results/{profile}/tables/protocols.csv", *_SLIDER)),
    "figure4": Notebook("figure4_mixup", needs=("checkpoints/{profile}/aecrnet-homogeneous", *_SLIDER), figures=("figure4",),
                        modules=("reprolib.report.figures", "reprolib.report.slider")),
    "figure5": Notebook("figure5_offsets", needs=("checkpoints/{profile}/aecrnet-homogeneous", *_SLIDER,
                        "results/{profile}/records/aecrnet-homogeneous.json"), figures=("figure5",),
                        modules=("reprolib.report.figures", "reprolib.report.slider", "reprolib.models.dehazing.aecrnet")),
    "figure7": _comparison("figure7", "dense"),
    "figure8": _comparison("figure8", "nonhomogeneous"),
}


def build_ledger(profile: str, root: Path = Path()) -> list[ledger.Entry]:
    """The ledger with stale numbers marked."""
    runs = experiments(profile, root)
    hashes: dict[str, str] = {}

    def now(record: Record) -> str:
        e = runs.get(record.experiment)
        if e is None:
            return ""
        if e.name not in hashes:
            hashes[e.name] = current_hash(e, dehazing.entries(e))
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

    runs = [e for e in experiments(profile, root).values()
            if e.dataset == "haze-homogeneous" and f"table1/{e.system}" in e.rows and e.system in PROTOCOL_SYSTEMS]
    write(profile, runs, root)


def run_notebook(name: str, profile: str, root: Path = Path()) -> Path:
    """Execute one notebook of the profile.

    Raises:
        UserError: no such notebook, an unknown parameter or a failing cell.
    """
    from reprolib.report.notebooks import execute

    if name not in NOTEBOOKS:
        raise unknown("notebook", name, NOTEBOOKS)
    notebook = NOTEBOOKS[name]
    output = root / "results" / profile / "notebooks" / f"{name}.ipynb"
    execute(root / "notebooks" / f"{notebook.source}.ipynb", output, {"profile": profile, **notebook.parameters})
    return output
