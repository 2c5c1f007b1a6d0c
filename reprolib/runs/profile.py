"""Reading a profile: profiles/NAME/params.yaml becomes typed runs, once, and every mistake in it is one line.

    defaults:   {dehazing: {...}, translation: {...}}        settings of all runs of a task
    systems:    {SYSTEM: {..., runs: {RUN: {dataset: ...}}}} a system's settings, and its runs
    segmenter:  {...}                                        changes of the recipe of the network that scores label maps

A run's settings are the system's objective, then the defaults of its task, then the published recipe if it is asked
for, then the system's, then its own. Nested mappings merge key by key, except `loss`, which is one choice; null takes a
setting away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from reprolib import models
from reprolib.contrast.samples import Rate
from reprolib.data.registry import datasets, get_dataset, own_dataset
from reprolib.errors import UserError, unknown
from reprolib.files import read_yaml
from reprolib.models.objective import Contrast, DehazingObjective, TranslationObjective
from reprolib.models.system import System
from reprolib.runs.places import profile_folder
from reprolib.runs.rows import check_rows, own_rows
from reprolib.runs.run import RUNS, DehazingRun, Optimiser, Schedule, TranslationRun

PARTS = ("defaults", "systems", "segmenter")
NOT_FOR_ALL = ("dataset", "test_dataset", "rows", "contrast", "objective")
"""What a default of all systems would turn into something else."""

ELSEWHERE = ("weights_of", "test_dataset", "rows", "note")
"""What a run may say that measures another's checkpoint."""

GIVEN = ("name", "profile", "system", "own", "extends")
"""Fields of a run that no profile sets: they follow from where it stands."""

LONGEST = 100
"""Letters of a run's name; folders add a seed or a fingerprint."""

NAME = re.compile(rf"\w[\w.-]{{0,{LONGEST - 1}}}")

TaskRun = DehazingRun | TranslationRun
T = TypeVar("T", bound=BaseModel)
D = TypeVar("D")


@dataclass(frozen=True)
class Profile:
    """The runs of a profile, in the order of its file."""

    name: str
    runs: Mapping[str, TaskRun]
    """By id."""
    segmenter: Mapping[str, Any]
    """Changes of the segmenter's recipe."""

    def of_system(self, system: str) -> list[TaskRun]:
        """The runs of one system."""
        return [run for run in self.runs.values() if run.system == system]

    @property
    def systems(self) -> list[str]:
        """Systems with runs, in the order of the file."""
        return list(dict.fromkeys(run.system for run in self.runs.values()))


def profiles(root: Path = Path()) -> list[str]:
    """Names of the profiles of a project.

    Raises:
        UserError: not in a project.
    """
    found = sorted(path.parent.name for path in (root / "profiles").glob("*/params.yaml"))
    if not found:
        raise UserError("not in a reprolib project", where=root.resolve(), fix="run from the checkout's root")
    return found


def read_profile(name: str, root: Path = Path()) -> Profile:
    """All runs of a profile.

    Raises:
        UserError: no such profile, or a mistake in it: file, run, key and the nearest key.
    """
    if name not in profiles(root):
        raise unknown("profile", name, profiles(root))
    where = profile_folder(name, root) / "params.yaml"
    return _read(name, root, where.resolve(), where.read_bytes())


@lru_cache(maxsize=4)
def _read(name: str, root: Path, place: Path, written: bytes) -> Profile:
    """Once as long as the same is written in the same place: a command asks for each of its runs."""
    content, where = _content(name, root)
    runs: dict[str, TaskRun] = {}
    for system, settings in content["systems"].items():
        for run in (settings or {}).get("runs") or {}:
            for built in _seeds(name, system, run, content, where):
                if built.id in runs:
                    raise UserError(f"two runs are called '{built.id}'", where=where, fix="rename one of them")
                runs[built.id] = built
    for run in runs.values():
        _check_start(run, runs, where)
    return Profile(name, runs, content.get("segmenter") or {})


def sittings(run: TaskRun, root: Path = Path()) -> list[int]:
    """Steps of its training, after those of the runs of its profile whose weights it starts from, the first first."""
    base = read_profile(run.profile, root).runs.get(run.init)
    return [*(sittings(base, root) if base else []), run.steps]


def find(profile: str, target: str, dataset: str | None = None, root: Path = Path(), **changes: Any) -> TaskRun:
    """The run called `target`, or the plain run of the system `target` on `dataset`; with changes, another run.

    Raises:
        UserError: neither a run of the profile nor a system; a system without a dataset; a setting that does not fit.
    """
    changes = {key: value for key, value in changes.items() if value is not None}
    known = read_profile(profile, root)
    if target in known.runs:
        run = known.runs[target]
        if dataset and dataset != run.dataset:
            name = f"{run.name}-on-{_short(dataset)}"
            changes |= {"name": name, "dataset": dataset, "test_dataset": None, "rows": ()}
    elif target in models.names():
        if dataset is None:
            raise UserError(f"no dataset given for '{target}'", fix="add --dataset NAME (`reprolib data list`)")
        content, where = _content(profile, root)
        plain = _build(profile, target, f"{target}-on-{_short(dataset)}", {"dataset": dataset}, content, where)
        twin = (r for r in known.of_system(target) if r.dataset == dataset and r.fingerprint == plain.fingerprint)
        run = next(twin, plain.changed())
    else:
        raise unknown("system or run", target, [*models.names(), *known.runs])
    if not changes:
        return run
    if changes.get("recipe", run.recipe) != run.recipe:  # other layers lie below it
        content, where = _content(profile, root)
        own = _runs(content, run.system).get(run.name) or {}
        run = _build(profile, run.system, run.name, {"dataset": run.dataset, **own, **changes}, content, where)
    changed = checked(type(run), {**run.settings, **changes, "own": False, "weights_of": ""}, f"run '{run.name}'")
    return run if changed.fingerprint == run.fingerprint and changed.measured_on == run.measured_on else changed


def _short(dataset: str) -> str:
    """A dataset as a part of a folder's name."""
    return "own-pictures" if own_dataset(dataset) else dataset


def select(profile: str, targets: Iterable[str], dataset: str | None = None, root: Path = Path(),
           **changes: Any) -> list[TaskRun]:
    """The runs that `targets` name, each once: as `find`, or all of a system's in the profile where no dataset is
    given, also where one of them is called like the system.

    Raises:
        UserError: as `find`; a system without runs in the profile counts as one without a dataset.
    """
    known = read_profile(profile, root)
    names: list[str] = []
    for target in targets:
        of_system = [run.id for run in known.of_system(target)]
        names += of_system if dataset is None and of_system else [target]
    found = (find(profile, name, dataset, root, **changes) for name in dict.fromkeys(names))
    return list({run.id: run for run in found}.values())


def _content(name: str, root: Path) -> tuple[dict[str, Any], Path]:
    """A profile as it is written, its outline checked."""
    where = profile_folder(name, root) / "params.yaml"
    content = read_yaml(where)
    _refuse_unknown(content, PARTS, f"part of {where}:")
    for part in ("defaults", "segmenter"):
        _refuse_other(content.get(part), f"{where}, {part}")
    _refuse_unknown(content.get("defaults") or {}, models.TASKS, f"task in {where}, defaults:")
    for task, settings in (content.get("defaults") or {}).items():
        _refuse_other(settings, f"{where}, {task}")
        for key in set(settings or {}) & set(NOT_FOR_ALL):
            raise UserError(f"'{key}' cannot be a default of all systems", where=f"{where}, defaults.{task}",
                            fix="set it for a system or a run")
    systems = content.get("systems")
    if not isinstance(systems, Mapping):
        raise UserError("a profile without systems", where=where, fix="write `systems: {NAME: {runs: {...}}}`")
    _refuse_unknown(systems, models.names(), f"system in {where}:")
    for system, settings in systems.items():
        _check_outline(settings or {}, f"{where}, {system}")
    return content, where


def _refuse_other(settings: object, place: str) -> None:
    """Refuse what is no mapping."""
    if not isinstance(settings or {}, Mapping):
        raise UserError("not settings", where=place, fix="write `{KEY: VALUE}`")


def _check_outline(settings: object, place: str) -> None:
    """Of a system's part: mappings where these must be, and runs whose names can be names of folders.

    Raises:
        UserError: anything else.
    """
    runs = settings.get("runs") or {} if isinstance(settings, Mapping) else None
    if not isinstance(runs, Mapping) or not all(isinstance(run or {}, Mapping) for run in runs.values()):
        raise UserError("not settings", where=place, fix="write `{runs: {NAME: {dataset: ...}}}`")
    for name in runs:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise UserError(f"'{name}' cannot be the name of a run, whose folder it names", where=place,
                            fix=f"take letters, digits, '-', '_' and '.', {LONGEST} at most")


def _runs(content: Mapping[str, Any], system: str) -> Mapping[str, Any]:
    return ((content["systems"].get(system) or {}).get("runs")) or {}


def _seeds(profile: str, system: str, name: str, content: Mapping[str, Any], where: Path) -> list[TaskRun]:
    """A run of a profile, once for each of its seeds."""
    settings = dict(_runs(content, system)[name] or {})
    if "weights_of" in settings:
        settings = _measured_elsewhere(settings, _runs(content, system), f"{where}, run '{name}'")
    seeds = settings.pop("seeds", 1)
    if not isinstance(seeds, int) or seeds < 1:
        raise UserError(f"seeds: {seeds} is no count", where=f"{where}, run '{name}'", fix="give 1 or more")
    run = _build(profile, system, name, settings, content, where)
    return [run if seed == 0 else run.changed(seed=seed, own=True) for seed in range(seeds)]


def _measured_elsewhere(settings: dict[str, Any], runs: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Settings of a run that measures the checkpoint of another one of its system."""
    for key in set(settings) - {*ELSEWHERE}:
        raise UserError(f"'{key}' belongs to a run that is trained", where=place, fix=f"keep {', '.join(ELSEWHERE)}")
    other = str(settings["weights_of"])
    trained = {name: dict(run or {}) for name, run in runs.items() if "weights_of" not in (run or {})}
    if other not in trained:
        raise unknown(f"run in {place}, weights_of:", other, trained)
    return {**trained[other], **settings}


def _build(profile: str, system: str, name: str, own: Mapping[str, Any], content: Mapping[str, Any],
           where: Path) -> TaskRun:
    """Merge the layers of a run's settings, and check them."""
    spec = models.get(system)
    of_system = {key: value for key, value in (content["systems"].get(system) or {}).items() if key != "runs"}
    layers: list[Mapping[str, Any]] = [_of_objective(spec), (content.get("defaults") or {}).get(spec.task) or {}]
    if [layer["recipe"] for layer in (*layers, of_system, own) if "recipe" in layer][-1:] == ["published"]:
        layers.append(spec.recipe)
    merged: dict[str, Any] = {}
    for layer in (*layers, of_system, own):
        for key, value in layer.items():
            both = key != "loss" and isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = {**merged[key], **value} if both else value
    place = f"{where}, run '{name}'"
    for key in set(GIVEN) & merged.keys():
        raise UserError(f"'{key}' is not set in a profile", where=place, fix="leave it out: it follows from the place")
    run = checked(RUNS[spec.task], {**merged, "name": name, "profile": profile, "system": system, "own": True}, place)
    _check_against_system(run, spec, place)
    run = run if run.rows or "rows" in own else run.model_copy(update={"rows": own_rows(run)})
    check_rows(run, place)
    return run


def _check_start(run: TaskRun, runs: Mapping[str, TaskRun], where: Path) -> None:
    """Where a run starts from another's weights (`init`), these are trained, of its system, and not in the end its own.

    Raises:
        UserError: anything else.
    """
    trained = {r.id: r for r in runs.values() if r.system == run.system and not r.weights_of}
    place, base, seen = f"{where}, run '{run.name}', init", run, set[str]()
    while base.init:
        if base.init not in trained:
            raise unknown(f"run in {place}:", base.init, trained)
        if base.init in seen:
            raise UserError(f"'{run.name}' would start from its own weights", where=place, fix="name another run")
        seen.add(base.init)
        base = trained[base.init]


def _of_objective(spec: System) -> dict[str, Any]:
    """What makes a dehazer itself; a translator's objective is complete by itself."""
    if not isinstance(spec.objective, DehazingObjective):
        return {}
    return {key: value for key, value in asdict(spec.objective).items() if value is not None}


def _check_against_system(run: TaskRun, spec: System, place: str) -> None:
    """Options of network and objective, datasets, rate: what one look at the profile can tell.

    Raises:
        UserError: the first that does not fit.
    """
    for name in (run.dataset, run.measured_on):
        if name not in datasets() and not own_dataset(name):
            raise unknown(f"dataset in {place}:", name, datasets())
        if (task := get_dataset(name).task) != spec.task:
            raise UserError(f"'{name}' is a dataset of {task}, {run.system} a system of {spec.task}",
                            where=place, fix="choose another dataset (`reprolib data list`)")
    checked(models.options_type(run.system), run.network, f"{place}, network")
    if isinstance(run, TranslationRun):
        build_objective(run, place)
    elif any(weight < 0 for weight in run.loss.values()) or run.contrast and run.contrast.weight < 0:
        raise UserError("a term of negative weight would be made as large as can be", where=place,
                        fix="give every term of loss and contrast a weight of 0 or more")
    elif run.contrast is not None:
        try:
            Rate.parse(run.contrast.rate)
        except UserError as error:
            raise UserError(error.what, where=f"{place}, contrast.rate", fix=error.fix) from error


def build_objective(run: TranslationRun, place: str = "") -> TranslationObjective:
    """The objective of a translator with the run's changes.

    Raises:
        UserError: a setting that it does not have, or of another type.
    """
    objective = models.get(run.system).objective
    assert isinstance(objective, TranslationObjective), f"{run.system} is no translator"
    return _checked_dataclass(objective, {**asdict(objective), **run.objective}, f"{place}, objective")


def _refuse_unknown(given: Iterable[str], known: Iterable[str], kind: str) -> None:
    known = list(known)
    for key in given:
        if key not in known:
            raise unknown(kind, str(key), known)


def checked(kind: type[T], settings: Mapping[str, Any], place: str) -> T:
    """Settings as typed ones.

    Raises:
        UserError: the first that is unknown, with the nearest name, or not what it must be.
    """
    try:
        return kind.model_validate_json(_json(settings, place))
    except ValidationError as error:
        raise _first(error, list(kind.model_fields), settings, place) from error


def _checked_dataclass(like: D, settings: Mapping[str, Any], place: str) -> D:
    """As `checked`, for the dataclass that `like` is an instance of."""
    kind = type(like)
    try:
        return TypeAdapter(kind).validate_json(_json(settings, place))
    except ValidationError as error:
        raise _first(error, [f.name for f in fields(kind)], settings, place) from error  # type: ignore[arg-type]


def _json(settings: Mapping[str, Any], place: str) -> str:
    """Read as JSON, lists may be tuples while nothing else is coerced."""
    for key, value in settings.items():
        if "\\ud" in ascii(value):  # a byte of a file's name that is no UTF-8, which neither JSON nor a header can say
            raise UserError(f"the name of {key} is no UTF-8: {value}", where=place, fix="rename the file or folder")
    try:
        return json.dumps(dict(settings))
    except TypeError as error:
        raise UserError(f"not a setting: {error}", where=place, fix="use text, numbers, lists and mappings") from error


def _first(error: ValidationError, known: list[str], settings: Mapping[str, Any], place: str) -> UserError:
    problem = error.errors()[0]
    path = [str(part) for part in problem["loc"]]
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return unknown(f"setting in {', '.join([place, *path[:-1]])}:", path[-1], NESTED.get(path[0], known))
    if problem["type"] == "missing":
        return UserError(f"no {path[-1]} given", where=place, fix=f"add `{path[-1]}: ...`")
    text = problem["msg"].removeprefix("Input ").removeprefix("Value error, ")
    return UserError(f"{'.'.join(path)} is {problem['input']!r}, which {text}", where=place, fix="change it")


NESTED = {"contrast": tuple(f.name for f in fields(Contrast)), "optimiser": tuple(Optimiser.model_fields),
          "schedule": tuple(Schedule.model_fields)}
"""Settings of the groups of a run, for the nearest name."""
