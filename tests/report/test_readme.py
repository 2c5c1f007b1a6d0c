"""The README's measured part is written between its marks, out of files, and nothing else is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reprolib.bench.run import FOLDER
from reprolib.bench.targets import verdicts
from reprolib.errors import UserError
from reprolib.report import readme
from reprolib.report.readme import BEGIN, END, write

ROW = {"system": "aecrnet", "task": "train", "device": "CPU x, 2 threads", "device_type": "cpu", "crop": 64,
       "precision": "32-true", "layout": "channels_last", "batch": 8, "network": {"width": 16}, "rate": "1:1",
       "step_seconds": 0.5, "reference_seconds": 1.0, "speedup": 2.0, "speedup_quartiles": [1.9, 2.1],
       "peak_memory": 2**29, "reference_memory": 2**30, "memory_ratio": 0.5, "macs": 10**10, "rate_cost": None,
       "share_of_ceiling": 0.7, "share_of_copy_ceiling": 0.2, "speedup_at_ceiling": 2.4, "date": "2026-01-02",
       "torch": "2.14"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    monkeypatch.setattr(readme, "summary", lambda profile, root: f"results of {profile}\n")
    return tmp_path


def test_results_and_bench_between_the_marks(root: Path) -> None:
    (root / FOLDER).mkdir(parents=True)
    (root / FOLDER / "aecrnet.json").write_text(json.dumps([{**ROW, "targets": verdicts(ROW)}]))
    write(root)
    text = (root / "README.md").read_text()
    assert text.startswith(f"before\n{BEGIN}\nresults of mini\n") and text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "2.00 (1.90 to 2.10)" in text and "missed by 20%" in text and ">= 2.5" in text
    write(root)
    assert (root / "README.md").read_text() == text


def test_longer_runs_with_their_pictures(root: Path) -> None:
    folder = root / "results" / readme.LONGER
    (folder / "figures").mkdir(parents=True)
    entry = {"paper": "cut", "row": "cut/cut", "dataset": "cityscapes", "stand_in": "photos", "metric": "miou",
             "measured": "miou", "printed": "24.7", "value": 31.26, "spread": None, "input_value": None}
    (folder / "ledger.json").write_text(json.dumps([entry, {**entry, "row": "cut/drit", "value": None}]))
    write(root)
    text = (root / "README.md").read_text()
    assert ["cut/cut", "photos", "31.26 (24.7)"] in [[c.strip() for c in line.split("|")[1:-1]]
                                                     for line in text.splitlines()]
    assert "mIoU input" not in text
    assert "cut/drit" not in text and "![" not in text
    name, caption = next(iter(readme.PICTURES.items()))
    (folder / "figures" / f"{name}.png").touch()
    write(root)
    assert f"![{caption}](results/{readme.LONGER}/figures/{name}.png)" in (root / "README.md").read_text()


def test_what_was_not_measured_has_no_table(root: Path) -> None:
    write(root)
    assert (root / "README.md").read_text() == f"before\n{BEGIN}\nresults of mini\n{END}\nafter\n"


def test_marks_that_are_gone_are_missed(root: Path) -> None:
    (root / "README.md").write_text("no marks\n")
    with pytest.raises(UserError, match="no place for results"):
        write(root)
