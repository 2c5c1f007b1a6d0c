"""Measuring a translator: distances between its pictures and real ones, and how well they keep their label maps.

The last checkpoint fills the tables, as in the released code, whose paper does not say which epoch it reports; the
one that was best on the validation split is measured beside it. None is chosen on test pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from reprolib import models
from reprolib.data.images import write_png
from reprolib.data.registry import get_dataset
from reprolib.data.unpaired import Domains, open_domains
from reprolib.evaluation.networks import device, load_network
from reprolib.evaluation.run import common_fields
from reprolib.runs.experiment import Experiment
from reprolib.models.inference import to_uint8, translate
from reprolib.metrics.collapse import is_collapsed
from reprolib.metrics.distance import distances
from reprolib.metrics.segmentation import load_segmenter, segmentation_scores
from reprolib.progress import track
from reprolib.evaluation.record import Record, records_folder, write_records

CHECKPOINTS = {"last": "last", "best": "best on validation"}
"""File and name of each checkpoint that is measured; the first one fills the tables."""

PERCENT = ("miou", "classacc", "pixacc", "pixacc_void")
METRICS = ("fid", "kid_inception", "fd_vgg16", "kid_vgg16", *PERCENT)


def translate_all(network: nn.Module, multiple: int, sources: Iterable[np.ndarray],
                  name: str = "translating") -> list[np.ndarray]:
    """Every picture of a domain, uint8 HW3; values are rounded to 8 bits, where the released code cuts them off."""
    return [to_uint8(translate(network, picture, multiple)) for picture in track(sources, name)]


def measure_pictures(fakes: list[np.ndarray], domains: Domains, distance: str,
                     segmenter: nn.Module | None = None, again: bool = False) -> dict[str, Any]:
    """All scores of pictures that were translated from `domains.a`, in its order (`METRICS`), and how they came about.

    The reference set is `domains.b`, all of it, in its own size. `again`: the pictures will be judged again.
    """
    found = distances(list(domains.b), fakes, distance, again=again)
    if segmenter is not None:
        found |= segmentation_scores(segmenter, fakes, list(domains.a))
    return {name: value for name, value in found.items() if name not in ("n", "n_real", "n_fake")}


def evaluate(system_name: str, dataset: str, *, weights: Path | None = None, data_root: Path | None = None,
             split: str = "test", limit: int | None = None, distance: str = "vgg16", pictures: Path | None = None,
             segmenter: Path | None = None) -> dict[str, Any]:
    """Scores of a translator with given weights on a dataset; `source_` scores are those of untranslated pictures.

    Raises:
        UserError: unknown names, missing data, or weights that do not fit.
    """
    system = models.get(system_name)
    domains = open_domains(dataset, split, root=data_root, limit=limit)
    network = load_network(system, weights).to(device())
    fakes = translate_all(network, system.multiple, domains.a)
    if pictures is not None:
        _write(pictures, domains, fakes)
    judge = load_segmenter(segmenter) if segmenter else None
    before = measure_pictures(list(domains.a), domains, distance, again=True)
    return {
        "system": system_name, "dataset": dataset, "split": split, "n": len(fakes), "n_real": len(domains.b),
        **measure_pictures(fakes, domains, distance, judge),
        **{f"source_{name}": before[name] for name in METRICS if name in before},
        "note": get_dataset(dataset).note, "weights": str(weights) if weights else None,
    }


def measure_experiment(experiment: Experiment, root: Path, kept: Path | None) -> list[Record]:
    """Records of an experiment's checkpoints on the test split (see `reprolib.evaluation.run`)."""
    system = models.get(experiment.system)
    domains = open_domains(experiment.measured_on, "test")
    judge = None
    if get_dataset(experiment.measured_on).column == "cityscapes":
        folder = root / "checkpoints" / experiment.profile / f"segmenter-{experiment.measured_on}"
        judge = load_segmenter(folder / "last.safetensors")
    # The input's own scores are the same for every seed; the pipeline's records hold them.
    before = {} if kept else measure_pictures(list(domains.a), domains, experiment.distance, again=True)
    files = {file: experiment.folder(root) / f"{file}.safetensors" for file in CHECKPOINTS}
    scores: dict[str, dict[str, Any]] = {}
    records = []
    for file, checkpoint in CHECKPOINTS.items():
        network = load_network(system, files[file], **experiment.network).to(device())
        if scores and files[file].read_bytes() == files["last"].read_bytes():
            scores[file] = scores["last"]
        else:
            fakes = translate_all(network, system.multiple, domains.a, experiment.id)
            collapsed = all(is_collapsed(fake / 255.0) for fake in fakes)
            scores[file] = measure_pictures(fakes, domains, experiment.distance, judge)
            if file == "last" and kept is None:
                _write(root / "outputs" / experiment.profile / experiment.id, domains, fakes)
        counted = models.count_parameters(network.get_submodule(system.inference[0]))
        common = {**common_fields(experiment, counted), "n": len(domains.a), "n_real": len(domains.b),
                  "checkpoint": checkpoint, "tabled": file == "last", "data_hash": domains.pixel_hash()}
        records += [_record(metric, scores[file], before.get(metric), collapsed, common)
                    for metric in METRICS if metric in scores[file]]
    write_records((kept or records_folder(experiment.profile, root)) / f"{experiment.id}.json", records)
    return records


def _record(metric: str, scores: Mapping[str, Any], before: float | None, collapsed: bool,
            common: Mapping[str, Any]) -> Record:
    value, judge = scores[metric], PROTOCOLS[metric.split("_")[-1]]
    details = {name: scores[name] for name in DETAILS[metric.partition("_")[0]] if name in scores}
    if f"{metric}_sd" in scores:
        details["sd"] = round(scores[f"{metric}_sd"], 6)
    status = "collapsed" if collapsed else "ok" if math.isfinite(value) else "non-finite"
    return Record(metric=metric, unit="%" if metric in PERCENT else "", protocol=judge, details=details,
                  status=status, value=round(value, 6) if status == "ok" else None,
                  input_value=None if before is None else round(before, 6), **common)


PROTOCOLS = {"fid": "inception", "inception": "inception", "vgg16": "vgg16"} | dict.fromkeys(
    ("miou", "classacc", "pixacc", "void"), "drn")
"""What judged, by the last word of a metric's name."""


DETAILS = {"fid": ("resize",), "fd": ("resize",), "kid": ("resize", "kid_subset_size"),
           **dict.fromkeys(("miou", "classacc", "pixacc"), ("ambiguous",))}
"""What a record says about how its number came about, by the first word of a metric's name."""


def _write(folder: Path, domains: Domains, fakes: list[np.ndarray]) -> None:
    for name, fake in zip(domains.a.names, fakes, strict=True):
        write_png(folder / f"{name}.png", fake)
