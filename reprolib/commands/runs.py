"""`reprolib runs`: what is trained, half trained, stale; and what the pipeline's stages read."""

from __future__ import annotations

import math

import typer

from reprolib.commands.console import show
from reprolib.commands.options import MINI, Json, Profile
from reprolib.commands.project import require_own_package

app = typer.Typer(invoke_without_command=True, help="The runs of a profile: trained, unfinished or stale.")


@app.callback()
def runs(context: typer.Context, profile: Profile = MINI, as_json: Json = False) -> None:
    """List the runs of a profile: what is trained, half trained, stale, and what is measured."""
    if context.invoked_subcommand is not None:
        if profile != MINI or as_json:
            raise typer.BadParameter(f"give options after '{context.invoked_subcommand}'.")
        return
    from reprolib.progress import duration
    from reprolib.runs.profile import read_profile
    from reprolib.training.status import status_of

    found = [status_of(run) for run in read_profile(profile).runs.values()]
    show([{"run": s.run.id, "system": s.run.system, "dataset": s.run.dataset, "state": s.state, "step": s.step,
           "steps": s.run.steps, "records": s.records, "why": s.why,
           "seconds_left": None if math.isnan(s.seconds_left) else round(s.seconds_left),
           "left": "" if math.isnan(s.seconds_left) else duration(s.seconds_left)} for s in found], as_json,
         ("run", "state", "step", "steps", "left", "records", "why"))


@app.command("inputs")
def runs_inputs(profile: Profile = MINI) -> None:
    """Write profiles/PROFILE/inputs.json: what each stage of the pipeline reads, as digests."""
    from reprolib.runs.standing import inputs_file, stands

    require_own_package()
    if not stands(profile):
        from reprolib.runs.inputs import write  # loads torch

        write(profile)
    print(inputs_file(profile))
