"""What DVC shows by itself."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from reprolib.report import ledger, plots
from reprolib.results.ledger import PUBLISHED
from reprolib.runs.places import Places
from reprolib.runs.profile import read_profile


def entry(**changed: Any) -> dict[str, Any]:
    return {"table": "table1", "row": "table1/aodnet", "label": "AOD-Net", "dataset": "sots", "metric": "psnr",
            "value": 18.123456, "paper_value": 19.82, "gap": None, "record": "results/mini/records/aodnet/a.json#psnr",
            "evidence": "trained here", **changed}


ENTRIES = [
    entry(), entry(value=19.07, gap=-0.75, evidence=PUBLISHED, record="results/published/records/aodnet/a.json#psnr"),
    entry(metric="ssim", value=0.8, paper_value=0.85), entry(row="table1/dcp", label="DCP", paper_value=None),
    entry(dataset="", metric="params", value=1761, record="counted"),
    entry(metric="sec_per_iter", value=0.3, record="results/bench/translators_paper.json"),
    entry(dataset="nh-haze", value=None, record=None)]


@pytest.fixture
def shown(tmp_path: Path, project: Path) -> Path:
    """A root with a profile, its ledger and two logs, one long and one short."""
    shutil.copytree(project / "profiles/mini", tmp_path / "profiles/mini")
    path = ledger.ledger_file("mini", tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(ENTRIES))
    for run, n in zip(list(read_profile("mini", tmp_path).runs.values())[:2], (95, 2), strict=True):
        log = Places(run, tmp_path).checkpoint / "log.csv"
        log.parent.mkdir(parents=True)
        rows = [f"{i},{1 / i},{20 + i if i % 2 else ''}" for i in range(1, n + 1)]
        log.write_text("\n".join(["step,loss,validation", *rows]) + "\n")
    plots.write("mini", tmp_path)
    return tmp_path / "results/mini"


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_numbers_stand_by_table_row_set_and_metric(shown: Path) -> None:
    """Costs, counts and cells that nothing was measured for are left out; the authors' weights displace no number."""
    assert {p.relative_to(shown).as_posix(): json.loads(p.read_text()) for p in shown.glob("metrics/*/*")} == {
        "metrics/table1/aodnet.json": {"sots": {"psnr": 18.1235, "ssim": 0.8}},
        "metrics/table1/dcp.json": {"sots": {"psnr": 18.1235}}}
    assert table(shown / "plots/psnr.csv") == [
        {"column": "table1, sots", "system": "AOD-Net", "here": "18.1235", "paper": "19.82"},
        {"column": "table1, sots", "system": "DCP", "here": "18.1235", "paper": ""}]


def test_curves_keep_their_ends_and_few_points(shown: Path) -> None:
    rows = table(shown / "plots/loss.csv")
    runs = list(dict.fromkeys(row["run"] for row in rows))
    long, short = ([int(row["step"]) for row in rows if row["run"] == run] for run in runs)
    assert short == [1, 2] and long[-1] == 95 and 20 < len(long) <= plots.POINTS and long == sorted(long)
    assert all(row["validation"] for row in table(shown / "plots/validation.csv"))


def test_curves_of_logs_that_are_not_here_stay(shown: Path) -> None:
    """A clone before `dvc pull` has no log, and what is in Git must not be emptied."""
    before = {name: (shown / f"plots/{name}.csv").read_bytes() for name in plots.CURVES}
    for log in (shown.parents[1] / "checkpoints").rglob("log.csv"):
        log.unlink()
    plots.write("mini", shown.parents[1])
    assert {name: (shown / f"plots/{name}.csv").read_bytes() for name in plots.CURVES} == before


def test_what_a_profile_no_longer_has_goes(shown: Path) -> None:
    (shown / "metrics/table1/old.json").write_text("{}")
    plots.write("mini", shown.parents[1])
    assert not (shown / "metrics/table1/old.json").exists()


def test_dvc_shows_them(shown: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the stage of the profile and the templates of this project; without the network."""
    from dvc.repo import Repo

    root = shown.parents[1]
    monkeypatch.chdir(root)
    subprocess.run(["git", "init", "-q", "."], check=True)
    Repo.init(".").close()
    shutil.copytree(project / ".dvc/plots", ".dvc/plots")
    with Repo(".") as repo:
        found = repo.metrics.show(["results/mini/metrics/table1"])[""]["data"]
        assert {Path(path).name: content["data"] for path, content in found.items()} == {
            "aodnet.json": {"sots": {"psnr": 18.1235, "ssim": 0.8}}, "dcp.json": {"sots": {"psnr": 18.1235}}}
    for name, marks in (("loss", ["line"]), ("validation", ["line"]), ("psnr", ["bar", "tick"])):
        done = subprocess.run(["dvc", "plots", "show", "--show-vega", f"results/mini/plots/{name}.csv"],
                              check=True, capture_output=True, text=True)
        vega = json.loads(done.stdout)
        assert len(vega["data"]["values"]) == len(table(shown / f"plots/{name}.csv"))
        layers = vega["spec"].get("layer", [vega["spec"]])
        assert [layer["mark"]["type"] for layer in layers] == marks
        fields = {channel["field"] for layer in layers for channel in layer["encoding"].values()}
        assert fields <= set(vega["data"]["values"][0]), "the template names columns that there are"
