"""`reprolib systems`, `datasets`, `metrics`, `profiles`, and `runs`: what there is, and how far it is."""

from __future__ import annotations

import typer

from reprolib.commands.shared import MINI, Json, Profile, show

app = typer.Typer()
group = typer.Typer(help="What is trained, half-trained or out of date.", invoke_without_command=True)


@app.command()
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


@app.command()
def datasets(as_json: Json = False) -> None:
    """List the datasets and where they are."""
    from reprolib.commands.data import data_list

    data_list(as_json)


@app.command()
def metrics(as_json: Json = False) -> None:
    """List the metrics."""
    from reprolib import metrics as known

    rows = [{"name": m.name, "label": m.label, "unit": m.unit, "better": m.better, "of": m.of}
            for m in map(known.get, known.names())]
    show(rows, as_json, ("name", "label", "unit", "better", "of"))


@app.command()
def profiles(as_json: Json = False) -> None:
    """List the profiles: how much each trains."""
    from reprolib.runs.profile import profiles as known
    from reprolib.runs.profile import read_profile

    rows = []
    for name in known():
        runs = read_profile(name).runs.values()
        rows.append({"name": name, "runs": len(runs), "systems": len({r.system for r in runs}),
                     "steps": sum(r.steps for r in runs)})
    show(rows, as_json, ("name", "runs", "systems", "steps"))


@group.callback()
def runs(context: typer.Context, profile: Profile = MINI, as_json: Json = False) -> None:
    """List a profile's runs: trained, unfinished, out of date or not begun."""
    if context.invoked_subcommand:
        return
    from reprolib.runs.progress import progress

    show([vars(row) for row in progress(profile)], as_json, ("run", "system", "state", "step", "steps"))


@group.command("inputs")
def inputs(profile: Profile = MINI) -> None:
    """Write profiles/NAME/inputs.yaml: digests of what each stage reads (the pipeline's first stage)."""
    from reprolib.runs.inputs import write

    print(write(profile))
