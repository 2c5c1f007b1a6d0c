"""Whose code runs: a project's numbers are to be made by its own package."""

from __future__ import annotations

from pathlib import Path

from reprolib.errors import UserError


def require_own_package(root: Path = Path()) -> None:
    """Refuse to make a project's numbers with another checkout's, or an installed, package.

    Its digests, which DVC compares, would be those of one package and its results those of the other.

    Raises:
        UserError: the project has a package of its own, and it is not the one that runs.
    """
    own, running = root / "reprolib", Path(__file__).parents[1]
    if (own / "__init__.py").is_file() and not own.samefile(running):
        raise UserError(f"this project has its own package, {own.resolve()}, but {running} runs",
                        fix="put PYTHONPATH=. before the command (before `dvc`, too), or `pip install -e .` here")
