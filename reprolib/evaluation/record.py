"""Records: measured numbers with everything needed to trust and repeat them.

One JSON file a run, in a folder a system (`reprolib.runs.places`). A record never holds a time of day or a duration, so
that measuring the same thing twice gives the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from reprolib.errors import UserError
from reprolib.files import write_text
from reprolib.runs.places import records_folder

PUBLISHED = "published"
"""Folder of the records of the authors' own weights among the results; there is no such profile to train."""


@dataclass(frozen=True)
class Record:
    """One measured number."""

    profile: str
    experiment: str
    """Name of the run, without its seed."""
    system: str
    rows: tuple[str, ...]
    """Rows of the papers' tables that the run stands for, e.g. ('table1/aecrnet', 'table2/ours')."""
    dataset: str
    metric: str
    unit: str
    value: float | None
    """None unless status is 'ok'."""
    protocol: str
    """How the metric is computed: a name of `reprolib.metrics.protocols.PROTOCOLS`, or the network that scored."""
    n: int
    """Images measured."""
    seed: int
    n_real: int = 0
    """Real images that a distribution distance was measured against."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """How the number came about, where the protocol leaves it open: resize, subsets, their spread, doubtful pixels."""
    status: str = "ok"
    """'ok', 'collapsed' (constant output) or 'non-finite'."""
    input_value: float | None = None
    """The same metric of the unprocessed input."""
    reduced: bool = False
    """True if the network has fewer learned scalars than the row's at its published size."""
    network: Mapping[str, Any] = field(default_factory=dict)
    """Options that differ from full size."""
    objective: Mapping[str, Any] = field(default_factory=dict)
    """What was minimised: of a translator its weights and choices, of a dehazer the terms of its loss."""
    contrast: Mapping[str, Any] | None = None
    """Settings of a dehazer's contrastive term, if any."""
    params: int = 0
    """Learned scalars of the full-size network."""
    params_built: int = 0
    """Learned scalars of the network that was measured."""
    steps: int = 0
    batch: int = 0
    crop: int = 0
    precision: str = "32-true"
    recipe: str = "common"
    """'common' (one harness for all systems) or 'published' (the system's own)."""
    tabled: bool = True
    """Whether it fills the cells of its rows; a further checkpoint of the same run does not."""
    checkpoint: str = "last"
    """Which weights were measured: 'best on validation', 'last', 'published', 'none' (nothing to train)."""
    features: str | None = None
    """Feature extractor of a dehazer's contrastive term, if any."""
    note: str = ""
    data_hash: str = ""
    """Over the decoded test pixels."""
    fingerprint: str = ""
    """Of the run that trained the checkpoint (`Run.fingerprint`)."""
    data: Mapping[str, str] = field(default_factory=dict)
    """Identity of what the training read, as the checkpoint says."""
    training_code: str = ""
    """Digest of the code that trained the checkpoint, as it says."""
    code_hash: str = ""
    """Digest of the code that trained and measured (`reprolib.runs.digests.measuring_digest`)."""
    verified: Sequence[Mapping[str, Any]] = ()
    """Each time that later code was shown to make the same: digests `from` and `to`, `date`, `steps` compared."""
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        finite = self.value is not None and math.isfinite(self.value)
        if finite != (self.status == "ok"):
            raise ValueError(f"{self.experiment}/{self.metric}: status '{self.status}' with value {self.value}")


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write records atomically, as sorted JSON."""
    rows = [asdict(r) for r in records]
    write_text(path, json.dumps(rows, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_file(path: Path) -> list[Record]:
    """Records of one file.

    Raises:
        UserError: the file is not a list of records.
    """
    known = {f.name for f in fields(Record)}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(rows, list):
            raise ValueError("no list")
        wrong = [sorted(set(row) - known) for row in rows if set(row) - known]
        if wrong:
            raise ValueError(f"unknown fields {wrong[0]}")
        return [Record(**{**row, **{name: tuple(row.get(name, ())) for name in ("rows", "verified")}}) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"not a file of records: {error}", where=path, fix="delete it and measure again") from error


def read_records(profile: str, root: Path = Path()) -> list[Record]:
    """All records of a profile, by system and run; empty if nothing was measured."""
    return [r for path in sorted(records_folder(profile, root).glob("*/*.json")) for r in read_file(path)]
