"""Which tables, figures and notebooks a profile has: read by the pipeline, and by the stages when they run.

Nothing heavy is imported here. A notebook is listed where the profile has the experiments that it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from reprolib import models
from reprolib.data.registry import get_dataset
from reprolib.runs.experiment import Experiment

TABLES = ("table1", "table2", "table4", "cut")
LEDGER_FILES = (*(f"ledger.{kind}" for kind in ("json", "csv", "md")),
                *(f"tables/{table}.{kind}" for table in TABLES for kind in ("csv", "md")))
PROTOCOL_TABLES = ("tables/protocols.csv", "tables/protocols.md")
PROTOCOL_SYSTEMS = ("dcp", "aodnet", "aecrnet")
"""Systems whose pictures are measured under every protocol."""


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline that draws notebooks; {profile} is filled in."""

    name: str
    command: str
    modules: tuple[str, ...]
    needs: tuple[str, ...]
    makes: tuple[str, ...]
    sources: tuple[str, ...]
    """The notebooks that it runs."""


@dataclass(frozen=True)
class Notebook:
    """One executed notebook of a profile."""

    name: str
    source: str
    parameters: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()

    @property
    def makes(self) -> tuple[str, ...]:
        return (f"results/{{profile}}/notebooks/{self.name}.ipynb",
                *(f"results/{{profile}}/figures/{figure}.png" for figure in self.figures))


TABLE_MODULES = ("reprolib.report.tables", "reprolib.report.slider", "reprolib.results.claims")
PUBLISHED = tuple(f"results/published/records/{name}.json" for name in (
    "aodnet-sots-indoor", "dcp-sots-indoor", "dehazenet-sots-indoor", "gcanet-sots-indoor"))
"""Kept in Git: they were measured where the authors' weights and a sample of the benchmark were at hand."""
FIGURE_MODULES = ("reprolib.report.figures", "reprolib.report.slider")


def protocol_runs(runs: Sequence[Experiment]) -> list[Experiment]:
    """The runs that are measured under every protocol."""
    return [e for e in runs if e.system in PROTOCOL_SYSTEMS and f"table1/{e.system}" in e.rows
            and get_dataset(e.measured_on).column == "sots"]


def notebooks(runs: Sequence[Experiment]) -> dict[str, Notebook]:
    """The notebooks of a profile by name."""
    found = _dehazing(runs) + _translation(runs)
    return {notebook.name: notebook for notebook in found}


def report_stages(runs: Sequence[Experiment]) -> list[Stage]:
    """The stages that draw notebooks and their figures: one for each half, since a notebook takes seconds to start."""
    halves = (_together("dehazing", _dehazing(runs)), _together("translation", _translation(runs)))
    return [stage for stage in halves if stage]


def _together(task: str, group: Sequence[Notebook]) -> Stage | None:
    if not group:
        return None
    return Stage(f"notebooks-{task}", f"notebook {' '.join(n.name for n in group)}",
                 ("reprolib.report.notebooks", *(m for n in group for m in n.modules)),
                 tuple(need for n in group for need in n.needs), tuple(made for n in group for made in n.makes),
                 tuple(dict.fromkeys(n.source for n in group)))


def _dehazing(runs: Sequence[Experiment]) -> list[Notebook]:
    main = next((e for e in runs if "table2/ours" in e.rows), None)
    if main is None:
        return []
    slider = _outputs([main])
    ledger = "results/{profile}/ledger.json"
    shown = {"experiment": main.name}
    found = [Notebook(t, t, shown, (ledger, *slider), modules=TABLE_MODULES) for t in ("table2", "table4")]
    found.append(Notebook("table1", "table1", shown, (ledger, *slider, *PUBLISHED),
                          modules=(*TABLE_MODULES, "reprolib.report.published")))
    found.append(Notebook("protocols", "protocols", shown, ("results/{profile}/tables/protocols.csv", *slider),
                          modules=("reprolib.report.tables", "reprolib.report.slider")))
    found.append(Notebook("dcp_variants", "dcp_variants", needs=("results/published/tables/dcp_variants.csv",),
                          modules=("reprolib.report.dcp",)))
    checkpoint = f"checkpoints/{{profile}}/{main.name}"
    found.append(Notebook("figure4", "figure4_mixup", shown, (checkpoint, *slider), ("figure4",), FIGURE_MODULES))
    found.append(Notebook("figure5", "figure5_offsets", shown,
                          (checkpoint, f"results/{{profile}}/records/{main.name}.json", *slider), ("figure5",),
                          (*FIGURE_MODULES, "reprolib.models.dehazing.aecrnet")))
    for figure, column in (("figure7", "dense-haze"), ("figure8", "nh-haze")):
        group = [e for e in runs if get_dataset(e.measured_on).column == column
                 and f"table1/{e.system}" in e.rows and e.recipe == "common"]
        if group:
            parameters = {"figure": figure, "dataset": group[0].measured_on, "experiments": [e.name for e in group]}
            found.append(Notebook(figure, "visual_comparison", parameters, _outputs(group), (figure,), FIGURE_MODULES))
    return found


def _translation(runs: Sequence[Experiment]) -> list[Notebook]:
    group = [e for e in runs if models.get(e.system).task == "translation"]
    if not group:
        return []
    ledger = "results/{profile}/ledger.json"
    table = Notebook("cut_table", "cut_table",
                     needs=(ledger, "results/{profile}/cost/translation.json",
                            *(f"results/{{profile}}/records/{e.name}.json" for e in group)),
                     modules=(*TABLE_MODULES, "reprolib.report.translation"))
    found = [table] if any(row.startswith("cut/") for e in group for row in e.rows) else []
    for column in ("horse2zebra", "cat2dog", "cityscapes"):
        shown = [e for e in group if get_dataset(e.measured_on).column == column and any("cut/" in r for r in e.rows)]
        if shown:
            parameters = {"figure": f"cut_{column}", "dataset": shown[0].measured_on,
                          "experiments": [e.name for e in shown]}
            found.append(Notebook(f"cut_{column}", "translation_grid", parameters, _outputs(shown),
                                  (f"cut_{column}",), FIGURE_MODULES))
    cut = next((e for e in group if "cut/cut" in e.rows and get_dataset(e.measured_on).column == "horse2zebra"), None)
    if cut is not None:  # the longest goes first, since they run side by side
        needs = (f"checkpoints/{{profile}}/{cut.name}", f"data/{cut.measured_on}",
                 f"results/{{profile}}/records/{cut.name}.json")
        modules = (*FIGURE_MODULES, "reprolib.report.similarity", models.module_of("cut"))
        found.insert(0, Notebook("patchnce", "patchnce_similarity", {"experiment": cut.name}, needs, ("patchnce",),
                                 modules))
    return found


def _outputs(runs: Sequence[Experiment]) -> tuple[str, ...]:
    """Data, pictures and per-image numbers of some experiments."""
    data = sorted({f"data/{e.measured_on}" for e in runs if get_dataset(e.measured_on).embedded})
    images = (f"results/{{profile}}/images/{e.name}.csv" for e in runs if models.get(e.system).task == "dehazing")
    return (*data, *(f"outputs/{{profile}}/{e.name}" for e in runs), *images)
