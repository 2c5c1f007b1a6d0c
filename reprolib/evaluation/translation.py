"""Measuring a translator: distances between its pictures and real ones, and how well they keep their label maps.

The last checkpoint fills the tables, as in the released code, whose paper does not say which epoch it reports; the
one that was best on the validation split is measured beside it. None is chosen on test pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from reprolib import metrics, models
from reprolib.data.images import write_png
from reprolib.data.outputs import named_outputs
from reprolib.data.registry import get_dataset
from reprolib.data.unpaired import Domains, ImageFolder, open_domains
from reprolib.errors import UserError, located
from reprolib.evaluation.checkpoint import common_fields, training_of
from reprolib.evaluation.networks import device, load_network
from reprolib.evaluation.record import Record, write_records
from reprolib.metrics import Score
from reprolib.metrics.collapse import is_collapsed
from reprolib.metrics.distance import PictureSet
from reprolib.metrics.segmentation import confusion_of, load_segmenter
from reprolib.models.direction import one_way
from reprolib.models.inference import to_uint8, translate
from reprolib.models.segmentation.drn import DRND22
from reprolib.models.system import Direction
from reprolib.progress import track
from reprolib.runs.places import Places
from reprolib.runs.rows import metrics_of
from reprolib.runs.run import SegmenterRun, TranslationRun

Picture = NDArray[np.uint8]

CHECKPOINTS = {"last": "last", "best": "best on validation"}
"""File and name of each checkpoint that is measured; the first one fills the tables."""

SEGMENTER = "drn"
"""The protocol that records of label metrics give: what scored."""


def translate_all(network: nn.Module, multiple: int, sources: ImageFolder, name: str = "translating",
                  rounding: str = "nearest") -> list[Picture]:
    """Every picture of a domain, uint8 HWC; `rounding` as of `TranslationRun`.

    Raises:
        UserError: a picture that cannot be read, or that the network cannot take.
    """
    made = []
    for index, picture_HWC in enumerate(track(sources, name)):
        with located(sources.files[index]):
            made.append(to_uint8(translate(network, picture_HWC, multiple), rounding))
    return made


def score_sets(pictures: Sequence[Picture], domains: Domains, chosen: Iterable[str], again: bool = False) -> dict[
        str, Score]:
    """Metrics of sets: pictures against all of `domains.b`, in its own size.

    Args:
        pictures: uint8 HW3.
        chosen: names of metrics of sets.
        again: the same pictures will be scored again, so that it pays to keep their features.
    """
    real, fake = PictureSet(list(domains.b), "real", kept=True), PictureSet(pictures, "translated", kept=again)
    return {metric.name: metric.function(real, fake) for metric in metrics.of_sets(chosen)}


def score_labels(pictures: Sequence[Picture], domains: Domains, chosen: Iterable[str], segmenter: nn.Module) -> dict[
        str, Score]:
    """Metrics of labels: pictures that were translated from the label maps `domains.a`, in its order."""
    confusion = confusion_of(segmenter, pictures, list(domains.a))
    return {metric.name: Score(metric.function(confusion), {"ambiguous": confusion.ambiguous})
            for metric in metrics.of_labels(chosen)}


def measure_translator(run: TranslationRun, root: Path = Path(), into: Path | None = None,
                       direction: Direction = "ab") -> list[Record]:
    """Records of a run's checkpoints on the test split; writes them, and the pictures of the last one.

    From B to A no table has a cell, and photos become no label maps that could be scored: such records stand for no
    row, say so, and lie with the run's unfinished work (`Places.reverse`).

    Raises:
        UserError: as `training_of`; the test pictures or the segmenter of their label maps are not here; no such
            direction.
    """
    system, places, made = models.get(run.system), Places(run, root), Places(run, into or root)
    system.translating(direction)
    trained = training_of(run, root)
    domains = open_domains(run.measured_on, "test", direction=direction)
    of_sets, of_labels = by_kind(metrics_of(run))
    tabled = direction == "ab"
    of_labels = of_labels if tabled else []
    records_file, pictures = (made.records, made.pictures) if tabled else (
        made.reverse / "records.json", made.reverse / "pictures")
    segmenter = segmenter_of(run, root) if of_labels else None
    seen = domains.in_channels(run.channels)
    before = score_sets(list(seen.a), seen, of_sets, again=True)  # the same for every system and seed
    files = {file: places.checkpoint / f"{file}.safetensors" for file in CHECKPOINTS}
    common = {**common_fields(run, trained, *counts(domains, direction)), "n": len(domains.a), "n_real": len(domains.b),
              "data_hash": domains.pixel_hash()}
    scores: dict[str, Score] = {}
    records, collapsed = [], False
    for file, checkpoint in CHECKPOINTS.items():
        if file == "last" or files[file].read_bytes() != files["last"].read_bytes():
            network = load_network(system, files[file], direction=direction, **trained.run.network).to(device())
            fakes = translate_all(one_way(network, direction), system.multiple, seen.a, run.id, run.rounding)
            collapsed = all(is_collapsed(fake / 255.0) for fake in fakes)
            scores = score_sets(fakes, seen, of_sets)
            if segmenter is not None:
                scores |= score_labels(fakes, domains, of_labels, segmenter)
            if file == "last":
                write_pictures(picture_files(pictures, domains), fakes)
        measured = {**common, "checkpoint": checkpoint, "tabled": file == "last" and tabled}
        records += [_record(name, score, before.get(name), collapsed, measured) for name, score in scores.items()]
    if not tabled:
        records = [replace(record, rows=(), details={**record.details, "direction": direction}) for record in records]
    write_records(records_file, records)
    return records


def counts(domains: Domains, direction: Direction) -> tuple[int, int]:
    """Pictures of the dataset's A and B, whichever of them is translated."""
    sources, targets = len(domains.a), len(domains.b)
    return (sources, targets) if direction == "ab" else (targets, sources)


def by_kind(chosen: Iterable[str]) -> tuple[list[str], list[str]]:
    """Names of metrics of sets, and of labels."""
    kinds = {name: metrics.get(name).of for name in chosen}
    return [n for n, of in kinds.items() if of == "sets"], [n for n, of in kinds.items() if of == "labels"]


def segmenter_of(run: TranslationRun, root: Path = Path()) -> DRND22:
    """The segmenter that the run's profile has for its test pictures.

    Raises:
        UserError: it was not trained, or the test pictures have no label maps.
    """
    refuse_without_labels(run.measured_on)
    own = SegmenterRun(name=f"segmenter-{run.measured_on}", profile=run.profile, system="segmenter",
                       dataset=run.measured_on, own=True)
    return load_segmenter(Places(own, root).weights)


def refuse_without_labels(dataset: str) -> None:
    """Stop before anything is translated.

    Raises:
        UserError: the dataset has no label maps.
    """
    if not get_dataset(dataset).label_maps:
        raise UserError(f"'{dataset}' has no label maps to score translations with",
                        fix="choose metrics of sets, or a dataset such as cityscapes")


def picture_files(folder: Path, domains: Domains) -> list[Path]:
    """Where the translation of each source picture goes.

    Raises:
        UserError: as `named_outputs`.
    """
    return named_outputs(list(zip(domains.a.names, domains.a.files, strict=True)), folder)


def write_pictures(files: Sequence[Path], fakes: Sequence[Picture]) -> None:
    """One PNG a source picture, where `picture_files` says."""
    for file, fake in zip(files, fakes, strict=True):
        write_png(file, fake)


def _record(name: str, score: Score, before: Score | None, collapsed: bool, common: Mapping[str, Any]) -> Record:
    metric = metrics.get(name)
    status = "collapsed" if collapsed else "ok" if math.isfinite(score.value) else "non-finite"
    finite = before is not None and math.isfinite(before.value)
    return Record(metric=name, unit=metric.unit, protocol=metric.features or SEGMENTER,
                  details={key: round(value, 6) for key, value in score.details.items()},
                  status=status, value=round(score.value, 6) if status == "ok" else None,
                  input_value=round(before.value, 6) if before is not None and finite else None, **common)
