"""Where the time of the pipeline goes: `dvc repro`, watched from outside, stage by stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.markdown import to_markdown
from reprolib.pipeline import on_disk
from reprolib.runs.provenance import environment

RUNNING = "Running stage '"
"""How DVC announces a stage; the file goes before a colon, if it is not the root's."""

WORK = ("train", "evaluate")
KINDS = ("train", "evaluate", "notebooks", "prepare")


def times_file(profile: str, root: Path = Path()) -> Path:
    """Where the times of a profile's last whole run are kept."""
    return root / "results" / profile / "times.json"


def watch(profile: str, root: Path = Path(), command: tuple[str, ...] = ("dvc", "repro")) -> int:
    """Run the pipeline, its output passed on, and keep how long each stage took, if all that train or measure ran.

    In a fresh clone DVC leaves out a few others, whose results are in Git and unchanged.

    What lies between two announcements is counted to the first of them: the stage, and DVC's hashing of what it made.

    Raises:
        UserError: the pipeline failed.
    """
    found: list[dict[str, Any]] = []
    begun = time.monotonic()
    # Unbuffered: a line counts from when it is printed.
    with subprocess.Popen(command, cwd=root or None, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            if line.startswith(RUNNING):
                stage = line[len(RUNNING):].partition("'")[0].rpartition(":")[2]
                found.append({"stage": stage, "begun": time.monotonic() - begun})
    whole = time.monotonic() - begun
    if process.returncode:
        raise UserError("the pipeline failed", where=" ".join(command), fix="see above; what is done is kept")
    ends = [row["begun"] for row in found[1:]] + [whole]
    rows = [{"stage": row["stage"], "seconds": round(end - row["begun"], 1)}
            for row, end in zip(found, ends, strict=True)]
    stages = [stage for file in on_disk("dvc.yaml", root) for stage in yaml.safe_load(file.read_text())["stages"]]
    if {s for s in stages if _kind(s, profile) in WORK} <= {row["stage"] for row in rows}:
        content = {"date": datetime.now(UTC).date().isoformat(), "environment": environment(),
                   "cores": os.cpu_count(), "seconds": round(whole, 1), "stages": rows}
        write_text(times_file(profile, root), json.dumps(content, indent=1, sort_keys=True) + "\n")
    return len(rows)


def times_table(profile: str, root: Path = Path()) -> list[str]:
    """Markdown lines: seconds by kind of stage, from the last whole run; nothing where none is kept."""
    path = times_file(profile, root)
    if not path.is_file():
        return []
    content = json.loads(path.read_text())
    groups: dict[str, list[float]] = {}
    for row in content["stages"]:
        groups.setdefault(_kind(row["stage"], profile), []).append(row["seconds"])
    lines = [f"The whole of `dvc repro` took {content['seconds'] / 60:.1f} minutes ({content['date']}, "
             f"{content['environment']['cpu']}, {content['cores']} cores):", ""]
    rows = [{"stages": kind, "": len(seconds), "minutes": f"{sum(seconds) / 60:.1f}"}
            for kind, seconds in sorted(groups.items(), key=lambda item: -sum(item[1]))]
    return [*lines, to_markdown(pd.DataFrame(rows))]


def _kind(stage: str, profile: str) -> str:
    """Train, evaluate, notebooks, prepare (data and weights), or report."""
    first = stage.removeprefix(f"{profile}-").partition("-")[0]
    if first == "segmenter":
        return "train"
    if first == "vgg16":
        return "prepare"
    return first if first in KINDS else "report"
