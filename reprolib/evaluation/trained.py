"""Which trained weights are taken where a person names none: those that are here, or those that come with the project.

Profiles that ship have their checkpoints in the DVC remote `released`, a folder of the repository. `dvc pull` brings
them to their places; a network is also used straight from there, so that it works right after the installation.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import reprolib
from reprolib import metrics
from reprolib.data.registry import get_dataset
from reprolib.errors import UserError
from reprolib.evaluation.networks import count
from reprolib.evaluation.record import read_file
from reprolib.files import read_yaml
from reprolib.models.weights import read_header
from reprolib.runs.places import Places, profile_folder
from reprolib.runs.profile import TaskRun, find, profiles, read_profile

RELEASED = Path("released/files/md5")
"""Where the remote keeps files, by their MD5 (DVC's layout)."""

CHECKOUT = Path(reprolib.__file__).resolve().parents[1]
"""The project that this package belongs to, if it runs from a checkout."""


def trained(system: str, profile: str | None = None, dataset: str | None = None, root: Path = Path()) -> Path:
    """Weights of a system that a run of a profile has made, or that were released.

    Args:
        profile: its first run that has weights; None takes of all profiles the network that betters its input on the
            most real test sets, of equal ones that with the best score; where none was measured on any, the largest,
            and then that of the most steps.
        dataset: only of runs that were trained or are measured on it.

    Raises:
        UserError: there are none.
    """
    if not (root / "profiles").is_dir() and (CHECKOUT / "profiles").is_dir():
        root = CHECKOUT  # a photo may lie anywhere
    names = profiles(root) if profile is None else [profile]
    found = [(run, path) for name in names for run in _runs(system, name, dataset, root)
             if (path := weights_of(run, root))]
    if not found:
        on, where = f" on {dataset}" if dataset else "", f" in profile '{profile}'" if profile else ""
        raise UserError(f"no trained {system}{on}{where}", where=root / "checkpoints" / (profile or ""),
                        fix=f"give --weights FILE, or run `reprolib train {system} --profile {profile or 'mini'}`")
    if profile:
        return found[0][1]
    return max((_strength(run, path, root), path) for run, path in found)[1]


def weights_of(run: TaskRun, root: Path = Path()) -> Path | None:
    """The last checkpoint of a run, in its place or in the released remote; None if it is in neither."""
    path = Places(run, root).weights
    return path if path.is_file() else _released(path, run, root)


def described(weights: Path) -> str:
    """Whose they are, in words: 'aecrnet of profile indoor: 2,614,229 scalars, 5,000 steps'."""
    header = read_header(weights)
    scalars = count(header.system, header.options)
    run, profile = (header.run.get(key, "?") for key in ("name", "profile"))
    return f"{run} of profile {profile}: {scalars:,} scalars, {header.step:,} steps"


def _runs(system: str, profile: str, dataset: str | None, root: Path) -> list[TaskRun]:
    runs = [r for r in read_profile(profile, root).of_system(system) if dataset in (None, r.dataset, r.measured_on)]
    return runs or ([find(profile, system, dataset, root)] if dataset is not None else [])  # trained by hand


def _strength(run: TaskRun, path: Path, root: Path) -> tuple[int, float, int, int]:
    header, scores = read_header(path, run.system), _scores(run, root)
    better = sum(score > (-math.inf if before is None else before) for score, before in scores)
    return better, max((s for s, _ in scores), default=-math.inf), count(run.system, header.options), header.step


def _scores(run: TaskRun, root: Path) -> list[tuple[float, float | None]]:
    """Of each real test set that its weights were measured on, the first metric and that of the input, the more the
    better; one score says little of pictures of another kind."""
    found = []
    for other in {r.id: r for r in (run, *read_profile(run.profile, root).of_system(run.system))}.values():
        path = Places(other, root).records
        records = read_file(path) if other.trained_as == run.trained_as and path.is_file() else []
        for record in records[:1]:
            if record.value is not None and not get_dataset(record.dataset).embedded:
                sign = 1 if metrics.get(record.metric).better == "higher" else -1
                before = None if record.input_value is None else sign * record.input_value
                found.append((sign * record.value, before))
    return found


def _released(path: Path, run: TaskRun, root: Path) -> Path | None:
    """The file of the remote that DVC's lock names for a checkpoint."""
    lock = profile_folder(run.profile, root) / "dvc.lock"
    if not run.own or not lock.is_file():
        return None
    stage = (read_yaml(lock).get("stages") or {}).get(f"train@{run.system}") or {}
    folder = f"checkpoints/{run.profile}/{run.system}"
    for out in stage.get("outs", ()):
        listing = _stored(str(out.get("md5")), root)
        if out.get("path") == folder and listing.is_file():
            files = {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_text(encoding="utf-8"))}
            found = _stored(files.get(path.relative_to(root / folder).as_posix(), ""), root)
            return found if found.is_file() else None
    return None


def _stored(md5: str, root: Path) -> Path:
    return root / RELEASED / md5[:2] / md5[2:]
