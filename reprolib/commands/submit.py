"""`reprolib submit`: the runs of a profile as jobs of a cluster, or of this machine."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from reprolib.commands.options import LARGEST, MINI, Accelerator, Profile
from reprolib.commands.project import require_own_package


def submit(
    targets: Annotated[list[str] | None, typer.Argument(
        metavar="[RUN|SYSTEM]...", help="Runs of the profile, or systems; all by default.")] = None,
    profile: Profile = MINI,
    engine: Annotated[Literal["slurm", "local"], typer.Option(
        help="slurm: a job array; local: this machine, a job on each GPU.")] = "slurm",
    minutes: Annotated[int, typer.Option(
        min=1, max=LARGEST, help="Time limit of a job; it is requeued and goes on.")] = 240,
    processes: Annotated[int, typer.Option(
        min=1, max=256, help="Processes on each node that share a run, a GPU each.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, max=256, help="Nodes that share a run.")] = 1,
    cpus: Annotated[int, typer.Option(min=1, max=256, help="Cores of each process.")] = 8,
    partition: Annotated[str | None, typer.Option(help="Slurm's partition.")] = None,
    at_once: Annotated[int, typer.Option(min=1, max=LARGEST, help="Jobs that run at the same time.")] = 16,
    warning: Annotated[int, typer.Option(
        min=1, max=3600, help="Seconds before its limit at which a job stops.")] = 90,
    accelerator: Accelerator = "auto",
) -> None:
    """Train runs as jobs, each of which goes on where it was stopped; `dvc repro` takes over what they have trained."""
    require_own_package()
    from reprolib.runs.profile import read_profile, select
    from reprolib.training.submit import Resources, array_of
    from reprolib.training.submit import submit as send

    runs = select(profile, targets) if targets else list(read_profile(profile).runs.values())
    resources = Resources(minutes, processes, nodes, cpus, partition, at_once, warning, accelerator)
    jobs = send(runs, engine, resources)
    if engine == "slurm":
        arrays = ",".join(dict.fromkeys(map(array_of, jobs)))
        print(f"{len(jobs)} jobs in the array {arrays}; `squeue -j {arrays}` and `reprolib runs --profile {profile}` "
              "say how far they are")
    else:
        print(f"{len(jobs)} jobs done; `dvc repro profiles/{profile}/dvc.yaml` takes over")
