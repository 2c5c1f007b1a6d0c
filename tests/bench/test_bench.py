"""The command's rows and files, the order of turns, what is counted, and the verdicts."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from reprolib.bench import measure, translators
from reprolib.bench.case import Case, cases, open_way
from reprolib.bench.cost import Spread
from reprolib.bench.run import file_name, keep, read
from reprolib.bench.targets import TARGETS, verdicts
from reprolib.bench.translators import write_costs
from reprolib.bench.work import convolution_rate, work_of
from reprolib.commands import main
from reprolib.errors import UserError
from reprolib.report import bench as drawn

KEYS = {"system", "device", "precision", "step_seconds", "reference_seconds", "speedup", "peak_memory",
        "reference_memory", "memory_ratio", "macs", "share_of_ceiling"}


def row(**changes: Any) -> dict[str, Any]:
    settings = {"system": "aecrnet", "task": "train", "device": "CPU x, 2 threads", "device_type": "cpu",
                "precision": "32-true", "layout": "channels_last", "version": "1.0", "batch": 8, "crop": 64,
                "network": {"width": 16}, "rate": "1:1", "speedup": 2.6, "rate_cost": None, "memory_ratio": 0.5,
                "share_of_ceiling": 0.7, "share_of_copy_ceiling": 0.2, "speedup_at_ceiling": 3.7}
    return {**settings, **changes}


@pytest.mark.parametrize(("words", "task"), [
    (("cut", "--batch", "1", "--crop", "64", "--width", "4", "--against", "bf16"), "train"),
    (("aodnet", "--task", "evaluate", "--against", "plain"), "evaluate"),
])
def test_command_prints_what_others_read(words: tuple[str, ...], task: str, tmp_path: Path,
                                         monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*words, "--accelerator", "cpu", "--precision", "32-true", "--repeats", "2", "--json"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["reprolib", "bench", *arguments])
    assert main.run(sys.argv[1:]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert set(found) >= KEYS and found["task"] == task and found["system"] == words[0]
    assert found["step_seconds"] > 0 and found["reference_seconds"] > 0 and found["macs"] > 0
    assert 0 < found["share_of_ceiling"] < 1.5 and found["repeats"] == 2 and found["peak_memory"] > 0
    assert read() == [found]
    # In whatever type, the ways compute the same, each in a process that holds at least its libraries.
    assert set(found["references"]) == {"plain", words[-1]}
    for name, way in found["references"].items():
        assert "absent" in way or way["difference"] < (1e-4 if name == "plain" else 2e-2)
    assert found["speedup"] == found["references"]["plain"]["speedup"]
    assert found["peak_memory"] > found["memory_growth"]


def test_a_row_replaces_that_of_the_same_configuration(tmp_path: Path) -> None:
    keep([row(), row(network={})], tmp_path)
    (path,) = keep([row(speedup=3.0)], tmp_path)
    assert path.name == "aecrnet_1.0_cpu-x-2-threads_32-true_channels-last.json"
    assert sorted(r["speedup"] for r in read(tmp_path)) == [2.6, 3.0]
    assert file_name(row(precision="bf16-mixed")) != path.stem


def test_ways_take_turns() -> None:
    order: list[str] = []
    seconds = measure.interleaved({name: lambda n=name: order.append(n) or len(order) for name in "ab"}, 3)
    assert "".join(order) == "ab" "ba" "ab" and seconds == {"a": [1, 4, 5], "b": [2, 3, 6]}
    assert measure.ratios([2.0, 4.0, 9.0], [1.0, 2.0, 3.0]) == Spread(2.0, 2.0, 2.5)


def test_work_by_closed_form() -> None:
    """Forward, gradient of the weights and of the input: three times the multiply-accumulates of the layer."""
    layer = nn.Conv2d(4, 8, 3, padding=1, bias=False)
    x = torch.rand(2, 4, 10, 12, requires_grad=True)

    def step() -> None:
        layer(x).sum().backward()

    work = work_of(step)
    forward = 2 * 120 * 4 * 8 * 9
    assert work.macs == 3 * forward
    maps, weights = 4 * 2 * 120 * (4 + 8), 4 * 4 * 8 * 9
    assert work.bytes >= 2 * (maps + weights)
    assert convolution_rate(step, torch.device("cpu")) > 0
    assert convolution_rate(lambda: x.detach() + 1, torch.device("cpu")) == 0.0


def test_verdicts() -> None:
    """Of the targets, those that speak of the row; a miss says by how much, and names the nearest ceiling."""
    for met in verdicts(row()):
        assert met["met"] and met["missed_by"] == 0 and met["bound"] == ""
    speed, _ = verdicts(row(speedup=2.0))
    assert (speed["met"], speed["missed_by"]) == (False, 0.2)
    _, memory = verdicts(row(memory_ratio=1.25, peak_memory=5 * 2**30, references={
        "plain": {"reference_seconds": 3.0, "reference_memory": 4 * 2**30},
        "direct": {"reference_seconds": 2.0, "reference_memory": 3 * 2**30}}))
    assert memory["missed_by"] == 0.25
    assert all(part in memory["bound"] for part in ("2048 MiB", "0.75 times the memory", "1.50 times as fast"))
    (rate,) = verdicts(row(speedup=5.0, batch=10, rate="1:10", rate_cost=1.10))
    assert rate["measure"] == "rate_cost" and rate["met"]
    assert "70%" in speed["bound"] and "3.70 times" in speed["bound"]
    assert "copy moves" in verdicts(row(speedup=1.0, share_of_copy_ceiling=0.9))[0]["bound"]
    assert "no ceiling" in verdicts(row(speedup=1.0, share_of_ceiling=0.1))[0]["bound"]
    assert verdicts(row(system="ffanet")) == [] == verdicts(row(crop=32))
    (memory,) = (v for v in verdicts(row(system="cut", batch=1, crop=256, memory_ratio=1.5, growth_ratio=2.0,
                                         references={"plain": {}, "direct": {"absent": "nothing is filtered"}}))
                 if not v["met"])
    assert "2.00 times" in memory["bound"]
    on_gpu = row(device_type="cuda", precision="bf16-mixed", convolution_share=0.5,
                 batch=16, crop=240)
    assert {v["measure"] for v in verdicts(on_gpu)} == {t.measure for t in TARGETS} - {"rate_cost"}


def test_tables_and_figure(tmp_path: Path) -> None:
    """A row of each kind goes through; the table of targets has its columns without any row."""
    plain = {"reference_seconds": 2.6, "speedup": 2.6, "speedup_quartiles": [2.5, 2.7], "reference_memory": 2**31,
             "memory_ratio": 0.5, "growth_ratio": 0.4, "first_step_seconds": 3.0, "difference": 1e-7}
    full = row(**plain, step_seconds=1.0, peak_memory=2**30, macs=10**9, date="2026-01-01", torch="2.14", load=0.1,
               references={"plain": plain, "compiled": {"absent": "no compiler"}})
    rows = [{**r, "targets": verdicts(r)} for r in (full, {**full, "task": "evaluate", "crop": None, "speedup": 1.2})]
    assert list(drawn.table(rows)["faster"]) == ["2.60 (2.50 to 2.70)", "1.20 (2.50 to 2.70)"]
    assert list(drawn.targets(rows)["verdict"]) == ["met", "met", "missed by 40%"]
    assert list(drawn.references(rows[:1])["faster"]) == ["2.60 (2.50 to 2.70)", "no compiler"]
    assert len(drawn.targets([])) == 0 and "bound by" in drawn.targets([])
    assert len(drawn.ratios(rows).axes[0].patches) == 2


def test_what_cannot_be_timed() -> None:
    with pytest.raises(UserError, match="unknown task"):
        open_way(Case("aecrnet", task="dance"), "ours")
    with pytest.raises(UserError, match="no network"):
        open_way(Case("dcp"), "ours")
    with pytest.raises(UserError, match="no plain step of 'munit'"):
        open_way(Case("munit", accelerator="cpu"), "plain")


def test_default_sizes() -> None:
    (small,) = cases("cut", precisions=["32-true"], accelerator="cpu")
    assert (small.batch, small.crop, dict(small.network)) == (1, 256, {})
    (picture,) = cases("aecrnet", "evaluate", ["32-true"], accelerator="cpu", width=16)
    assert (picture.batch, picture.network["width"]) == (1, 16)


def test_every_translator_is_timed_on_the_column_with_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small networks; one picture each, two where a method compares them; shares are of the first printed system's."""
    (tmp_path / "profiles" / "paper").mkdir(parents=True)
    (tmp_path / "profiles" / "paper" / "params.yaml").write_text("""
defaults: {translation: {network: {width: 4}, crop: 256}}
systems:
  cut: {runs: {cut-cityscapes: {dataset: cityscapes, network: {width: 5}}, cut-horse2zebra: {dataset: horse2zebra}}}
  cyclegan: {runs: {cyclegan-horse2zebra: {dataset: horse2zebra}}}
  distancegan: {batch: 2, runs: {distancegan-horse2zebra: {dataset: horse2zebra}}}
  selfdistance: {batch: 2, runs: {selfdistance-horse2zebra: {dataset: horse2zebra}}}
  gcgan: {batch: 8, runs: {gcgan-horse2zebra: {dataset: horse2zebra}}}
""")
    shown_by_the_clock = itertools.cycle([3.0, 1.0])
    monkeypatch.setattr(translators, "timed", lambda step, device: step() or next(shown_by_the_clock))
    path = write_costs(crop=64, repeats=2, root=tmp_path, accelerator="cpu")
    found = json.loads(path.read_text())
    assert "width 4;" in found["conditions"]
    rows = {row["system"]: row for row in found["systems"]}
    assert {name: row["batch"] for name, row in rows.items()} == {
        "cyclegan": 1, "distancegan": 2, "selfdistance": 1, "gcgan": 1, "cut": 1}, "SelfDistance halves one picture"
    assert rows["cyclegan"]["memory_ratio"] == rows["cyclegan"]["sec_per_iter_ratio"] == 1
    assert {name: row["sec_per_iter"] * row["batch"] for name, row in rows.items()} == dict.fromkeys(rows, 2.0)
    assert {name: row["iqr"] * row["batch"] for name, row in rows.items()} == dict.fromkeys(rows, 1.0)
    assert all(row["repeats"] == 2 for row in rows.values())  # the steps before these are not timed
    path.write_text(json.dumps({**found, "systems": [{**row, "memory": 9.0} for row in found["systems"]]}))
    monkeypatch.setattr(translators, "timed", None)
    assert json.loads(write_costs(crop=64, root=tmp_path, accelerator="cpu", only_memory=True).read_text()) == found
    shown = drawn.translators(tmp_path).set_index("system")
    assert list(shown.index) == ["CycleGAN", "Distance", "SelfDistance", "GCGAN", "CUT"]
    assert shown.loc["CUT"].filter(like="the paper's share").tolist() == ["0.60", "0.69"]
    assert shown.loc["CUT", "share of memory [GB]"] == f"{rows['cut']['memory_ratio']:.2f}"
    with pytest.raises(UserError, match="no runs for a table with costs"):
        write_costs("indoor", root=Path(__file__).parents[2])
    assert drawn.translators(tmp_path / "none").empty
