"""What DVC runs again after a change: what the change can affect, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

from newcomer.conftest import Checkout
from newcomer.test_newcomer import DEHAZER

RUNS = {name: {"runs": {f"{name}-nh": {"dataset": "nh-haze"}}} for name in ("aodnet", "toynet")}


def ran(checkout: Checkout) -> set[str]:
    """Stages of a `dvc repro` of 'tiny', up to its ledger."""
    return stages(checkout.run("dvc", "repro", "profiles/tiny/dvc.yaml:ledger"))


def stages(said: str) -> set[str]:
    """That a `dvc repro` has run, by what it said."""
    return {name.rpartition(":")[2] for name in re.findall(r"Running stage '([^']+)'", said)}


def due(checkout: Checkout) -> set[str]:
    """Stages up to the ledger of 'tiny' that a `dvc repro` would run beside its first look, as DVC says."""
    checkout.reprolib("runs", "inputs", "--profile", "tiny")
    said = json.loads(checkout.run("dvc", "status", "--json", "profiles/tiny/dvc.yaml"))
    names = {name.rpartition(":")[2] for name in said}
    return {name for name in names if name.partition("@")[0] in ("segmenter", "train", "measure", "ledger")}


def test_a_change_runs_again_what_it_can_affect(checkout: Checkout) -> None:
    subprocess.run(["git", "init", "-q", str(checkout.folder)], check=True)
    checkout.run("dvc", "init", "-q")
    checkout.write("reprolib/models/dehazing/toynet.py", DEHAZER)
    checkout.profile(RUNS)
    systems = {f"{stage}@{system}" for stage in ("train", "measure") for system in RUNS}
    assert ran(checkout) == {"inputs", "segmenter", "ledger"} | systems

    # A reworded message and a comment are read by everything, and change nothing.
    checkout.replace("reprolib/data/paired.py", "no pairs here", "there are no pairs here")
    checkout.replace("reprolib/training/loop.py", "from __future__ import annotations",
                     "from __future__ import annotations  # a comment")
    assert ran(checkout) == {"inputs"}

    # A changed forward is its system's alone, and the ledger's, which reads its records; a system that comes later gets
    # its row, and no other runs again.
    checkout.replace("reprolib/models/dehazing/toynet.py", "hazy_B3HW + self.body", "hazy_B3HW - self.body")
    checkout.replace("profiles/tiny/params.yaml", "systems:\n",
                     "systems:\n  dcp:\n    runs:\n      dcp-nh: {dataset: nh-haze}\n")
    assert ran(checkout) == {"inputs", "segmenter", "ledger", "train@toynet", "measure@toynet", "train@dcp",
                             "measure@dcp"}

    # A setting is its run's; of another run of a system, what was measured before stands.
    text = (checkout.folder / "profiles/tiny/params.yaml").read_text()
    text = text.replace("      toynet-nh:\n", "      toynet-too: {dataset: nh-haze, seed: 1}\n      toynet-nh:\n")
    checkout.write("profiles/tiny/params.yaml", text.replace("  aodnet:\n", "  aodnet:\n    steps: 3\n"))
    said = checkout.run("dvc", "repro", "profiles/tiny/dvc.yaml:ledger")
    assert stages(said) == {"inputs", "ledger"} | systems
    stand = {name for name in ("aodnet-nh", "toynet-nh", "toynet-too") if f"{name}: measured already" in said}
    assert stand == {"toynet-nh"}

    # Pictures that change afterwards are other pictures; brought back, they are the same again.
    folder = checkout.folder / "downloads/NH-HAZE"
    one, other = folder / "51_GT.png", (folder / "52_GT.png").read_bytes()
    before = one.read_bytes()
    one.write_bytes(other)
    assert {"measure@aodnet", "measure@dcp", "measure@toynet"} <= due(checkout)
    one.write_bytes(before)
    assert due(checkout) == set()

    # On a clone the real pictures are not there: with the checkpoints that a remote brings, measuring says so.
    records = {path: path.read_bytes() for path in (checkout.folder / "results").rglob("records/*/*.json")}
    folder.rename(checkout.folder / "elsewhere")
    shutil.rmtree(checkout.folder / "outputs")
    said = checkout.run("dvc", "repro", "profiles/tiny/dvc.yaml:ledger")
    assert stages(said) == {"inputs", "measure@aodnet", "measure@dcp", "measure@toynet"}
    assert said.count("the registered folder of 'nh-haze' has gone; its records stand\n") == len(records) == 4

    # Without them training does; nothing is lost.
    shutil.rmtree(checkout.folder / "checkpoints")
    said = checkout.run("dvc", "repro", "profiles/tiny/dvc.yaml:ledger", fails=True)
    assert "not on this machine: nh-haze" in said and "`dvc repro --pull`" in said and "Traceback" not in said
    assert {path: path.read_bytes() for path in (checkout.folder / "results").rglob("records/*/*.json")} == records
