"""A project with a profile of two priors, one record of an author's weights, a notebook and two written pages."""

from __future__ import annotations

from pathlib import Path

import nbformat
import numpy as np

from reprolib.data.images import write_png
from reprolib.evaluation.record import Record, write_records
from reprolib.report import ledger

ROWS = "systems: {dcp: {steps: 0, runs: {dcp-first: {dataset: haze-homogeneous}}}}\n"


def make(root: Path) -> Path:
    """Write it below `root`."""
    (root / "profiles" / "tiny").mkdir(parents=True)
    (root / "profiles" / "tiny" / "params.yaml").write_text(ROWS)
    records("tiny", "haze-homogeneous", "dcp-first", root, checkpoint="none")
    records("published", "sots-indoor", "dcp-sots", root, n=500, checkpoint="none")
    ledger.write("tiny", root, digest=None)
    for name in ("0_1", "1_1"):
        picture = np.full((48, 64, 3), 90, np.uint8)
        write_png(root / "outputs" / "tiny" / "dcp" / "dcp-first" / f"{name}.png", picture)
    output = nbformat.v4.new_output("execute_result", {"text/markdown": "# What a cell *says*\n\n$x_1$ and words"})
    cells = [nbformat.v4.new_code_cell("1", outputs=[output]), nbformat.v4.new_markdown_cell("## Then")]
    path = root / "results" / "tiny" / "notebooks" / "told.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(nbformat.writes(nbformat.v4.new_notebook(cells=cells)))
    (root / "docs").mkdir()
    (root / "docs" / "math.md").write_text("# A formula\n\n$$\\frac{D(J, x)}{D(I, x)}$$\n")
    (root / "README.md").write_text("# Read me\n\nSee [the formula](docs/math.md) and [a file](profiles/tiny).\n")
    return root


def records(profile: str, dataset: str, run: str, root: Path, n: int = 16, checkpoint: str = "last") -> None:
    """PSNR and SSIM of a run of DCP."""
    known = {"profile": profile, "experiment": run, "system": "dcp", "rows": ("table1/dcp",), "dataset": dataset,
             "protocol": "aecr", "n": n, "seed": 0, "checkpoint": checkpoint}
    write_records(root / "results" / profile / "records" / "dcp" / f"{run}.json", [
        Record(metric="psnr", unit="dB", value=18.851819, input_value=12.9, **known),  # type: ignore[arg-type]
        Record(metric="ssim", unit="", value=0.874348, **known)])  # type: ignore[arg-type]
