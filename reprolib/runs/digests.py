"""What a number depends on, as short digests: the code that makes it.

The import graph is read from the source (grimp), so that it is known before anything runs; imports inside functions
count, and what is looked up by name (a system, its method, a metric) is passed in. Of each module the syntax tree
counts, without docstrings, comments, annotations and the words of raised errors: a reworded message or other line ends
are not another code.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from reprolib import metrics, models
from reprolib.files import read_yaml_list
from reprolib.models.objective import TranslationObjective
from reprolib.runs.rows import metrics_of
from reprolib.runs.run import Run

PACKAGE = Path(__file__).parents[1]

NEUTRAL = (
    "reprolib.errors",            # words
    "reprolib.progress",          # bars
    "reprolib.files",             # writes bytes as they are given
    "reprolib.runtime",           # memory and threads: speed
    "reprolib.runs.concurrent",   # starts processes
    "reprolib.training.lock",     # lets one of them train
    "reprolib.training.events",   # shows
    "reprolib.runs.digests",      # this
    "reprolib.runs.standing",     # says whether that is to be said anew
    "reprolib.runs.inputs",       # says what is read, whose contents are compared themselves
    "reprolib.runs.places",       # names of files
    "reprolib.runs.profile",      # reads settings, which are compared themselves
    "reprolib.runs.rows",         # which rows a run stands for
    "reprolib.papers",            # what was printed
    "reprolib.data.identity",     # looks, changes nothing
    "reprolib.data.verify",       # likewise
    "reprolib.data.notes",        # words beside a number
)
"""Modules that cannot touch a number (tests/runs/test_digests.py asks each for its reason)."""

TRAINING = {"dehazing": "reprolib.training.dehazing.task", "translation": "reprolib.training.translation.task"}
DOWNLOAD = re.compile(r"^download:.*\n?(?:[ \t].*\n?)*", re.MULTILINE)
"""The key of a manifest with everything below it."""

EQUIVALENT = PACKAGE / "runs" / "equivalent.yaml"
"""Digests of code that has been shown to compute what older code did: what the older made stands, files and records."""

MEASURING = {"dehazing": "reprolib.evaluation.dehazing", "translation": "reprolib.evaluation.translation"}
"""Module of each task."""


def training_entries(run: Run) -> list[str]:
    """Dotted modules at which the code of a training starts."""
    system = models.get(run.system)
    objective = system.objective
    method = [f"reprolib.training.translation.{objective.method}"] \
        if isinstance(objective, TranslationObjective) else []
    return ["reprolib.training.run", TRAINING[system.task], models.module_of(run.system), *method]


def measuring_entries(run: Run) -> list[str]:
    """Dotted modules at which the code of a measurement starts."""
    measured = [metrics.module_of(name) for name in metrics_of(run)]
    return [MEASURING[models.get(run.system).task], models.module_of(run.system), *measured]


def training_digest(run: Run) -> str:
    """Digest of the code that trains a run; 'nothing' where nothing is trained."""
    return code_digest(*training_entries(run)) if models.get(run.system).trained else "nothing"


def measuring_digest(run: Run, trained_by: str | None = None) -> str:
    """Digest of the code that trains and measures a run.

    Args:
        trained_by: digest of the code that trained the checkpoint, if it is not the present one.
    """
    training = training_digest(run) if trained_by is None else trained_by
    return hashlib.sha256(f"{training} {code_digest(*measuring_entries(run))}".encode()).hexdigest()[:16]


def evaluating_digest(system: str, scores: Iterable[str]) -> str:
    """Digest of the code that measures a system with weights from elsewhere, by these metrics."""
    return code_digest(MEASURING[models.get(system).task], models.module_of(system), *map(metrics.module_of, scores))


def code_digest(*entries: str) -> str:
    """Digest of `modules(*entries)`, or that of older code which is known to compute the same."""
    own = own_digest(*entries)
    return equivalents().get(own, own)


def own_digest(*entries: str) -> str:
    """Digest over the syntax trees of `modules(*entries)`."""
    digest = hashlib.sha256()
    for name in modules(*entries):
        digest.update(f"{name}\0{_tree(name)}\0".encode())
    return digest.hexdigest()[:16]


@cache
def equivalents() -> dict[str, str]:
    """Digest of the older code by that of the present one (`EQUIVALENT`)."""
    return {str(entry["now"]): str(entry["as"]) for entry in read_yaml_list(EQUIVALENT)}


def resource_digest(pattern: str) -> str:
    """Digest of files of this package that are data, such as a manifest; line ends do not count, nor where a manifest
    says that its dataset is downloaded from: an address that moves makes no other pictures."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.glob(pattern)):
        if path.suffix in (".yaml", ".csv"):
            digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0")
            text = path.read_text(encoding="utf-8")
            digest.update(DOWNLOAD.sub("", text).encode() + b"\0")
    return digest.hexdigest()[:16]


@cache
def modules(*entries: str) -> tuple[str, ...]:
    """Modules of this package that `entries` import, directly or not, themselves included, but the neutral ones."""
    found: set[str] = set()
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        if name in found or name in NEUTRAL or name not in _graph():
            continue
        found.add(name)
        waiting += _graph()[name]
    return tuple(sorted(found))


@cache
def _graph() -> dict[str, tuple[str, ...]]:
    """What each module imports."""
    import grimp

    graph = grimp.build_graph(PACKAGE.name, cache_dir=None, exclude_type_checking_imports=True)
    return {name: tuple(graph.find_modules_directly_imported_by(name)) for name in graph.modules}


@cache
def _tree(module: str) -> str:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.dump(_Bare().visit(ast.parse(path.read_text(encoding="utf-8"))))


class _Bare(ast.NodeTransformer):
    """Takes away what cannot change a result."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        for argument in _arguments(node.args):
            argument.annotation = None
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without_docstring(node)

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._without_docstring(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.Raise()

    def _without_docstring(self, node: ast.AST) -> ast.AST:
        """Bare texts, those below fields too, are words."""
        node.body = [statement for statement in node.body if not _is_text(statement)] or [ast.Pass()]  # type: ignore[attr-defined]
        return self.generic_visit(node)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and \
        isinstance(statement.value.value, str)


def _arguments(arguments: ast.arguments) -> Iterable[ast.arg]:
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    yield from (a for a in (arguments.vararg, arguments.kwarg) if a)
