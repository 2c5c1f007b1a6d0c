"""Digests of code: what cannot change a number does not count, everything else does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest

from reprolib import papers
from reprolib.files import read_yaml_list
from reprolib.runs import digests
from reprolib.runs.digests import NEUTRAL, _Bare, code_digest, modules
from reprolib.runs.inputs import DRAWING, inputs
from reprolib.runs.profile import profiles, read_profile

CODE = '''
"""Words."""
from reprolib.errors import UserError
LIMIT: int = 3
"""More words."""

class A:
    """Words."""
    size: int = 2

    def double(self, x: int) -> int:
        """Words."""
        if x > LIMIT:  # a comment
            raise UserError("too large", fix="give less")
        return x * 2
'''


def bare(text: str) -> str:
    return ast.dump(_Bare().visit(ast.parse(text)))


@pytest.mark.parametrize(("old", "new"), [
    ('"""Words."""', '"""Other words."""'), ("# a comment", ""), ("x: int) -> int", "x)"),
    ("LIMIT: int", "LIMIT: float"),
    ('UserError("too large", fix="give less")', 'UserError(f"{x} is too large")'), ("\n", "\r\n")])
def test_words_do_not_count(old: str, new: str) -> None:
    assert CODE.replace(old, new) != CODE and bare(CODE) == bare(CODE.replace(old, new))


@pytest.mark.parametrize(("old", "new"), [("x * 2", "x * 3"), ("size: int = 2", "size: int = 3"), ("= 3", "= 4"),
                                          ("if x >", "if x >="), ("double", "twice")])
def test_arithmetic_counts(old: str, new: str) -> None:
    assert bare(CODE) != bare(CODE.replace(old, new))


def test_a_system_is_not_part_of_another() -> None:
    found = modules("reprolib.models.dehazing.aodnet")
    assert "reprolib.models.dehazing.aodnet" in found and "reprolib.models.dehazing.ffanet" not in found
    assert not any(name.startswith("reprolib.report") for name in found)
    assert code_digest("reprolib.models.dehazing.aodnet") != code_digest("reprolib.models.dehazing.ffanet")


def test_what_is_left_out_touches_no_tensor() -> None:
    """Neutral modules compute nothing: they neither build networks nor look into pictures or numbers of a result."""
    for name in NEUTRAL:
        path = digests.PACKAGE.joinpath(*name.split(".")[1:])
        source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")
        imported = {node.module or "" for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
        assert not imported & {"torch.nn", "torch.nn.functional", "skimage.metrics"}, name


def test_an_address_is_no_part_of_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What else a manifest says is."""
    monkeypatch.setattr(digests, "PACKAGE", tmp_path)
    manifest = tmp_path / "x.yaml"
    found = []
    for text in ("size: 3\npairs: 2\n", "size: 3\ndownload:\n  files:\n  - url: a\npairs: 2\n",
                 "size: 3\npairs: 2\ndownload: {login: true}", "size: 3\npairs: 1\n"):
        manifest.write_text(text)
        found.append(digests.resource_digest("*.yaml"))
    assert found[0] == found[1] == found[2] != found[3]


def test_what_a_notebook_calls_counts(project: Path) -> None:
    """A change of what draws a notebook of a profile executes it again."""
    reached = modules(*(f"reprolib.report.{name}" for name in DRAWING))
    sources = {notebook.source for paper in papers.papers().values() for notebook in paper.notebooks.values()}
    for source in (*sources, "table"):
        cells = nbformat.read(project / "notebooks" / f"{source}.ipynb", as_version=4).cells
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        called = set(re.findall(r"from (reprolib\.report\.\w+) import", code))
        assert called <= set(reached), source


def test_equivalent_code_is_here_and_says_how_it_was_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry of code that is no longer here would hide that it has to be shown anew."""
    entries = read_yaml_list(digests.EQUIVALENT)
    here: set[str] = set()

    class Asked(dict[str, str]):
        def get(self, key: str, default: str = "") -> str:  # type: ignore[override]
            here.add(key)
            return default

    monkeypatch.setattr(digests, "equivalents", Asked)
    for profile in profiles():
        inputs(read_profile(profile), {})
    assert {entry["now"] for entry in entries} <= here
    assert not {entry["as"] for entry in entries} & {entry["now"] for entry in entries}, "one step, no chain"
    assert all(entry["what"] and len(entry["shown"]) > 40 for entry in entries)


def test_what_equivalent_code_made_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    own = digests.own_digest("reprolib.models.dehazing.aodnet")
    monkeypatch.setattr(digests, "equivalents", lambda: {own: "0123456789abcdef"})
    assert code_digest("reprolib.models.dehazing.aodnet") == "0123456789abcdef"
    assert code_digest("reprolib.models.dehazing.ffanet") == digests.own_digest("reprolib.models.dehazing.ffanet")
