"""Recording the expected results of a profile: every experiment at several seeds, and the tolerances they give."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

from reprolib import models
from reprolib.runs.code import current_hash, evaluation_entries, preload, training_entries
from reprolib.evaluation.run import evaluate_experiment
from reprolib.runs.experiment import Experiment, experiments
from reprolib.files import write_text
from reprolib.runs.concurrent import side_by_side
from reprolib.results import gate
from reprolib.evaluation.record import read_file, records_folder
from reprolib.training.run import train


def calibrate(profile: str, seeds: int, jobs: int | None = None, root: Path = Path()) -> str:
    """Measure seeds 1.. of every trained experiment beside the pipeline's seed 0; write expected/<profile>.json.

    May be stopped and started again: a seed whose record was made by the present code is not repeated.

    Raises:
        UserError: a run failed.
    """
    runs = [replace(e, seed=seed) for seed in range(seeds) for e in experiments(profile, root).values()
            if seed == 0 or models.get(e.system).trained]
    stale = [run for run in runs if not _current(run, root)]
    preload(name for run in stale for name in (*training_entries(run), *evaluation_entries(run)))
    side_by_side(partial(_measure, root=root), stale, jobs, always=True)
    records = [record for run in runs for record in read_file(_file(run, root))]
    path = gate.expected_file(profile, root)
    results = {"profile": profile, "results": gate.derive(records)}
    write_text(path, json.dumps(results, indent=1, sort_keys=True) + "\n")
    return f"{len(results['results'])} expected results in {path}"


def _measure(run: Experiment, root: Path) -> None:
    if models.get(run.system).trained:
        train(run, resume=True, root=root)
    evaluate_experiment(run, root, _folder(run, root) if run.seed else None)


def _current(run: Experiment, root: Path) -> bool:
    """Whether its record was made by the present code."""
    path = _file(run, root)
    return path.is_file() and all(r.code_hash == current_hash(run) for r in read_file(path))


def _file(run: Experiment, root: Path) -> Path:
    return _folder(run, root) / f"{run.id}.json"


def _folder(run: Experiment, root: Path) -> Path:
    """Seed 0 is the pipeline's own; other seeds' records serve the tolerances alone."""
    return root / "runs" / run.profile / "calibration" if run.seed else records_folder(run.profile, root)
