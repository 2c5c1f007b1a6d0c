"""Measuring a dehazer on test pictures: records, per-image numbers and the pictures themselves."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from reprolib import metrics, models
from reprolib.data.images import write_png
from reprolib.data.outputs import named_outputs
from reprolib.data.paired import PairedFolder, open_split
from reprolib.errors import located
from reprolib.evaluation.checkpoint import common_fields, network_of, training_of
from reprolib.evaluation.record import Record, write_records
from reprolib.files import write_text
from reprolib.metrics.collapse import is_collapsed
from reprolib.metrics.protocols import DEFAULT, measure
from reprolib.models.inference import restore, to_uint8
from reprolib.progress import track
from reprolib.runs.places import Places
from reprolib.runs.rows import metrics_of
from reprolib.runs.run import DehazingRun


@dataclass(frozen=True)
class Measured:
    """One picture's values by metric, restored and as it was."""

    image: str
    restored: Mapping[str, float]
    hazy: Mapping[str, float]
    collapsed: bool


def measure_pairs(network: nn.Module, multiple: int, pairs: PairedFolder, chosen: Sequence[str],
                  protocol: str = DEFAULT, pictures: Path | None = None, name: str = "measuring") -> Iterator[Measured]:
    """Restore and score every pair.

    Args:
        multiple: of a picture's sides, as the network needs it (`System.multiple`).
        chosen: names of metrics of pictures.
        pictures: folder for the restored pictures in 8 bits, if they are wanted.
        name: stands beside the bar.

    Raises:
        UserError: as `named_outputs`, before anything is computed; a picture that the network cannot take.
    """
    targets = [] if pictures is None else named_outputs([(name, hazy) for name, hazy, _ in pairs.files], pictures)
    for index, pair in enumerate(track(pairs, name)):
        with located(pairs.files[index][1]):
            restored = restore(network, pair.hazy, multiple)
        clear, hazy = pair.clear / 255.0, pair.hazy / 255.0
        ours, before = measure(restored, clear, protocol, chosen), measure(hazy, clear, protocol, chosen)
        if targets:
            write_png(targets[index], to_uint8(restored))
        yield Measured(pair.name, ours, before, is_collapsed(restored))


def measure_dehazer(run: DehazingRun, root: Path = Path(), into: Path | None = None) -> list[Record]:
    """Records of a run's last checkpoint on the test split; writes them, numbers by picture, and the pictures.

    Raises:
        UserError: as `training_of`, or the test pictures are not here.
    """
    system, made = models.get(run.system), Places(run, into or root)
    trained = training_of(run, root)
    pairs = open_split(run.measured_on, "test")
    chosen = metrics_of(run)
    rows = list(measure_pairs(network_of(run, root), system.multiple, pairs, chosen, DEFAULT, made.pictures, run.id))
    common = {**common_fields(run, trained, len(rows)), "protocol": DEFAULT,
              "checkpoint": "last" if system.trained else "none", "data_hash": pairs.pixel_hash()}
    records = [_record(name, rows, common) for name in chosen]
    write_text(made.images, _csv(rows, chosen))
    write_records(made.records, records)
    return records


def mean(values: Sequence[float]) -> float:
    """Of one or more."""
    return sum(values) / len(values)


def _record(name: str, rows: Sequence[Measured], common: Mapping[str, Any]) -> Record:
    value, before = mean([r.restored[name] for r in rows]), mean([r.hazy[name] for r in rows])
    collapsed = all(r.collapsed for r in rows)
    status = "collapsed" if collapsed else "ok" if math.isfinite(value) else "non-finite"
    return Record(metric=name, unit=metrics.get(name).unit, status=status,
                  value=round(value, 6) if status == "ok" else None,
                  input_value=round(before, 6) if math.isfinite(before) else None, **common)


def _csv(rows: Sequence[Measured], chosen: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("image", "protocol", *chosen, *(f"hazy_{name}" for name in chosen)))
    for row in rows:
        values = [row.restored[name] for name in chosen] + [row.hazy[name] for name in chosen]
        writer.writerow((row.image, DEFAULT, *(f"{value:.6f}" for value in values)))
    return text.getvalue()
