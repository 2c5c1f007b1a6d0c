"""Tables in the paper's shape, and the files of a ledger."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from reprolib import papers
from reprolib.errors import UserError
from reprolib.evaluation.record import PUBLISHED, Record, write_records
from reprolib.report import claims, ledger, summary, tables
from reprolib.report.markdown import to_markdown
from reprolib.results.ledger import Entry, build
from reprolib.runs.places import records_folder

BASE = Record(profile="mini", experiment="toy", system="aodnet", rows=("table1/aodnet",), dataset="haze-homogeneous",
              metric="psnr", unit="dB", value=20.0, protocol="aecr", n=16, seed=0, input_value=12.5)


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No dataset of this machine may matter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)


def put(root: Path, *records: Record) -> None:
    r = records[0]
    write_records(records_folder(r.profile, root) / r.system / f"{r.experiment}.json", records)


def entries(root: Path) -> list[Entry]:
    return build("mini", root, None)


GROUP = "SOTS (here haze-homogeneous)"


def test_heads_name_column_metric_and_whose_number(tmp_path: Path) -> None:
    put(tmp_path, BASE, replace(BASE, metric="ciede2000", unit="", value=7.126, input_value=None))
    put(tmp_path, replace(BASE, profile=PUBLISHED, rows=(), dataset="sots-indoor", checkpoint="published", n=500,
                          value=20.654))
    frame = tables.frame(entries(tmp_path), "table1")
    heads = [tuple(map(str, head)) for head in frame.columns]
    assert heads[:6] == [("", "system", ""), *((GROUP, "PSNR [dB]", whose) for whose in ("paper", "authors", "here")),
                         (GROUP, "SSIM", "paper"), (GROUP, "SSIM", "here")]
    assert "CIEDE2000" in heads[6][1] and heads[7][0] == "Dense-Haze"
    row = frame[frame["", "system", ""] == "AOD-Net"].iloc[0]
    assert [row[GROUP, "PSNR [dB]", whose] for whose in ("paper", "authors", "here")][::2] == ["19.82", "20.00"]
    assert row[GROUP, "PSNR [dB]", "authors"].startswith("20.65") and row[heads[6]] == "7.13"
    first = frame.iloc[0]
    assert first["", "system", ""] == "input, unprocessed" and first[GROUP, "PSNR [dB]", "here"] == "12.50"


def test_whose_numbers_stand_under_each_other(tmp_path: Path) -> None:
    put(tmp_path, replace(BASE, value=20.0), replace(BASE, metric="ssim", unit="", value=0.9, input_value=None))
    put(tmp_path, replace(BASE, profile=PUBLISHED, rows=(), dataset="sots-indoor", checkpoint="published", n=500,
                          value=20.654))
    found = entries(tmp_path)
    drawn = tables.cells(found, "table1")
    assert drawn.columns.nlevels == 2 and list(drawn.columns)[:4] == [
        ("", "system"), ("", "from"), (GROUP, "PSNR [dB]"), (GROUP, "SSIM")], "as printed: a dataset over PSNR and SSIM"
    lines = drawn.values.tolist()
    place = next(i for i, line in enumerate(lines) if line[0] == "AOD-Net")
    assert [line[:4] for line in lines[place:place + 3]] == [
        ["AOD-Net", "paper", "19.82", "0.8178"], ["", "authors' weights", "20.65", ""], ["", "here", "20.00", "0.9000"]]
    assert all(any(line[2:]) for line in lines), "no row without a number"
    assert lines[0][:3] == ["input, unprocessed", "here", "12.50"]
    line = next(text for text in tables.page(found, papers.table("table1")[1], "mini").splitlines() if "AOD" in text)
    assert [cell.strip() for cell in line.split("|")[1:4]] == ["AOD-Net", "paper", "19.82"]
    assert "GCANet (extra)" not in tables.html(found, "cut")


def test_conditions_name_the_rows_and_metrics_that_they_hold_for(tmp_path: Path) -> None:
    other = replace(BASE, system="ffanet", experiment="f", rows=("table1/ffanet",), note="made in a hurry")
    put(tmp_path, BASE, replace(BASE, metric="ssim", unit="", value=0.9, input_value=None))
    put(tmp_path, other)
    shared, hurried = sorted(tables.notes(entries(tmp_path), "table1"), key=lambda note: "hurry" in note)
    assert shared.startswith("AOD-Net (PSNR, SSIM): ") and hurried.startswith("FFA-Net (PSNR): ")


def test_what_stands_in_for_a_metric_is_in_its_head(tmp_path: Path) -> None:
    put(tmp_path, replace(BASE, system="cut", experiment="c", rows=("cut/cut",), dataset="photos-hazy2clear",
                          metric="fd_vgg16", unit="", value=3.0, protocol="vgg16"))
    (head,) = [metric for _, metric in tables.cells(entries(tmp_path), "cut").columns if "VGG16" in metric]
    assert head.startswith("FID (here ")


def test_a_stand_in_for_some_rows_of_a_column_is_told_in_their_cells(tmp_path: Path) -> None:
    put(tmp_path, BASE)
    put(tmp_path, replace(BASE, experiment="real", system="dcp", rows=("table1/dcp",), dataset="sots-indoor", n=500,
                          value=19.77, input_value=11.97))
    drawn = tables.frame(entries(tmp_path), "table1").set_index([("", "system", "")])["SOTS", "PSNR [dB]", "here"]
    assert (drawn["DCP"], drawn["AOD-Net"]) == ("19.77", "20.00 on haze-homogeneous")
    assert drawn["input, unprocessed"] == "11.97, 12.50 on haze-homogeneous"


def test_every_table_has_its_rows_in_the_papers_order(tmp_path: Path) -> None:
    found = entries(tmp_path)
    for _, table in papers.tables():
        shown = list(tables.frame(found, table.name)["", "system", ""])
        printed = [row.label for row in table.rows.values() if any(e["row"] == row.id for e in found)]
        assert shown[:len(printed)] == printed


@pytest.mark.parametrize(("change", "shown"), [
    ({}, "20.00"), ({"spread": 0.126}, "20.00 ± 0.13"),
    ({"status": "off by -1", "gap": -1.0, "evidence": "trained here"}, "20.00"),
    ({"status": "not matched", "gap": -1.0, "evidence": "counted"}, "20.00 (not matched)"),
    ({"status": "stale"}, "20.00 (stale)"),
    ({"value": None, "status": "collapsed"}, "collapsed"), ({"value": None, "status": "not printed"}, ""),
    ({"measured": "params", "value": 1761, "status": "matched"}, "1,761 (matched)")])
def test_our_side_of_a_cell(change: dict[str, object], shown: str) -> None:
    entry = {"value": 20.0, "spread": None, "status": "measured", "measured": "psnr", "gap": None, "evidence": None}
    assert tables.our_side({**entry, **change}) == shown


def test_claims_of_a_table(tmp_path: Path) -> None:
    found = claims.frame("table2", "mini", tmp_path)
    assert len(found) == sum(c.table == "table2" for c in papers.claims())
    assert set(found["verdict"]) == {"not tested"}
    assert claims.frame("negatives", "mini", tmp_path).empty


def test_the_authors_weights_and_further_checkpoints(tmp_path: Path) -> None:
    assert tables.published_weights("table1", tmp_path).empty
    put(tmp_path, replace(BASE, profile=PUBLISHED, rows=(), dataset="sots-indoor", checkpoint="published", n=120))
    (row,) = tables.published_weights("table1", tmp_path).to_dict("records")
    assert (row["system"], row["pictures"], row["PSNR"]) == ("AOD-Net", 120, 20.0)
    assert tables.published_weights("cut", tmp_path).empty
    put(tmp_path, BASE)
    assert tables.checkpoints("mini", "table1", tmp_path).empty
    put(tmp_path, BASE, replace(BASE, value=21.0, tabled=False, checkpoint="best on validation"))
    (row,) = tables.checkpoints("mini", "table1", tmp_path).to_dict("records")
    assert (row["last"], row["best on validation"]) == (20.0, 21.0)
    assert tables.checkpoints("mini", "table2", tmp_path).empty


def test_markdown_holds_any_cell() -> None:
    frame = pd.DataFrame([["a|b", 1.0, None], ["1e5", float("nan"), "0.10"]], columns=["x", "y|", "z"], dtype=object)
    rows = [[c.strip() for c in line.replace("\\|", "!").split("|")[1:-1]] for line in to_markdown(frame).splitlines()]
    assert rows[0] == ["x", "y!", "z"] and rows[2:] == [["a!b", "1.0000", ""], ["1e5", "", "0.10"]]


def test_written_files_are_whole_and_byte_stable(tmp_path: Path) -> None:
    put(tmp_path, BASE)
    folder = tmp_path / "results" / "mini"
    written = []
    for _ in range(2):
        found = ledger.write("mini", tmp_path, None)
        summary.write("mini", tmp_path)
        written.append({path: path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    assert written[0] == written[1]
    assert json.loads((folder / "ledger.json").read_text()) == found == ledger.read("mini", tmp_path)
    with (folder / "ledger.csv").open(newline="") as stream:
        assert [r["row"] for r in csv.DictReader(stream)] == [e["row"] for e in found]
    page = (folder / "ledger.md").read_text()
    assert page.count("\n|") == len(found) + 2 and "1 measured" in page
    for _, table in papers.tables():
        has = any(e["table"] == table.name for e in found)
        assert all((folder / "tables" / f"{table.name}.{kind}").is_file() == has for kind in ("csv", "md"))
    everything = b"".join(written[0].values()).decode()
    assert str(tmp_path) not in everything and "20.00 (19.82)" in (folder / "README.md").read_text()


def test_no_ledger_yet_is_told(tmp_path: Path) -> None:
    for read in (lambda: ledger.read("mini", tmp_path), lambda: summary.write("mini", tmp_path)):
        with pytest.raises(UserError, match=r"no ledger yet \(.*\): run `dvc repro profiles/mini/dvc.yaml`"):
            read()
