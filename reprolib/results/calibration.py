"""Recording the expected results of a profile: every run at several seeds, and the tolerances they give."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from reprolib import models
from reprolib.evaluation.record import read_file
from reprolib.evaluation.run import measure_run
from reprolib.files import write_text
from reprolib.results import gate
from reprolib.runs.concurrent import side_by_side
from reprolib.runs.digests import measuring_digest, measuring_entries, training_entries
from reprolib.runs.places import Places
from reprolib.runs.profile import TaskRun, read_profile
from reprolib.training.run import train


def calibrate(profile: str, seeds: int, jobs: int | None = None, root: Path = Path(), add: bool = False) -> str:
    """Measure seeds 1.. of every trained run beside the pipeline's own; write profiles/<profile>/expected.json.

    May be stopped and started again: a seed whose record was made by the present code is not repeated.

    Args:
        add: keep what is recorded already, and record only numbers that are not, those of a new metric for example;
            runs whose numbers are all recorded are left alone.

    Raises:
        UserError: a run failed, or (with `add`) the recorded results are damaged.
    """
    path = gate.expected_file(profile, root)
    recorded = gate.read_expected(profile, root) if add and path.is_file() else {}
    own = [run for run in read_profile(profile, root).runs.values() if not _is_recorded(run, recorded, root)]
    others = [run.changed(seed=seed) for seed in range(1, seeds) for run in own
              if run.seed == 0 and models.get(run.system).trained]
    runs = [*own, *others]
    stale = [run for run in runs if not _is_current(run, root)]
    for name in sorted({name for run in stale for name in (*training_entries(run), *measuring_entries(run))}):
        import_module(name)  # once, before the processes are copied
    side_by_side(partial(_measure, root=root), stale, jobs, always=True)
    results = gate.derive(record for run in runs for record in read_file(Places(run, root).records)) | recorded
    write_text(path, json.dumps({"profile": profile, "results": results}, indent=1, sort_keys=True) + "\n")
    return f"{len(results)} expected results in {path}"


def _measure(run: TaskRun, root: Path) -> None:
    if models.get(run.system).trained:
        train(run, resume=True, root=root)
    measure_run(run, root)


def _is_recorded(run: TaskRun, recorded: Mapping[str, Any], root: Path) -> bool:
    """Whether all of its numbers have an expected result."""
    path = Places(run, root).records
    return path.is_file() and all(gate.key(r) in recorded for r in read_file(path))


def _is_current(run: TaskRun, root: Path) -> bool:
    """Whether its records were made by the present code, with the present settings."""
    path = Places(run, root).records
    return path.is_file() and all(
        r.code_hash == measuring_digest(run) and r.fingerprint in ("", run.fingerprint) for r in read_file(path))
