"""The one error a person sees: what is wrong, where, and what to do about it."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

SHOWN = 30
"""How many known names an error lists."""


class UserError(Exception):
    """A mistake that the person at the keyboard can mend; the command line prints it and exits with 2.

    Args:
        what: what is wrong, in words ("not an image").
        where: the file, option or key it was found in.
        fix: what to do about it.
    """

    def __init__(self, what: str, *, where: object = None, fix: str | None = None):
        self.what, self.where, self.fix = what, where, fix
        place = f" ({where})" if where is not None else ""
        advice = f": {fix}" if fix else ""
        super().__init__(printable(f"{what}{place}{advice}"))

    def _render_traceback_(self) -> list[str]:
        """How a notebook shows it: in one line, as the command line does."""
        return [str(self)]


@contextmanager
def located(where: object) -> Iterator[None]:
    """Errors within that name no place are of this one: networks, for example, know no files."""
    try:
        yield
    except UserError as error:
        if error.where is not None:
            raise
        raise UserError(error.what, where=where, fix=error.fix) from error


def printable(text: str) -> str:
    """Text as one line that can be printed anywhere: of a file's name, bytes that are no UTF-8 stand as \\udcXX, and
    control characters as \\n or \\x1b."""
    whole = text.encode(errors="backslashreplace").decode()
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) == "Cc" else c for c in whole)


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that does not exist, with the nearest one that does."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    listed = ", ".join(known[:SHOWN]) + (f" and {len(known) - SHOWN} more" if len(known) > SHOWN else "")
    fix = f"did you mean '{near[0]}'? known: {listed}" if near else f"known: {listed or 'none'}"
    return UserError(f"unknown {kind} '{name}'", fix=fix)
