"""The site: one folder of HTML that opens from disk, built by Sphinx from results, notebooks, pages and docstrings.

Nothing is executed or measured for it, and nothing in it asks for anything beyond its own folder.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.report.site.page import Page

OUTPUT = Path("site")

MARK = "_static/site.js"
"""A file that every site of ours has: a folder without it is somebody else's."""

KEPT = ("CNAME", ".*")
"""What hosts of pages put beside a site (a domain, a branch's worktree), and stays when it is built anew."""

STATIC = Path(__file__).parent / "static"

SETTINGS: dict[str, Any] = {
    "project": "reprolib",
    "html_title": "reprolib",
    "extensions": ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "reprolib.report.site.mathml",
                   "reprolib.report.site.docstrings"],
    "html_theme": "pydata_sphinx_theme",
    "html_context": {"default_mode": "auto"},
    "html_theme_options": {"show_prev_next": False, "footer_start": [], "footer_end": [], "navbar_align": "left",
                           "header_links_before_dropdown": 7, "show_toc_level": 1, "collapse_navigation": True,
                           "secondary_sidebar_items": {"**": ["page-toc"], "notebooks/**": []}},
    "html_static_path": [str(STATIC)],
    "html_css_files": ["site.css"],
    "html_js_files": ["site.js"],
    "html_math_renderer": "mathml",
    "html_copy_source": False,
    "html_show_search_summary": False,  # it would fetch each page found, which a browser refuses on pages from disk
    "html_show_sourcelink": False,
    "html_show_copyright": False,
    "html_show_sphinx": False,
    "html_sidebars": {"index": [], "ledger": [], "tables/*": []},
    "nb_execution_mode": "off",
    "nb_ipywidgets_js": {},
    "nb_render_image_options": {},
    "myst_enable_extensions": ["dollarmath"],
    "myst_heading_anchors": 3,
    "myst_all_links_external": False,
    "autodoc_default_options": {"ignore-module-all": True},  # what a room passes on is described where it stands
    "autodoc_typehints": "signature",
    "napoleon_numpy_docstring": False,
    "add_module_names": False,
    "language": "en",
    "exclude_patterns": [],
}


def write(output: Path = OUTPUT, root: Path = Path()) -> int:
    """Build the site and put it in the place of an older one; returns the number of its pages.

    Raises:
        UserError: the folder holds something else.
    """
    if output.is_symlink() or output.exists() and not (output / MARK).is_file() and (
            not output.is_dir() or any(output.iterdir())):
        raise UserError("this is no site of ours and stays as it is", where=output,
                        fix="give another folder with --output")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        held = tempfile.TemporaryDirectory(prefix=".site-", dir=output.parent)
    except OSError as error:
        raise UserError(f"cannot write here ({error.strerror})", where=output.parent,
                        fix="give another folder with --output") from error
    with held as work:
        source, built = Path(work) / "source", Path(work) / "built"
        number = _stage(pages(root), source)
        _build(source, built, Path(work) / "trees")
        _copy_files(source, built)
        for path in sorted((root / "results").glob("*/records/*/*.json")):
            there = built / "records" / path.parts[-4] / path.parts[-2] / path.name
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, there)
        replace(output, built, Path(work) / "before")
    return number


def replace(output: Path, built: Path, before: Path) -> None:
    """Put a site in the place of an older one, which goes to `before` without what it keeps."""
    if output.exists():
        for path in [path for pattern in KEPT for path in output.glob(pattern) if not (built / path.name).exists()]:
            path.rename(built / path.name)
        output.rename(before)
    built.rename(output)


def pages(root: Path = Path()) -> Iterator[Page]:
    """Every page of the site."""
    from reprolib.report.site import gallery, ledger, runs, tables, words
    from reprolib.report.site.source import Source

    source = Source(root)
    yield tables.overview(source)
    yield from tables.pages(source)
    yield ledger.page(source)
    yield from gallery.pages(source)
    yield from runs.pages(source)
    yield from words.notebooks(source)
    yield from words.pages(source)
    yield from words.api()


def _stage(found: Iterable[Page], source: Path) -> int:
    """Write pages and what they bring where Sphinx reads them."""
    number = 0
    for page in found:
        number += 1
        place = source / (page.place if page.place.endswith(".ipynb") else f"{page.place}.md")
        write_text(place, page.text)
        for name, content in page.files.items():
            path = place.parent / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return number


def _copy_files(source: Path, built: Path) -> None:
    """Pictures that scripts load, and Sphinx therefore does not know."""
    for path in source.rglob("*.jpg"):
        there = built / path.relative_to(source)
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, there)


def _build(source: Path, built: Path, trees: Path) -> None:
    """Run Sphinx.

    Raises:
        UserError: what it could not do.
    """
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError

    try:  # its warnings are of docstrings' markup, which nobody who builds the site can mend
        Sphinx(source, None, built, trees, "html", confoverrides=SETTINGS, status=None, warning=io.StringIO()).build()
    except SphinxError as error:
        raise UserError(f"Sphinx could not build the site: {error}", where=source) from error
