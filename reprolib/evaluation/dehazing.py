"""Measuring a dehazer on the test pictures of a dataset: records, per-image numbers and the pictures themselves."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from reprolib import models
from reprolib.data.images import write_png
from reprolib.data.paired import PairedFolder, open_split
from reprolib.data.registry import get_dataset
from reprolib.evaluation.networks import CHECKPOINT, device, load_network
from reprolib.evaluation.run import common_fields
from reprolib.runs.experiment import Experiment
from reprolib.files import write_text
from reprolib.models.inference import restore, to_uint8
from reprolib.metrics.collapse import is_collapsed
from reprolib.metrics.quality import measure
from reprolib.progress import track
from reprolib.evaluation.record import Record, records_folder, write_records

UNITS = {"psnr": "dB", "ssim": ""}


@dataclass(frozen=True)
class Measured:
    """One picture's scores, before and after."""

    image: str
    protocol: str
    psnr: float
    ssim: float
    hazy_psnr: float
    hazy_ssim: float
    collapsed: bool


def measure_pairs(network: nn.Module, multiple: int, pairs: PairedFolder, protocol: str = "aecr",
                  pictures: Path | None = None, name: str = "evaluating") -> Iterator[Measured]:
    """Restore and score every pair; saves 8-bit pictures where a folder is given. `name` stands beside the bar."""
    for pair in track(pairs, name):
        restored = restore(network, pair.hazy, multiple)
        clear, hazy = pair.clear / 255.0, pair.hazy / 255.0
        ours, before = measure(restored, clear, protocol), measure(hazy, clear, protocol)
        if pictures is not None:
            write_png(pictures / f"{pair.name}.png", to_uint8(restored))
        yield Measured(pair.name, protocol, ours["psnr"], ours["ssim"], before["psnr"], before["ssim"],
                       is_collapsed(restored))


def evaluate(system_name: str, dataset: str, *, weights: Path | None = None, data_root: Path | None = None,
             split: str = "test", limit: int | None = None, protocol: str = "aecr", pictures: Path | None = None,
             **options: Any) -> dict[str, Any]:
    """Scores of a system with given weights on a dataset: means over images, with the hazy input's beside them."""
    system = models.get(system_name)
    pairs = open_split(dataset, split, root=data_root, limit=limit)
    network = load_network(system, weights, **options).to(device())
    rows = list(measure_pairs(network, system.multiple, pairs, protocol, pictures))
    collapsed = [r.image for r in rows if r.collapsed]
    columns = ("psnr", "ssim", "hazy_psnr", "hazy_ssim")
    return {
        "system": system_name, "dataset": dataset, "split": split, "protocol": protocol, "n": len(rows),
        **{c: _mean([getattr(r, c) for r in rows]) for c in columns},
        "collapsed": collapsed, "note": get_dataset(dataset).note, "weights": str(weights) if weights else None,
    }


def measure_experiment(experiment: Experiment, root: Path, kept: Path | None) -> list[Record]:
    """Records of an experiment's last checkpoint on the test split (see `reprolib.evaluation.run`)."""
    system = models.get(experiment.system)
    pairs = open_split(experiment.measured_on, "test")
    weights = experiment.folder(root) / CHECKPOINT if system.trained else None
    network = load_network(system, weights, **experiment.network).to(device())
    pictures = None if kept else root / "outputs" / experiment.profile / experiment.id
    rows = list(measure_pairs(network, system.multiple, pairs, "aecr", pictures, experiment.id))
    common = {
        **common_fields(experiment, models.count_parameters(network)), "protocol": "aecr", "n": len(rows),
        "checkpoint": "last" if system.trained else "none", "data_hash": pairs.pixel_hash(),
    }
    records = [_record(metric, rows, common) for metric in UNITS]
    write_records((kept or records_folder(experiment.profile, root)) / f"{experiment.id}.json", records)
    if kept is None:
        write_text(root / "results" / experiment.profile / "images" / f"{experiment.id}.csv", _csv(rows))
    return records


def _record(metric: str, rows: list[Measured], common: dict[str, Any]) -> Record:
    value: float | None = _mean([getattr(r, metric) for r in rows])
    collapsed = all(r.collapsed for r in rows)
    assert value is not None
    status = "collapsed" if collapsed else "ok" if math.isfinite(value) else "non-finite"
    before = round(_mean([getattr(r, f"hazy_{metric}") for r in rows]), 6)
    return Record(metric=metric, unit=UNITS[metric], status=status, value=round(value, 6) if status == "ok" else None,
                  input_value=before, **common)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _csv(rows: list[Measured]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ("psnr", "ssim", "hazy_psnr", "hazy_ssim")
    writer.writerow(("image", "protocol", *columns))
    writer.writerows((r.image, r.protocol, *(f"{getattr(r, c):.6f}" for c in columns)) for r in rows)
    return text.getvalue()
