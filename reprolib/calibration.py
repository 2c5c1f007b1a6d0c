"""Recording the expected results of a profile: every experiment at several seeds, and the tolerances they give."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from reprolib import models
from reprolib.code import current_hash
from reprolib.evaluation.run import evaluate_experiment
from reprolib.experiment import experiments
from reprolib.files import write_text
from reprolib.paper import gate
from reprolib.records import Record, read_file, records_folder
from reprolib.training.run import train


def calibrate(profile: str, seeds: int, root: Path = Path()) -> str:
    """Measure seeds 1.. of every trained experiment beside the pipeline's seed 0; write expected/<profile>.json.

    May be stopped and started again: a seed whose record was made by the present code is not repeated.

    Raises:
        UserError: a run failed, or the pipeline's own records are missing.
    """
    kept = root / "runs" / profile / "calibration"
    records: list[Record] = []
    for experiment in experiments(profile, root).values():
        trained = models.get(experiment.system).trained
        for seed in range(seeds if trained else 1):
            run = replace(experiment, seed=seed)
            path = (kept if seed else records_folder(profile, root)) / f"{run.id}.json"
            code = current_hash(run)
            found = read_file(path) if path.is_file() else []
            if not found or any(r.code_hash != code for r in found):
                if trained:
                    train(run, resume=True, root=root)
                found = evaluate_experiment(run, root, kept if seed else None)
            records += found
    path = gate.expected_file(profile, root)
    results = {"profile": profile, "results": gate.derive(records)}
    write_text(path, json.dumps(results, indent=1, sort_keys=True) + "\n")
    return f"{len(results['results'])} expected results in {path}"
