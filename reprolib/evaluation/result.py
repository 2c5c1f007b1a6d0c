"""What evaluating gives, and how it is written as strict JSON: null with a reason, instead of infinity and NaN."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

Json = dict[str, object]


@dataclass(frozen=True)
class Evaluation:
    """Scores of a system with given weights on a dataset."""

    system: str
    dataset: str
    split: str
    n: int
    """Pictures that were restored or translated."""
    scores: Mapping[str, float]
    """By metric; may be infinite or NaN."""
    input_scores: Mapping[str, float]
    """The same of the pictures before; label metrics have none."""
    prefix: str
    """Before the names of `input_scores` in JSON: 'hazy_' or 'source_'."""
    protocol: str | None = None
    """Of a dehazer."""
    n_real: int | None = None
    """Of a translator: real pictures that sets were compared with."""
    direction: str = "ab"
    """Of a translator."""
    details: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By metric: sizes, subsets and their spread, doubtful pixels."""
    collapsed: tuple[str, ...] = ()
    """Pictures that came out in one colour."""
    note: str = ""
    weights: str | None = None
    params: int = 0
    """Learned scalars of the network; of a translator, of its counted part."""

    def as_json(self) -> Json:
        """One flat object: names of metrics, and behind `prefix` those of the input."""
        flat = {**self.scores, **{f"{self.prefix}{name}": value for name, value in self.input_scores.items()}}
        head: Json = {"system": self.system, "dataset": self.dataset, "split": self.split, "n": self.n}
        head |= {"protocol": self.protocol} if self.n_real is None else {
            "n_real": self.n_real, "direction": self.direction}
        return {**head, **strict(flat), "details": {k: strict(v) for k, v in self.details.items() if v},
                "collapsed": list(self.collapsed), "note": self.note, "weights": self.weights,
                "params": self.params,
                "reasons": reasons(flat)}


@dataclass(frozen=True)
class FolderScores:
    """Scores of a folder of pictures against their truths."""

    n: int
    protocols: Mapping[str, Mapping[str, float]]
    """By protocol and metric; may be infinite or NaN."""

    def as_json(self) -> Json:
        """One object a protocol."""
        rows = [{"protocol": name, **strict(values), "reasons": reasons(values)}
                for name, values in self.protocols.items()]
        return {"n": self.n, "protocols": rows}


def strict(values: Mapping[str, float]) -> dict[str, float | None]:
    """None for what JSON cannot say."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def reasons(values: Mapping[str, float]) -> dict[str, str]:
    """Why each value that JSON cannot say is none."""
    return {name: "not a number" if math.isnan(value) else "infinite"
            for name, value in values.items() if not math.isfinite(value)}
