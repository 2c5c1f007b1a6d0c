"""`reprolib systems | datasets | metrics | profiles`: what there is."""

from __future__ import annotations

from reprolib.commands.console import show
from reprolib.commands.options import Json


def systems(as_json: Json = False) -> None:
    """List the systems with their exact parameter counts beside the paper's."""
    from reprolib import models

    rows = []
    for system in map(models.get, models.names()):
        parts = models.count_parts(system.name)
        rows.append({"name": system.name, "task": system.task, "params": next(iter(parts.values())), "parts": parts,
                     "paper_params": system.paper_params, "source": system.source, "label": system.label,
                     "count_note": system.count_note})
    show(rows, as_json, ("name", "task", "params", "paper_params", "source"))


def datasets(as_json: Json = False) -> None:
    """List the datasets and where they are (as `data list`)."""
    from reprolib.commands.data import data_list

    data_list(as_json)


def metrics(as_json: Json = False) -> None:
    """List the metrics, and what each is measured of."""
    from reprolib import metrics

    rows = [{"name": m.name, "label": m.label, "of": m.of, "unit": m.unit, "better": m.better, "decimals": m.decimals}
            for m in map(metrics.get, metrics.names())]
    show(rows, as_json, ("name", "label", "of", "unit", "better"))


def profiles(as_json: Json = False) -> None:
    """List the profiles and how much each runs."""
    from reprolib.runs.profile import profiles, read_profile

    rows = []
    for name in profiles():
        runs = read_profile(name).runs.values()
        rows.append({"name": name, "runs": len(runs), "systems": len({run.system for run in runs}),
                     "steps": sum(run.steps for run in runs), "datasets": sorted({run.measured_on for run in runs})})
    show(rows, as_json, ("name", "runs", "systems", "steps", "datasets"))
