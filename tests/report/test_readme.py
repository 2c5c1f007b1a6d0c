"""The README's measured part is written between its marks, out of files, and nothing else is touched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from reprolib.bench.run import FOLDER
from reprolib.bench.targets import verdicts
from reprolib.errors import UserError
from reprolib.evaluation.record import PUBLISHED, Record, write_records
from reprolib.files import write_yaml
from reprolib.report.readme import BEGIN, END, IN_A_SENTENCE, renewed, write
from reprolib.results.claims import FALLS, HOLDS, NOISE, UNTESTED
from reprolib.runs.places import records_folder

ROW = {"system": "aecrnet", "task": "train", "device": "CPU x, 2 threads", "device_type": "cpu", "crop": 64,
       "precision": "32-true", "layout": "channels_last", "batch": 8, "network": {"width": 16}, "rate": "1:1",
       "step_seconds": 0.5, "reference_seconds": 1.0, "speedup": 2.0, "speedup_quartiles": [1.9, 2.1],
       "peak_memory": 2**29, "reference_memory": 2**30, "memory_ratio": 0.5, "macs": 10**10, "rate_cost": None,
       "share_of_ceiling": 0.7, "share_of_copy_ceiling": 0.2, "speedup_at_ceiling": 2.4, "date": "2026-01-02",
       "torch": "2.14", "load": 0.1, "references": {}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    return tmp_path


def test_only_what_lies_between_the_marks_changes(root: Path) -> None:
    write(root)
    text = (root / "README.md").read_text()
    assert text.startswith(f"before\n{BEGIN}\n") and text.endswith(f"{END}\nafter\n") and "old" not in text
    write(root)
    assert (root / "README.md").read_text() == text


def test_authors_weights_stand_beside_the_papers_number(root: Path) -> None:
    theirs = Record(profile=PUBLISHED, experiment="aodnet-sots-indoor", system="aodnet", rows=(), dataset="sots-indoor",
                    metric="psnr", unit="dB", value=19.0712, protocol="aecr", n=500, seed=0, input_value=11.977,
                    checkpoint="published")
    ours = replace(theirs, profile="indoor", value=18.5, checkpoint="last", steps=1234, reduced=True)
    others = [replace(theirs, dataset="nh-haze", n=2), replace(ours, dataset="haze-homogeneous", n=16)]
    for r in (theirs, ours, *others):
        write_records(records_folder(r.profile, root) / r.system / f"{r.system}-{r.dataset}.json", [r])
    write(root)
    lines = [line for line in (root / "README.md").read_text().splitlines() if "AOD-Net" in line]
    assert len(lines) == 2, "only whole real test sets count"
    assert "the authors'" in lines[0] and "19.07" in lines[0] and "19.82" in lines[0]
    assert "trained here, 1,234 steps, reduced network" in lines[1] and "18.50" in lines[1]
    assert ", 500 pictures; hazy input PSNR 11.98:" in (root / "README.md").read_text()


def test_the_authors_weights_nearest_to_the_printed_number_go_first(root: Path) -> None:
    far = Record(profile=PUBLISHED, experiment="dcp-sots-indoor", system="dcp", rows=(), dataset="sots-indoor",
                 metric="psnr", unit="dB", value=19.77, protocol="aecr", n=500, seed=0, checkpoint="none")
    near = replace(far, experiment="griddehazenet-sots-indoor", system="griddehazenet", value=32.16,
                   checkpoint="published")
    ours = replace(near, profile="indoor", checkpoint="last", steps=9)
    small = replace(near, dataset="dense-haze", n=5, value=13.31)
    for r in (far, near, ours, small):
        write_records(records_folder(r.profile, root) / r.system / f"{r.experiment}-{r.dataset}.json", [r])
    write(root)
    lines = [line for line in (root / "README.md").read_text().splitlines() if "GridDehazeNet" in line or "DCP" in line]
    assert [("32.16 " in line, "19.77" in line, "trained here" in line) for line in lines] == [
        (True, False, False), (False, True, False), (True, False, True)], "a mean over five pictures says little"


def test_a_variant_stands_in_its_own_table_once_it_has_seeds(root: Path) -> None:
    """One seed of a variant says nothing beside the whole system; a run that is two tables' row stands in both."""
    variant = Record(profile="desk", experiment="net", system="aecrnet", rows=("table2/base+dfe+mixup",), seed=0,
                     dataset="sots-indoor", metric="psnr", unit="dB", value=18.9, protocol="aecr", n=500, steps=9,
                     checkpoint="last")
    whole = replace(variant, profile="indoor", rows=("table1/aecrnet",), value=19.39)
    for r in (variant, whole):
        write_records(records_folder(r.profile, root) / r.system / "net.json", [r])
    write(root)
    (line,) = [line for line in (root / "README.md").read_text().splitlines() if line.startswith("| ") and "9 " in line]
    assert "AECR-Net (Ours)" in line and "19.39" in line and "37.17" in line
    ours = replace(whole, experiment="ours", rows=("table2/ours", "table4/1:1"), reduced=True)
    for number, value in enumerate((18.0, 17.0, 17.5)):
        write_records(records_folder("indoor", root) / f"aecrnet/ours-seed{number}.json",
                      [replace(ours, seed=number, value=value)])
    write(root)
    text = (root / "README.md").read_text()
    for title, row in (("Table 2. Ablation of AECR-Net", "Ours"), ("Table 4. Rates of positives to negatives", "1:1")):
        weights = "trained here, 9 steps, reduced network, mean ± standard deviation of 3 seeds"
        told = text.partition(f"{title}: {weights}; ")[2].partition(":\n\n")[2]
        assert told.splitlines()[2].split() == ["|", row, "|", "17.50", "±", "0.50", "|", "37.17", "|"]


def test_aecrnet_without_its_term_stands_beside_no_printed_number_of_aecrnet(root: Path) -> None:
    without = Record(profile="indoor", experiment="no-cr", system="aecrnet", rows=(), seed=0, dataset="sots-indoor",
                     metric="psnr", unit="dB", value=18.9, protocol="aecr", n=500, steps=9, checkpoint="last")
    theirs = replace(without, profile=PUBLISHED, experiment="theirs", checkpoint="published", value=37.0)
    for r in (without, theirs):
        write_records(records_folder(r.profile, root) / r.system / "net.json", [r])
    write(root)
    ours, authors = [[cell.strip() for cell in x.split("|")[1:5]] for number in ("18.90", "37.00")
                     for x in (root / "README.md").read_text().splitlines() if number in x]
    assert ours == ["AECR-Net (Ours)", "trained here, 9 steps, without its contrastive term", "18.90", ""]
    assert authors == ["AECR-Net (Ours)", "the authors'", "37.00", "37.17"]


def test_steps_of_the_run_that_it_starts_from_stand_before_its_own(root: Path) -> None:
    runs = {"first": {"dataset": "sots-indoor", "steps": 10}, "then": {"dataset": "sots-indoor", "steps": 2000,
                                                                      "init": "first"}}
    write_yaml(root / "profiles/p/params.yaml", {"systems": {"aodnet": {"runs": runs}}})
    write_records(records_folder("p", root) / "aodnet/then.json", [
        Record(profile="p", experiment="then", system="aodnet", rows=("table1/aodnet",), seed=0, dataset="sots-indoor",
               metric="psnr", unit="dB", value=19.0, protocol="aecr", n=500, steps=2000, checkpoint="last")])
    write(root)
    assert "trained here, 10 + 2,000 steps |" in (root / "README.md").read_text()


def test_a_row_of_which_a_seed_collapsed_says_so(root: Path) -> None:
    dfe = Record(profile="indoor", experiment="dfe", system="aecrnet", rows=("table2/base+dfe",), seed=0,
                 dataset="sots-indoor", metric="psnr", unit="dB", value=18.9, protocol="aecr", n=500, steps=9)
    for seed, value in enumerate((None, 18.0, 17.0)):
        write_records(records_folder("indoor", root) / f"aecrnet/dfe-{seed}.json", [
            replace(dfe, seed=seed, value=value, status="ok" if value else "collapsed")])
    write(root)
    (line,) = [x for x in (root / "README.md").read_text().splitlines() if x.startswith("| base+DFE ")]
    assert line.split("|")[2].strip() == "collapsed: seed 0"


def test_the_projects_own_readme_is_what_its_writer_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the tests run: other pictures of a dataset on this machine say nothing of the committed records."""
    own = Path(__file__).parents[2]
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    assert (own / "README.md").read_text(encoding="utf-8") == renewed(own), "run `reprolib report readme`"


def test_every_verdict_has_its_words() -> None:
    assert set(IN_A_SENTENCE) == {HOLDS, FALLS, NOISE, UNTESTED}


def test_claims_that_seeds_bear_on_stand_with_interval_and_verdict(root: Path) -> None:
    """Two seeds of two rows on the whole real test set; one seed, a sample or a stand-in bears nothing there."""
    (root / "profiles" / "indoor").mkdir(parents=True)
    (root / "profiles" / "indoor" / "params.yaml").write_text("systems: {}\n")
    for name, row, values in (("star", "table2/base+dfe+mixup+cr*", (18.9, 18.2)), ("none", "table2/base+dfe+mixup",
                                                                                    (18.5, 17.9))):
        for seed, value in enumerate(values):
            r = Record(profile="indoor", experiment=name, system="aecrnet", rows=(row,), dataset="sots-indoor",
                       metric="psnr", unit="dB", value=value, protocol="aecr", n=500, seed=seed, steps=1000)
            write_records(records_folder("indoor", root) / "aecrnet" / f"{name}-{seed}.json", [r])
    write(root)
    (line,) = [x for x in (root / "README.md").read_text().splitlines() if "CR helps, even without negatives" in x]
    # differences 0.4 and 0.3: mean 0.35, t of one degree of freedom 12.7062 times 0.0707 / sqrt 2
    assert "base+DFE+mixup+CR* > base+DFE+mixup" in line and "+0.35 [-0.285, +0.985]: within noise" in line
    assert "+0.26" in line, "the paper's difference"
    (records_folder("indoor", root) / "aecrnet" / "star-1.json").unlink()
    write(root)
    assert "even without negatives" not in (root / "README.md").read_text()


def test_the_bench_has_a_page_of_its_own(root: Path) -> None:
    (root / FOLDER).mkdir(parents=True)
    (root / FOLDER / "aecrnet.json").write_text(json.dumps([{**ROW, "targets": verdicts(ROW)}]))
    write(root)
    page = (root / FOLDER / "README.md").read_text()
    assert "2.00 (1.90 to 2.10)" in page and "missed by 20%" in page and ">= 2.5" in page
    assert "2.00 (1.90" not in (root / "README.md").read_text()


def test_a_readme_without_marks_is_refused(root: Path) -> None:
    (root / "README.md").write_text("nothing")
    with pytest.raises(UserError, match="no place for results"):
        write(root)
