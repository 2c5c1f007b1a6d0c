"""Measuring a system with given weights, ours or its authors', on a dataset or a part of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from reprolib import models
from reprolib.data.content import check_label_maps
from reprolib.data.notes import note_of, sample_note
from reprolib.data.paired import PairedFolder, open_split
from reprolib.data.registry import get_dataset
from reprolib.data.unpaired import Domains, open_domains
from reprolib.errors import UserError, unknown
from reprolib.evaluation.dehazing import mean, measure_pairs
from reprolib.evaluation.networks import device, learned, load_network
from reprolib.evaluation.result import Evaluation
from reprolib.evaluation.seen import seen_in_training, told
from reprolib.evaluation.translation import (
    by_kind,
    counts,
    picture_files,
    refuse_without_labels,
    score_labels,
    score_sets,
    translate_all,
    write_pictures,
)
from reprolib.metrics import Score, get, names, of_pictures
from reprolib.metrics.collapse import is_collapsed
from reprolib.metrics.painted import confusion_of_maps
from reprolib.metrics.protocols import DEFAULT, get_protocol
from reprolib.metrics.segmentation import load_segmenter
from reprolib.models.direction import one_way
from reprolib.models.inference import channels_of
from reprolib.models.system import Direction, System

FEATURES = ("vgg16", "inception")
"""Networks whose features translators can be compared by, the default first."""


def evaluate(system: str, dataset: str, *, weights: Path | None = None, root: Path | None = None, split: str = "test",
             limit: int | None = None, protocol: str | None = None, metrics: Sequence[str] | None = None,
             distance: str | None = None, segmenter: Path | None = None, pictures: Path | None = None,
             network: Mapping[str, Any] | None = None, direction: Direction | None = None) -> Evaluation:
    """Scores on a dataset, with those of the unprocessed input beside them.

    Args:
        weights: of the network; without them a system that learns is measured as it is initialised.
        root: folder of the dataset, instead of where it is registered; may hold a part of it.
        limit: at most this many pictures, from the first.
        protocol: of a dehazer, by default that of the papers' tables.
        metrics: names; by default all of pictures for a dehazer, those of `distance` for a translator, and those of
            labels where a segmenter is given.
        distance: of a translator: the features that sets are compared by, 'vgg16' (default) or 'inception' (FID).
        segmenter: of a translator of label maps: weights of the network that scores its photos.
        pictures: folder for what comes out, as PNG files.
        network: options of the network, where its weights do not say them.
        direction: of a translator, by default from A to B. From photos to label maps, the maps are held against the
            true ones and no segmenter is needed.

    Raises:
        UserError: unknown names, missing data, weights that do not fit, a metric that cannot be had of this system or
            dataset, or an option that this task does not have, all before anything is computed; a network that answers
            a picture, which is named, with numbers that are not finite.
    """
    spec = models.get(system)
    if spec.task == "dehazing":
        _refuse(spec, {"distance": distance, "segmenter": segmenter, "direction": direction})
        return _dehazer(spec, dataset, weights, root, split, limit, protocol or DEFAULT,
                        names("pictures") if metrics is None else metrics, pictures, network or {})
    _refuse(spec, {"protocol": protocol})
    if distance not in (None, *FEATURES):
        raise unknown("features", str(distance), FEATURES)
    if metrics is None:
        of_sets = [name for name in names("sets") if get(name).features == (distance or FEATURES[0])]
        of_labels = [name for name in names("labels") if get(name).everywhere]
        painted = direction == "ba" and get_dataset(dataset).label_maps
        metrics = of_sets + (of_labels if segmenter or painted else [])
    return _translator(spec, dataset, weights, root, split, limit, metrics, segmenter, pictures, network or {},
                       direction or "ab")


def _refuse(spec: System, options: Mapping[str, object]) -> None:
    for name, value in options.items():
        if value is not None:
            raise UserError(f"'{name}' is no option of {spec.task}", where=spec.name, fix="leave it out")


def _keep_apart(output: Path | None, files: Iterable[Path]) -> None:
    """Refuse to write among the pictures of a dataset, the truth above all: names of both may be the same."""
    if output and any(path.resolve().parent == output.resolve() for path in files):
        raise UserError("the output would replace the input or its truth, which lie here", where=output,
                        fix="choose another folder")


def _dehazer(spec: System, dataset: str, weights: Path | None, root: Path | None, split: str, limit: int | None,
             protocol: str, metrics: Sequence[str], pictures: Path | None, options: Mapping[str, Any]) -> Evaluation:
    get_protocol(protocol)
    of_pictures(metrics)
    pairs = open_split(dataset, split, root=root, limit=limit)
    _keep_apart(pictures, (path for _, *both in pairs.files for path in both))
    network = _answering(load_network(spec, weights, **options).to(device()), spec.name)
    rows = list(measure_pairs(network, spec.multiple, pairs, metrics, protocol, pictures))
    return Evaluation(
        system=spec.name, dataset=dataset, split=split, n=len(rows), protocol=protocol, prefix="hazy_",
        scores={name: mean([r.restored[name] for r in rows]) for name in metrics},
        input_scores={name: mean([r.hazy[name] for r in rows]) for name in metrics},
        collapsed=tuple(r.image for r in rows if r.collapsed),
        note=_note(weights, dataset, pairs, root, split, len(rows)),
        weights=str(weights) if weights else None, params=learned(spec, network))


def _translator(spec: System, dataset: str, weights: Path | None, root: Path | None, split: str, limit: int | None,
                metrics: Sequence[str], segmenter: Path | None, pictures: Path | None,
                options: Mapping[str, Any], direction: Direction) -> Evaluation:
    spec.translating(direction)
    of_sets, of_labels = by_kind(metrics)
    if others := [name for name in metrics if name not in (*of_sets, *of_labels)]:
        raise UserError(f"'{others[0]}' compares a picture with its truth, which translations do not have",
                        fix=f"choose of {', '.join(names('sets') + names('labels'))}")
    if of_labels or segmenter:
        refuse_without_labels(dataset)
    if segmenter and direction == "ba":
        raise UserError("label maps that are made of photos are compared as they are", where="--segmenter",
                        fix="leave the segmenter out")
    if of_labels and segmenter is None and direction == "ab":
        raise UserError(f"'{of_labels[0]}' needs a segmenter", fix="give its weights with --segmenter FILE")
    judge = load_segmenter(segmenter) if segmenter else None
    domains = open_domains(dataset, split, root=root, limit=limit, direction=direction)
    _keep_apart(pictures, (*domains.a.files, *domains.b.files))
    if of_labels:
        photos, maps = (domains.b, domains.a) if direction == "ab" else (domains.a, domains.b)
        check_label_maps(dataset, Domains(maps, photos, aligned=True))
    network = load_network(spec, weights, direction=direction, **options).to(device())
    seen = domains.in_channels(channels_of(network))
    before = score_sets(list(seen.a), seen, of_sets, again=True)
    files = [] if pictures is None else picture_files(pictures, domains)
    fakes = translate_all(_answering(one_way(network, direction), spec.name), spec.multiple, seen.a)
    if files:
        write_pictures(files, fakes)
    scores = score_sets(fakes, seen, of_sets)
    if judge is not None:
        scores |= score_labels(fakes, domains, of_labels, judge)
    elif of_labels:
        confusion = confusion_of_maps(fakes, list(domains.b))
        scores |= {name: Score(get(name).function(confusion), {"ambiguous": confusion.ambiguous}) for name in of_labels}
    collapsed = [name for name, fake in zip(domains.a.names, fakes, strict=True) if is_collapsed(fake / 255.0)]
    return Evaluation(
        system=spec.name, dataset=dataset, split=split, n=len(fakes), n_real=len(domains.b), direction=direction,
        prefix="source_",
        scores={name: score.value for name, score in scores.items()},
        input_scores={name: score.value for name, score in before.items()},
        details={name: score.details for name, score in scores.items()}, collapsed=tuple(collapsed),
        note=_note(weights, dataset, domains, root, split, *counts(domains, direction)),
        weights=str(weights) if weights else None, params=learned(spec, network))


def _answering(network: nn.Module, name: str) -> nn.Module:
    """A network that refuses to answer with what are no numbers; whoever runs it on a picture names that."""

    def check(_network: nn.Module, _given: object, answer_BCHW: Tensor) -> None:
        if not answer_BCHW.isfinite().all():
            raise UserError(f"{name} answers with numbers that are not finite",
                            fix="check the weights with another picture")

    network.register_forward_hook(check)
    return network


def _note(weights: Path | None, dataset: str, pictures: PairedFolder | Domains, root: Path | None, split: str, n: int,
          n_real: int = 0) -> str:
    """What has to be said of the dataset, how much of it was measured, and how much of that was trained on."""
    seen = told(seen_in_training(weights, dataset, pictures)) if weights else ""
    return "; ".join(filter(None, (note_of(dataset, root), sample_note(dataset, split, n, n_real), seen)))
