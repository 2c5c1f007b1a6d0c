"""The pipeline watched from outside: which stage took how long, and what counts as a whole run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from reprolib.errors import UserError
from reprolib.report.times import times_file, times_table, watch

PIPELINE = """
import sys, time
for stage in sys.argv[1:]:
    file = "pipeline/aodnet/dvc.yaml:" if "aodnet" in stage else ""
    print(f"Running stage '{file}{stage}':")
    time.sleep(0.4 if "train" in stage else 0.05)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    (tmp_path / "dvc.yaml").write_text("stages: {vgg16: {}, tiny-notebooks-dehazing: {}}\n")
    (tmp_path / "pipeline" / "aodnet").mkdir(parents=True)
    (tmp_path / "pipeline" / "aodnet" / "dvc.yaml").write_text("stages: {tiny-train-aodnet: {}}\n")
    return tmp_path


def run(root: Path, *stages: str) -> int:
    return watch("tiny", root, (sys.executable, "pipeline.py", *stages))


def test_each_stage_has_its_time(root: Path) -> None:
    assert run(root, "vgg16", "tiny-train-aodnet", "tiny-notebooks-dehazing") == 3
    content = json.loads(times_file("tiny", root).read_text())
    seconds = {row["stage"]: row["seconds"] for row in content["stages"]}
    assert list(seconds) == ["vgg16", "tiny-train-aodnet", "tiny-notebooks-dehazing"]
    assert max(seconds, key=lambda stage: seconds[stage]) == "tiny-train-aodnet"
    assert sum(seconds.values()) <= content["seconds"] + 0.2
    table = "\n".join(times_table("tiny", root))
    assert all(f"| {kind} | 1 |" in table for kind in ("train", "notebooks", "prepare"))


def test_a_part_of_the_pipeline_is_not_kept_as_the_whole(root: Path) -> None:
    assert run(root, "vgg16", "tiny-notebooks-dehazing") == 2
    assert not times_file("tiny", root).exists() and times_table("tiny", root) == []


def test_a_failed_pipeline_is_said(root: Path) -> None:
    (root / "pipeline.py").write_text("raise SystemExit(3)")
    with pytest.raises(UserError, match="the pipeline failed"):
        run(root)
