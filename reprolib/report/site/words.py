"""What is written or executed already: the project's pages, its notebooks, and the docstrings of its code."""

from __future__ import annotations

import pkgutil
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat

import reprolib
from reprolib.report.site.page import Page, toctree
from reprolib.report.site.source import Source

PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md", "examples/README.md",
         "results/bench/README.md", "results/published/tables/*.md")
"""Written pages, of which a project may lack some."""

LINK = re.compile(r"(!?)\[((?:[^\]\[]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
TITLE = re.compile(r"^# +(.+)$", re.MULTILINE)


def pages(source: Source) -> Iterator[Page]:
    """The project's own pages, with links to one another; what is no page of the site is named without a link."""
    found = {path.relative_to(source.root).as_posix(): path for pattern in PAGES
             for path in sorted(source.root.glob(pattern))}
    places = {name: f"docs/{re.sub(r'[^A-Za-z0-9]+', '-', name.removesuffix('.md').removeprefix('docs/')).lower()}"
              for name in found}
    listed = [places[name].removeprefix("docs/") for name in found]
    yield Page("docs/index", "# Documentation\n" + toctree(*listed))
    for name, path in found.items():
        text, files = _linked(path.read_text(encoding="utf-8"), name, places, source.root)
        if not TITLE.search(text):
            text = f"# {path.stem}\n\n{text}"
        yield Page(places[name], text, files)


def _linked(text: str, name: str, places: dict[str, str], root: Path) -> tuple[str, dict[str, bytes]]:
    """A page's text with links that lead somewhere within the site, and the pictures that it shows."""
    files: dict[str, bytes] = {}

    def replaced(match: re.Match[str]) -> str:
        picture, shown, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        file, _, at = target.partition("#")
        there = posixpath.normpath(posixpath.join(posixpath.dirname(name), file))
        if picture:
            if not (root / there).is_file():
                return shown
            kept = there.replace("/", "-")
            files[kept] = (root / there).read_bytes()
            return f"![{shown}]({kept})"
        if there in places:
            return f"[{shown}]({places[there].removeprefix('docs/')}.md{'#' + at if at else ''})"
        return shown

    return LINK.sub(replaced, text), files


def notebooks(source: Source) -> Iterator[Page]:
    """Executed notebooks of all profiles, as they are but for words that stand for their pictures."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted((source.root / "results").glob("*/notebooks/*.ipynb")) + sorted(
            (source.root / "results").glob("*/*.ipynb")):
        profile = path.relative_to(source.root / "results").parts[0]
        place = f"notebooks/{profile}/{path.stem}"
        text, title = _described(path)
        found.setdefault(profile, {})[path.stem] = title
        yield Page(f"{place}.ipynb", text)
    for profile, titles in found.items():
        entries = [f"{title} <{name}>" for name, title in titles.items()]
        yield Page(f"notebooks/{profile}/index", f"# Notebooks: {profile}\n" + toctree(*entries))
    yield Page("notebooks/index", "# Notebooks\n\nAs they were executed.\n"
               + toctree(*(f"{profile}/index" for profile in found), depth=2))


def _described(path: Path) -> tuple[str, str]:
    """A notebook's text with words for its pictures, and its title; a title that a cell prints becomes one that stands.

    MyST-NB takes a page's headings from Markdown cells alone, and the words for a picture from its cell's metadata.
    """
    notebook = nbformat.read(path, as_version=4)
    title, standing = path.stem, False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            match = TITLE.search(cell.source)
            if match:
                title, standing = match[1], True
                break
        for output in cell.get("outputs", []):
            match = TITLE.search(output.get("data", {}).get("text/markdown", ""))
            if match and not standing:
                title = match[1]
                rest = TITLE.sub("", output.data["text/markdown"], count=1).lstrip()
                output.data["text/markdown"] = rest
                cell.outputs = [other for other in cell.outputs if rest or other is not output]
                break
        else:
            continue
        break
    if not standing:
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell(f"# {title}", id="title"))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata["mystnb"] = {"image": {"alt": title.replace("`", "")}}
            cell.metadata["tags"] = ["hide-input" if cell.get("outputs") else "remove-input"]
    return nbformat.writes(notebook), title.replace("`", "")


def api() -> Iterator[Page]:
    """A page for each room of the package, with what its docstrings say."""
    rooms = [info.name for info in pkgutil.iter_modules(reprolib.__path__) if info.name not in ("commands", "__main__")]
    yield Page("api/index", f"# Python interface\n\n{_automodule('reprolib', members=False)}\n"
               "What others import, `from reprolib import ...`:\n\n"
               + "\n".join(f"* `{name}`" for name in reprolib.__all__) + "\n"
               + "\nEvery room uses only what stands below it.\n" + toctree(*rooms))
    for room in rooms:
        folder = Path(reprolib.__path__[0]) / room
        modules = sorted(info.name for info in pkgutil.walk_packages([str(folder)], f"reprolib.{room}."))
        yield Page(f"api/{room}", "\n\n".join(
            [f"# reprolib.{room}\n\n{_automodule(f'reprolib.{room}')}",
             *(f"## {name}\n\n{_automodule(name)}" for name in modules)]))


def _automodule(name: str, members: bool = True) -> str:
    options = "   :members:\n   :member-order: bysource\n" if members else ""
    return f"```{{eval-rst}}\n.. automodule:: {name}\n{options}```"
