"""Docstrings as Sphinx reads them: plain text with `code` in single backticks and lists of `* `, no other markup."""

from __future__ import annotations

import re
from typing import Any

CODE = re.compile(r"(`+)(.+?)\1")


def setup(app: Any) -> dict[str, Any]:
    """Sphinx calls this; Napoleon, which reads 'Args:' and the like, comes after it."""
    app.connect("autodoc-process-docstring", _process, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = literal("\n".join(lines)).split("\n")


def literal(text: str) -> str:
    """reStructuredText that shows the text as it stands, code as code."""
    parts, last = [], 0
    for match in CODE.finditer(text):
        parts += [_escape(text[last: match.start()]), f"``{match[2]}``"]
        last = match.end()
    return "".join([*parts, _escape(text[last:])])


def _escape(text: str) -> str:
    return re.sub(r"((?!^\* )[*|`]|(?<=\w)_(?!\w))", r"\\\1", text, flags=re.MULTILINE)
