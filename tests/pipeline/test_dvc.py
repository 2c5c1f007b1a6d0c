"""What DVC runs again after a change: what the change can affect, and nothing else."""

from __future__ import annotations

import re
import subprocess

from newcomer.conftest import Checkout
from newcomer.test_newcomer import DEHAZER

RUNS = {name: {"runs": {f"{name}-nh": {"dataset": "nh-haze"}}} for name in ("aodnet", "toynet")}


def ran(checkout: Checkout) -> set[str]:
    """Stages of a `dvc repro` of 'tiny', up to its ledger."""
    said = checkout.run("dvc", "repro", "profiles/tiny/dvc.yaml:ledger")
    return {name.rpartition(":")[2] for name in re.findall(r"Running stage '([^']+)'", said)}


def test_a_change_runs_again_what_it_can_affect(checkout: Checkout) -> None:
    subprocess.run(["git", "init", "-q", str(checkout.folder)], check=True)
    checkout.run("dvc", "init", "-q")
    checkout.write("reprolib/models/dehazing/toynet.py", DEHAZER)
    checkout.profile(RUNS)
    systems = {f"{stage}@{system}" for stage in ("train", "measure") for system in RUNS}
    assert ran(checkout) == {"inputs", "segmenter", "ledger"} | systems
    assert ran(checkout) == {"inputs"}

    # A reworded message and a comment are read by everything, and change nothing.
    checkout.replace("reprolib/data/paired.py", "no pairs here", "there are no pairs here")
    checkout.replace("reprolib/training/loop.py", "from __future__ import annotations",
                     "from __future__ import annotations  # a comment")
    assert ran(checkout) == {"inputs"}

    # A changed forward is its system's alone, and the ledger's, which reads its records.
    checkout.replace("reprolib/models/dehazing/toynet.py", "hazy_B3HW + self.body", "hazy_B3HW - self.body")
    assert ran(checkout) == {"inputs", "train@toynet", "measure@toynet", "ledger"}

    # So is a setting.
    text = (checkout.folder / "profiles/tiny/params.yaml").read_text()
    checkout.write("profiles/tiny/params.yaml", text.replace("  aodnet:\n", "  aodnet:\n    steps: 3\n"))
    assert ran(checkout) == {"inputs", "train@aodnet", "measure@aodnet", "ledger"}

    # Pictures that change afterwards are other pictures.
    picture = next((checkout.folder / "downloads/nh-haze").rglob("*51*GT*"))
    picture.write_bytes(next((checkout.folder / "downloads/nh-haze").rglob("*52*GT*")).read_bytes())
    found = ran(checkout)
    assert {"inputs", "measure@aodnet", "measure@toynet", "ledger"} <= found
