"""How much the metric's protocol alone moves a number: the same pictures, measured every way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from reprolib import models
from reprolib.data.paired import open_split
from reprolib.evaluation.networks import CHECKPOINT, load_network
from reprolib.runs.experiment import Experiment
from reprolib.files import write_text
from reprolib.models.inference import restore
from reprolib.markdown import to_markdown
from reprolib.metrics.quality import PROTOCOLS, measure
from reprolib.progress import track


def write(profile: str, runs: list[Experiment], root: Path = Path()) -> None:
    """results/<profile>/tables/protocols.{csv,md}: mean PSNR and SSIM by system and protocol."""
    rows = []
    for e in runs:
        system = models.get(e.system)
        weights = e.folder(root) / CHECKPOINT if system.trained else None
        network = load_network(system, weights, **e.network)
        pairs = open_split(e.dataset, "test")
        scores: dict[str, list[dict[str, float]]] = {name: [] for name in PROTOCOLS}
        for pair in track(pairs, f"measuring {e.system} under {len(PROTOCOLS)} protocols"):
            restored, clear = restore(network, pair.hazy, system.multiple), pair.clear / 255.0
            for name in PROTOCOLS:
                scores[name].append(measure(restored, clear, name))
        rows += [{"system": e.system, "dataset": e.dataset, "protocol": name,
                  **{m: round(float(np.mean([s[m] for s in scores[name]])), 4) for m in ("psnr", "ssim")}}
                 for name in PROTOCOLS]
    frame = pd.DataFrame(rows)
    out = root / "results" / profile / "tables"
    write_text(out / "protocols.csv", frame.to_csv(index=False, lineterminator="\n"))
    write_text(out / "protocols.md", to_markdown(frame))
