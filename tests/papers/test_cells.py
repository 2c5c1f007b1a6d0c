"""The papers' cells against rows typed a second time, and against the slides themselves where they are at hand."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from reprolib.papers.cells import Cell, exact_counts, load

TABLE1 = ("dcp", "dehazenet", "aodnet", "griddehazenet", "ffanet", "msbdn", "kddn", "fdu", "aecrnet")
TABLE2 = ("base", "base+mixup", "base+dfe", "base+dfe+sc", "base+dfe+mixup", "base+dfe+mixup+cr*", "ours")
TABLE4 = ("1:1", "1:r", "r:1", "r:r")
CUT = ("cyclegan", "munit", "drit", "distancegan", "selfdistance", "gcgan", "cut", "fastcut")

DEHAZING = (("sots", "psnr"), ("sots", "ssim"), ("dense-haze", "psnr"), ("dense-haze", "ssim"), ("nh-haze", "psnr"),
            ("nh-haze", "ssim"), ("", "params"))
TRANSLATION = (("cityscapes", "miou"), ("cityscapes", "pixacc"), ("cityscapes", "classacc"), ("cityscapes", "fid"),
               ("cat2dog", "fid"), ("horse2zebra", "fid"), ("horse2zebra", "sec_per_iter"), ("horse2zebra", "memory"))
ROWS = ([(f"table1/{r}", DEHAZING) for r in TABLE1] + [(f"table2/{r}", DEHAZING[:2]) for r in TABLE2]
        + [(f"table4/{r}", DEHAZING[:2]) for r in TABLE4] + [(f"cut/{r}", TRANSLATION) for r in CUT])


def row(name: str) -> list[Cell]:
    return [c for c in load() if c.row == name]


def test_every_cell_once_and_in_the_order_of_the_tables() -> None:
    wanted = [(name, *column) for name, columns in ROWS for column in columns]
    assert [(c.row, c.dataset, c.metric) for c in load()] == wanted
    assert Counter(c.table for c in load()) == {"table1": 63, "table2": 14, "table4": 8, "cut": 64}


@pytest.mark.parametrize(("name", "printed"), [
    ("table1/dcp", "15.09 0.7649 10.06 0.3856 10.57 0.5196 -"),
    ("table1/ffanet", "36.39 0.9886 14.39 0.4524 19.87 0.6915 4.68M"),
    ("table1/fdu", "32.68 0.9760 - - - - -"),
    ("table1/aecrnet", "37.17 0.9901 15.80 0.4660 19.88 0.7173 2.61M"),
    ("table2/base", "33.85 0.9820"),
    ("table2/base+dfe+mixup+cr*", "36.46 0.9889"),
    ("table4/r:1", "35.61 0.9862"),
    ("table4/r:r", "35.65 0.9861"),
    ("cut/distancegan", "8.4 42.2 12.6 81.8 155.3 72.0 0.15 2.72"),
    ("cut/fastcut", "19.1 59.9 24.3 68.8 94.0 73.4 0.15 2.25"),
])
def test_rows_typed_again(name: str, printed: str) -> None:
    assert [c.printed for c in row(name)] == printed.split()


def test_values_are_the_printed_numbers() -> None:
    for c in load():
        if c.printed == "-":
            assert c.value is None
        else:
            assert c.value == pytest.approx(float(c.printed.rstrip("M")) * (1e6 if c.printed.endswith("M") else 1))
    assert sum(c.value is None for c in load()) == 6


def test_printed_cells_equal_the_slides(shared: Path) -> None:
    """Reads the tables out of the slides' text: each row's last columns, digit for digit."""
    slides = shared / "paper" / "slides.txt"
    if not slides.is_file():
        pytest.skip(f"no slides: {slides} is absent")
    lines = slides.read_text().splitlines()
    starts = {"table1": "Table 1.", "table2": "Table 2.", "table4": "Table 4.", "cut": "CycleGAN"}
    for table, start in starts.items():
        begin = next(i for i, line in enumerate(lines) if line.startswith(start))
        body = [line.split("\t") for line in lines[begin:] if re.search(r"\t[\d.]+M?$|\t-$", line)]
        names = list(dict.fromkeys(c.row for c in load() if c.table == table))
        for name, fields in zip(names, body[:len(names)], strict=True):
            cells = row(name)
            assert fields[-len(cells):] == [c.printed for c in cells], name
            assert cells[0].label in fields[0], name


def test_direction_and_unit() -> None:
    kinds = {c.metric: (c.better, c.unit) for c in load()}
    assert kinds == {
        "psnr": ("higher", "dB"), "ssim": ("higher", ""), "params": ("lower", ""), "miou": ("higher", "%"),
        "pixacc": ("higher", "%"), "classacc": ("higher", "%"), "fid": ("lower", ""), "sec_per_iter": ("lower", "s"),
        "memory": ("lower", "GB"),
    }
    assert len({(c.metric, c.better, c.unit) for c in load()}) == len(kinds)
    assert all(c.source.startswith("AECR-Net, CVPR 2021" if c.paper == "aecrnet" else "CUT, ECCV 2020") for c in load())


@pytest.mark.parametrize(("printed", "half"), [
    ("15.40", 0.005), ("0.9901", 5e-5), ("2.61M", 5e3), ("0.002M", 500), ("8.4", 0.05)])
def test_half_digit(printed: str, half: float) -> None:
    cell = next(c for c in load() if c.printed == printed)
    assert cell.half_digit == pytest.approx(half, rel=1e-12)


def test_verified_counts_round_to_the_printed_figures() -> None:
    """Only systems whose count is verified; each of Table 1's prints as the paper has it."""
    counts = exact_counts()
    printed = {c.row.split("/")[1]: c for c in load() if c.metric == "params" and c.value is not None}
    assert set(printed) - set(counts) == {"kddn"}
    for name in set(printed) & set(counts):
        figure = printed[name].printed.rstrip("M")
        assert f"{counts[name] / 1e6:.{len(figure.split('.')[1])}f}" == figure, name
