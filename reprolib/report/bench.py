"""Tables and the figure of `reprolib bench`, drawn from its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from reprolib import papers
from reprolib.bench.case import MODES
from reprolib.bench.run import FOLDER, read
from reprolib.bench.targets import TARGETS
from reprolib.report.markdown import to_markdown
from reprolib.report.notebooks import execute
from reprolib.results.costs import read_costs
from reprolib.results.quantity import quantity, text
from reprolib.runs.rows import all_rows

GIB = 2**30

WAYS = """\
*Plain* is what a user would put together from PyTorch's own pieces in the published arrangement: torchvision's
deformable convolution, and VGG three times, for the restored, the clear and the hazy picture. Every way has a process
of its own, and they take steps in turns: *faster* is the median over turns of its time over ours, with quartiles;
*memory* our process's peak over its process's, both with their libraries; *growth* the same without what libraries and
weights took before the first step. Seconds hold for a machine at the given *load* (processes that wanted one of its
cores, these included); ratios hardly depend on it.""".replace("\n", " ")

STEPS = """\
`reprolib bench-translators` times all of them in one run, by the settings of profile `paper` and one picture, or two
where a method needs them; seconds are then halved, as printed, and memory is not. Shares are of CycleGAN's. Memory is
counted tensor by tensor, so that it means the same on a CPU and on a GPU, and may be counted again without an idle
machine (`--only-memory`); what operators take for themselves while they compute is not in it, and is in the
paper's.""".replace("\n", " ")


def label(row: Mapping[str, Any]) -> str:
    """A configuration in a line, the machine left out."""
    size = "whole picture" if row["task"] == "evaluate" else f"batch {row['batch']}, {row['crop']}x{row['crop']}"
    network = ", ".join(f"{k} {v}" for k, v in row["network"].items()) or "full size"
    rate = "" if row["rate"] == "1:1" else f", rate {row['rate']}"
    return f"{row['system']}, {size}, {network}{rate}, {row['precision']}"


def table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Times, memory and shares of the ceilings."""
    return pd.DataFrame([{
        "device": row["device"], "configuration": label(row), "layout": row["layout"],
        "s": round(row["step_seconds"], 4), "plain s": round(row["reference_seconds"], 4), "faster": _faster(row),
        "GiB": round(row["peak_memory"] / GIB, 2), "plain GiB": round(row["reference_memory"] / GIB, 2),
        "memory": round(row["memory_ratio"], 2), "GMACs": round(row["macs"] / 1e9, 2),
        "of products": f"{row['share_of_ceiling']:.0%}", "of copies": f"{row['share_of_copy_ceiling']:.0%}",
        "load": row["load"], "date": row["date"], "torch": row["torch"],
    } for row in rows])


def references(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Ours beside each other way: how many times as fast, and of its memory; or why the way is absent."""
    return pd.DataFrame([{
        "configuration": label(row), "beside": MODES[mode], "its s": round(way["reference_seconds"], 4),
        "faster": _faster(way), "its GiB": round(way["reference_memory"] / GIB, 2),
        "memory": round(way["memory_ratio"], 2), "growth": round(way["growth_ratio"], 2),
        "its first step s": round(way["first_step_seconds"], 1),
    } if "absent" not in way else {"configuration": label(row), "beside": MODES[mode], "faster": way["absent"]}
        for row in rows for mode, way in row["references"].items()]).astype(object).fillna("")


def _faster(way: Mapping[str, Any]) -> str:
    low, high = way["speedup_quartiles"]
    return f"{way['speedup']:.2f} ({low:.2f} to {high:.2f})"


def targets(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Every target that speaks of a row."""
    return pd.DataFrame([{
        "device": row["device"], "configuration": label(row), "measure": v["measure"], "target": v["target"],
        "value": round(v["value"], 3),
        "verdict": "met" if v["met"] else f"missed by {v['missed_by']:.0%}", "bound by": v["bound"],
    } for row in rows for v in row["targets"]], columns=["device", "configuration", "measure", "target", "value",
                                                         "verdict", "bound by"])


def translators(root: Path = Path()) -> pd.DataFrame:
    """What a step of each translator costs, also as a share of the first one's, beside the paper's share; empty where
    nothing was measured."""
    costs, rows = read_costs(root), []
    for paper, table in papers.tables():
        printed = {(all_rows()[c.row].system, c.metric): c.value for c in paper.cells if c.metric in table.costs}
        for row in table.rows.values():
            if not table.costs or row.system not in costs:
                continue
            cost = costs[row.system]
            shown = {"system": row.label, "pictures in a step (memory)": f"{cost.batch} ({cost.memory_batch})"}
            for metric in table.costs:
                theirs, reference = (printed.get((name, metric)) for name in (row.system, cost.reference))
                label = f"{quantity(metric).label} [{quantity(metric).unit}]"
                shown |= {label: text(metric, cost.values[metric]), f"share of {label}": f"{cost.ratios[metric]:.2f}",
                          f"the paper's share of {label}": f"{theirs / reference:.2f}" if theirs and reference else ""}
            rows.append(shown)
    return pd.DataFrame(rows)


def ratios(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """How many times as fast as the plain way: median, quartiles and target of each row."""
    figure = Figure(figsize=(9, 1.2 + 0.45 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        low, high = row["speedup_quartiles"]
        axes.barh(place, row["speedup"], color="tab:blue", alpha=0.6)
        axes.plot([low, high], [place, place], color="black")
        for target in (t for t in TARGETS if t.measure == "speedup" and t.fits(row)):
            axes.plot(target.limit, place, marker="|", markersize=18, color="tab:red")
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{label(row)}\n{row['device']}" for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as the plain way (red: target)")
    return figure


def page(root: Path = Path()) -> str:
    """The page beside the bench's files, Markdown; empty where there are none."""
    rows = read(root)
    if not rows:
        return ""
    shown, promised = table(rows).astype(str), targets(rows).drop(columns="device").astype(str)
    lines = ["# A step, and a whole picture, beside other ways of computing them in one run", "", WAYS, "",
             to_markdown(shown), to_markdown(references(rows).astype(str)), to_markdown(promised)]
    if len(costs := translators(root)):
        conditions = next(iter(read_costs(root).values())).conditions
        lines += ["# A step of each translator of CUT's table", "", f"{STEPS} ({conditions})", "",
                  to_markdown(costs.astype(str))]
    return "\n".join(lines).rstrip() + "\n"


def write_notebook(root: Path = Path()) -> Path:
    """Execute notebooks/bench.ipynb into results/bench.

    It belongs to no profile and is no stage of the pipeline, because every machine has other numbers.
    """
    output = root / FOLDER / "bench.ipynb"
    execute(root / "notebooks" / "bench.ipynb", output, {})
    return output
