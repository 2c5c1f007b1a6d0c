"""Many runs on many machines: a job for each run, on a Slurm cluster, or on the GPUs of this machine.

A job that reaches its time limit is put back into the queue and goes on from its last state, to the same result; so
does one whose node dies. `dvc repro` takes what the jobs have trained as it is, measures and draws.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reprolib import models
from reprolib.errors import UserError
from reprolib.progress import say
from reprolib.runs.profile import TaskRun
from reprolib.training.start import in_turn

JOBS = Path("runs/jobs")
"""What jobs are told and what they say."""

REQUEUED = 1000
"""Times at most that a job may reach its limit: only a loop should ever do."""

PORT = 29500
"""Where the processes of a run on several nodes meet."""


@dataclass(frozen=True)
class Resources:
    """What one run gets."""

    minutes: int
    """Time limit of a job; a run may need many of them."""
    processes: int = 1
    """Processes on each node that share a run, a GPU each."""
    nodes: int = 1
    cpus: int = 8
    """Cores of each process."""
    partition: str | None = None
    at_once: int = 16
    """Jobs that run at the same time."""
    warning: int = 90
    """Seconds before the limit at which a job is told to stop; longer than a step and its writing."""
    accelerator: str = "auto"


class Job:
    """Trains one run; submitit sends it, and calls `checkpoint` shortly before the time limit."""

    def __init__(self, resources: Resources):
        self.resources = resources

    def __call__(self, run: TaskRun) -> str:
        shared = self.resources.processes * self.resources.nodes > 1
        if shared:
            subprocess.run(self.command(run), check=True)
        else:
            train_alone(run, self.resources.accelerator)
        return run.id

    def command(self, run: TaskRun) -> list[str]:
        """The processes of this node, which meet those of the others at the first one."""
        from submitit import JobEnvironment

        nodes, here = self.resources.nodes, JobEnvironment()
        meeting = ["--standalone"] if nodes == 1 else [
            "--nnodes", str(nodes), "--node-rank", str(here.node), "--rdzv-backend", "c10d", "--rdzv-id",
            here.job_id, "--rdzv-endpoint", f"{here.hostnames[0]}:{PORT}"]
        return [sys.executable, "-m", "torch.distributed.run", *meeting, "--nproc-per-node",
                str(self.resources.processes), "-m", "reprolib", "train", run.id, "--profile", run.profile, "--resume",
                "--accelerator", self.resources.accelerator]

    def checkpoint(self, run: TaskRun) -> Any:
        """The same again: the state on the disk says where to go on."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, run)


def train_alone(run: TaskRun, accelerator: str) -> None:
    """As a stage of the pipeline trains a run: on a CPU with one thread, so that not a bit differs."""
    import torch

    from reprolib.runtime import keep_freed_memory
    from reprolib.training.run import train

    keep_freed_memory()  # what else `tune` sets is in the environment of whoever sent the job
    if accelerator == "cpu" or not torch.cuda.is_available():
        torch.set_num_threads(1)
    train(run, resume=True, again=False, accelerator=accelerator)


def submit(runs: Sequence[TaskRun], engine: str, resources: Resources) -> list[Any]:
    """Send a job for each run that trains something; runs that start from others' weights wait for these.

    Args:
        engine: 'slurm': a job array, with another one after it for runs that wait, and back at once. 'local': jobs on
            this machine, a GPU each if there are any, and back when all are done.

    Returns:
        submitit's jobs, in the order of the runs, but for those that wait, which come after.

    Raises:
        UserError: nothing to train, no submitit, no Slurm; or, of local jobs, the first that failed.
    """
    try:
        import submitit
    except ImportError as error:
        raise UserError("jobs are sent by submitit, which is not installed", fix="pip install submitit") from error
    chosen = [run for run in runs if models.get(run.system).trained and not run.weights_of]
    if not chosen:
        raise UserError("nothing to train among these runs", fix="dvc repro measures them")
    JOBS.mkdir(parents=True, exist_ok=True)
    if engine == "slurm":
        return _to_slurm(submitit, in_turn(chosen), resources)
    return [job for group in in_turn(chosen) for job in _here(submitit, group, resources)]


def _to_slurm(submitit: Any, groups: list[list[TaskRun]], resources: Resources) -> list[Any]:
    """An array for each group, which Slurm starts once all jobs of the one before have ended well."""
    try:
        executor = submitit.SlurmExecutor(folder=JOBS, max_num_timeout=REQUEUED)
    except RuntimeError as error:
        raise UserError("no Slurm here: srun is not found", where="--engine slurm",
                        fix="send jobs from a node of the cluster, or use --engine local") from error
    gpus = {} if resources.accelerator == "cpu" else {"gpus_per_node": resources.processes}
    partition = {} if resources.partition is None else {"partition": resources.partition}
    executor.update_parameters(
        job_name="reprolib", time=resources.minutes, nodes=resources.nodes, ntasks_per_node=1,
        cpus_per_task=resources.cpus * resources.processes, signal_delay_s=resources.warning,
        array_parallelism=resources.at_once, **gpus, **partition)
    jobs: list[Any] = []
    try:
        for group in groups:
            if jobs:
                executor.update_parameters(dependency=f"afterok:{array_of(jobs[-1])}")
            jobs += executor.map_array(Job(resources), group)
    except submitit.core.utils.FailedJobError as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        raise UserError(f"Slurm refuses the jobs: {reason}", fix="see sinfo for partitions and their limits") from error
    return jobs


def array_of(job: Any) -> str:
    """The number that Slurm gave to the array of a job."""
    return str(job.job_id).partition("_")[0]


def _here(submitit: Any, runs: list[TaskRun], resources: Resources) -> list[Any]:
    """At most a job for each GPU, or each core, at a time."""
    if resources.nodes > 1:
        raise UserError("this machine is one node", where="--nodes", fix="use --engine slurm")
    gpus = 0 if resources.accelerator == "cpu" else _gpus()
    if gpus and resources.processes > gpus:
        raise UserError(f"{resources.processes} processes want a GPU each, and there are {gpus}", where="--processes",
                        fix=f"give at most {gpus}")
    slots = gpus // resources.processes if gpus else max(1, len(os.sched_getaffinity(0)) // resources.processes)
    free = list(range(min(slots, resources.at_once)))
    running: dict[Any, int] = {}
    jobs: list[Any] = []
    for run in runs:
        while not free:
            free += [running.pop(job) for job in list(running) if job.done()]
            time.sleep(0.0 if free else 0.2)
        slot = free.pop(0)
        executor = submitit.LocalExecutor(folder=JOBS, max_num_timeout=REQUEUED)
        first = slot * resources.processes
        visible = {"gpus_per_node": resources.processes,
                   "visible_gpus": list(range(first, first + resources.processes))} if gpus else {}
        executor.update_parameters(timeout_min=resources.minutes, signal_delay_s=resources.warning, **visible)
        job = executor.submit(Job(resources), run)
        running[job] = slot
        jobs.append(job)
        say(f"{run.id}: job {job.job_id}; {job.paths.stderr}")
    for run, job in zip(runs, jobs, strict=True):
        if job.exception() is not None:
            said = re.findall(r"^[\w.]+: (.+)$", str(job.exception()), re.MULTILINE)  # the end of a traceback
            raise UserError(f"'{run.id}' failed: {said[-1] if said else 'its process died'}", where=job.paths.stderr,
                            fix="mend it and send the jobs again")
    return jobs


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
