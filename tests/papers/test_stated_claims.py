"""The papers' claims: that their own cells bear them, what a claim file means, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from reprolib.errors import UserError
from reprolib.papers import Cell, claims, papers
from reprolib.papers.claims import Claim, read_claims

CLAIMS = claims()
PRINTED = {(c.row, c.column, c.metric): c.value for paper in papers().values() for c in paper.cells}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.id)
def test_holds_on_the_papers_cells(claim: Claim) -> None:
    left, right = (PRINTED[row, claim.column, claim.metric] for row in (claim.left, claim.right))
    assert left is not None and right is not None
    assert left > right if claim.relation == ">" else left < right


def test_ids_are_unique_and_name_one_table() -> None:
    assert max(Counter(c.id for c in CLAIMS).values()) == 1
    assert all(c.left.split("/")[0] == c.right.split("/")[0] == c.table for c in CLAIMS)


def test_the_relations_that_the_slides_speak_of() -> None:
    ids = {c.id for c in CLAIMS}
    rows = ("ours", "base+dfe+mixup+cr*", "base+dfe+mixup", "base+dfe+sc", "base+dfe", "base")
    for metric in ("psnr", "ssim"):
        for more, less in zip(rows, rows[1:], strict=False):
            assert f"table2/{more}>table2/{less}@sots/{metric}" in ids
        assert f"table2/base+mixup>table2/base@sots/{metric}" in ids
        assert f"table4/1:r>table4/1:1@sots/{metric}" in ids and f"table4/1:1>table4/r:1@sots/{metric}" in ids


def test_what_the_numbers_do_not_bear_is_not_claimed() -> None:
    ids = {c.id for c in CLAIMS}
    assert "table1/aecrnet>table1/msbdn@dense-haze/ssim" not in ids
    assert "table4/r:r>table4/r:1@sots/ssim" not in ids
    assert "cut/fastcut<cut/distancegan@horse2zebra/sec_per_iter" not in ids
    assert not any("fdu" in c.right and c.column != "sots" for c in CLAIMS)


def test_best_of_a_column_means_every_row_with_a_number() -> None:
    best = [c for c in CLAIMS if c.text == "CUT has the best FID"]
    for column in ("cityscapes", "cat2dog", "horse2zebra"):
        beaten = {c.right for c in best if c.column == column}
        assert beaten == {row for row, at, metric in PRINTED if (at, metric) == (column, "fid")} - {"cut/cut"}


def cell(row: str, printed: str, metric: str = "psnr", better: str = "higher", column: str = "c") -> Cell:
    return Cell("p", "t", f"t/{row}", column, metric, "", better, printed)


CELLS = (cell("a", "3.0"), cell("b", "2.0"), cell("d", "1.0"), cell("e", "-"), cell("a", "4M", "params", "lower", ""),
         cell("b", "5M", "params", "lower", ""), cell("d", "3M", "params", "lower", ""))


def read(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "claims.yaml").write_text(text)
    return [c.id for c in read_claims(tmp_path / "claims.yaml", CELLS)]


@pytest.mark.parametrize(("entry", "ids"), [
    ("row: t/a, beats: all, columns: [c], metrics: [psnr]", ["t/a>t/b@c/psnr", "t/a>t/d@c/psnr"]),
    ("row: t/a, beats: [d], columns: [c], metrics: [psnr]", ["t/a>t/d@c/psnr"]),
    ("row: t/a, beats: all, but: [d], metrics: [params]", ["t/a<t/b@-/params"]),
])
def test_what_an_entry_means(tmp_path: Path, entry: str, ids: list[str]) -> None:
    assert read(tmp_path, f"- {{text: x, {entry}}}\n") == ids


def test_a_paper_may_claim_nothing(tmp_path: Path) -> None:
    assert read_claims(tmp_path / "claims.yaml", CELLS) == ()


@pytest.mark.parametrize(("text", "says"), [
    ("- {text: x, row: t/a, beats: all, columns: [c], metrics: [psnr], colum: [c]}", "did you mean 'columns'"),
    ("- {text: x, row: t/aa, beats: all, columns: [c], metrics: [psnr]}", "did you mean 't/a'"),
    ("- {text: x, row: t/a, beats: [bb], columns: [c], metrics: [psnr]}", "did you mean 't/b'"),
    ("- {text: x, row: t/a, beats: [e], columns: [c], metrics: [psnr]}", "unknown row with a number"),
    ("- {text: x, row: t/a, beats: all, but: [z], columns: [c], metrics: [psnr]}", "unknown row with a number"),
    ("- {text: x, row: t/b, beats: all, columns: [c], metrics: [psnr]}", "do not bear the claim t/b>t/a@c/psnr"),
    ("- {text: x, row: t/a, beats: all, metrics: [params]}", "do not bear the claim t/a<t/d@-/params"),
    ("- {text: x, row: t/a, beats: all}", "not a claim"),
    ("- words", "not a claim"),
    ("- 3", "not a claim"),
    ("text: x", "not a list"),
    ("- {text: x, row: t/a, beats: [d], columns: [c], metrics: [psnr]}\n" * 2, "made twice"),
])
def test_mistakes_are_one_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        read(tmp_path, text)
    assert "claims.yaml" in str(error.value) and "\n" not in str(error.value)
