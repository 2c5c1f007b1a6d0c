"""Pages of the site, as text: what they say of whatever results there are; the browser's tests read the HTML."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_results

from reprolib.errors import UserError
from reprolib.report import site
from reprolib.report.shown import TestPicture
from reprolib.report.site import docstrings, gallery, ledger, page, runs, tables, words
from reprolib.report.site.source import Source


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tiny_results.make(tmp_path))


def test_a_number_leads_to_its_record_and_a_system_to_its_cells(source: Source) -> None:
    text = next(p.text for p in tables.pages(source) if p.place == "tables/table1")
    assert 'href="../runs/tiny/dcp.html#dcp-first-psnr"' in text and ">18.85</a>" in text
    assert "15.09" in text and "tiny (haze-homogeneous)" in text
    assert 'href="../ledger.html?search=table1/dcp"' in text
    shown = {p.place: p.text for p in runs.pages(source)}
    assert '<span id="dcp-first-psnr">PSNR</span>' in shown["runs/tiny/dcp"]
    assert 'href="../../records/tiny/dcp/dcp-first.json"' in shown["runs/tiny/dcp"]


def test_the_authors_weights_stand_beside_and_once(source: Source) -> None:
    text = next(p.text for p in tables.pages(source) if p.place == "tables/table1")
    assert "authors&#x27; weights" in text and 'href="../runs/published/dcp.html#dcp-sots-psnr"' in text
    rows = ledger.page(source).text
    assert rows.count("runs/published/dcp.html#dcp-sots-psnr") == 1


def test_every_claim_has_a_state(source: Source) -> None:
    first = tables.overview(source).text
    for claim in {c.text for paper, _ in tables.papers.tables() for c in paper.claims}:
        assert page.escape(claim) in first
    assert 'data-state="not tested"' in first
    assert "AECR-Net is smaller" in first and "<td>counted</td>" in first  # the evidence is no measurement


def test_without_results_there_is_a_site_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "profiles" / "tiny").mkdir(parents=True)
    (tmp_path / "profiles" / "tiny" / "params.yaml").write_text(tiny_results.ROWS)
    source = Source(tmp_path)
    assert "Nothing was measured yet" in ledger.page(source).text
    assert tables.overview(source).text.startswith("# ")
    assert [p.place for p in gallery.pages(source)] == ["gallery/index"]
    assert all(p.text.startswith("# ") for p in (*tables.pages(source), *runs.pages(source), *words.notebooks(source)))


def test_pictures_that_are_not_here_are_told(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    black = np.zeros((48, 64, 3), np.uint8)
    monkeypatch.setattr(gallery, "test_pictures", lambda *_: [TestPicture("0_1", black, black + 9, "")])
    there = next(p for p in gallery.pages(source) if p.place == "gallery/tiny")
    assert 'alt="Street photos under homogeneous haze: DCP"' in there.text and len(there.files) == 3
    monkeypatch.setattr(gallery, "test_pictures", lambda *_: [TestPicture("9_9", black, black, "")])
    there = next(p for p in gallery.pages(source) if p.place == "gallery/tiny")
    assert gallery.NOT_HERE in there.text and not there.files


def test_kind_44_words_are_no_markup() -> None:
    frame = page.pd.DataFrame([[page.link("<b>", "a.html?x=\"")]], columns=["a < b"])
    html = page.table(frame, 'of "x"')
    assert "a &lt; b" in html and "&lt;b&gt;" in html and 'aria-label="of &quot;x&quot;"' in html
    assert docstrings.literal("|a - b| of `x*y`, *args_") == r"\|a - b\| of ``x*y``, \*args\_"
    assert docstrings.literal("* one *x*\n* `two`") == "* one \\*x\\*\n* ``two``", "but a list is one"


def test_a_setting_that_says_nothing_is_left_out() -> None:
    assert page.plain({"rate": "1:1", "taps": None, "of": {}, "sizes": [1, 2], "on": False}) == (
        "rate: 1:1, sizes: 1 2, on: False")


def test_a_link_to_what_is_no_page_is_words(source: Source) -> None:
    text = next(p.text for p in words.pages(source) if p.place == "docs/readme")
    assert "[the formula](math.md) and a file." in text


def test_a_title_that_a_cell_prints_stands(source: Source) -> None:
    text = next(p.text for p in words.notebooks(source) if p.place.endswith("told.ipynb"))
    assert "# What a cell *says*" in text and text.count("What a cell") == 2  # and as words for pictures


def test_a_folder_of_something_else_stays(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="no site of ours"):
        site.write(tmp_path / "home", tmp_path)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "mine"
    (tmp_path / "home" / "searchindex.js").write_text("Search.setIndex()")
    with pytest.raises(UserError, match="no site of ours"):  # Sphinx built it, and not for us
        site.write(tmp_path / "home", tmp_path)


def test_what_a_host_of_pages_needs_outlives_a_new_site(tmp_path: Path) -> None:
    old, new = tmp_path / "site", tmp_path / "built"
    before = ("CNAME", ".nojekyll", ".git/HEAD", "index.html", "gone.html")
    for folder, names in ((old, before), (new, ("index.html",))):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(folder.name)
    site.replace(old, new, tmp_path / "before")
    found = {path.relative_to(old).as_posix(): path.read_text() for path in old.rglob("*") if path.is_file()}
    assert found == {"CNAME": "site", ".nojekyll": "site", ".git/HEAD": "site", "index.html": "built"}
