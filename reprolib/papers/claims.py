"""What a paper claims, as relations between two of its printed cells (claims.yaml), each borne by these cells.

    - {text: CUT has the best FID, row: cut/cut, beats: all, columns: [cityscapes, cat2dog], metrics: [fid]}

`beats` is 'all', every other row of the table with a number in that column, or a list of rows of the same table by
their short names; `but` takes some out. `columns` is left out for what is printed once a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprolib.errors import UserError, unknown
from reprolib.files import read_yaml_list

if TYPE_CHECKING:
    from reprolib.papers import Cell

KEYS = ("text", "row", "beats", "but", "columns", "metrics")


@dataclass(frozen=True)
class Claim:
    """`left` is better than `right` in one column and metric."""

    paper: str
    text: str
    left: str
    right: str
    column: str
    """Empty for what is printed once a row."""
    metric: str
    better: str
    """'higher' or 'lower'."""

    @property
    def table(self) -> str:
        return self.left.partition("/")[0]

    @property
    def relation(self) -> str:
        """How the value of `left` stands to that of `right`."""
        return ">" if self.better == "higher" else "<"

    @property
    def id(self) -> str:
        """E.g. 'table4/1:r>table4/1:1@sots/psnr'."""
        return f"{self.left}{self.relation}{self.right}@{self.column or '-'}/{self.metric}"


def read_claims(path: Path, cells: Sequence[Cell]) -> tuple[Claim, ...]:
    """The claims of a paper; none where it has no claims.yaml.

    Raises:
        UserError: a claim that names no printed cell, or one that the paper's own numbers do not bear.
    """
    if not path.is_file():
        return ()
    claims: dict[str, Claim] = {}
    for number, entry in enumerate(read_yaml_list(path), start=1):
        for claim in _expand(entry, cells, f"{path}, claim {number}"):
            if claim.id in claims:
                raise UserError(f"the claim {claim.id} is made twice", where=path, fix="take one of them out")
            claims[claim.id] = claim
    return tuple(claims.values())


def _expand(entry: Any, cells: Sequence[Cell], where: str) -> Iterator[Claim]:
    """One claim for each column, metric and beaten row."""
    try:
        for key in entry.keys() - set(KEYS):
            raise unknown(f"key of {where}:", str(key), KEYS)
        text, row, beats = entry["text"], str(entry["row"]), entry["beats"]
        but, columns, metrics = entry.get("but", []), entry.get("columns", [""]), entry["metrics"]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"not a claim: {type(error).__name__} {error}", where=where,
                        fix="give text, row, beats and metrics (papers/aecrnet/claims.yaml)") from error
    table = row.partition("/")[0]
    for metric in metrics:
        for column in columns:
            printed = {c.row: c for c in cells if (c.table, c.column, c.metric) == (table, column, metric)
                       and c.value is not None}
            others = [name for name in printed if name != row] if beats == "all" else [f"{table}/{b}" for b in beats]
            for name in (row, *others, *(f"{table}/{b}" for b in but)):
                if name not in printed:
                    raise unknown(f"row with a number for {metric} of '{column}' in {where}:", name, printed)
            for other in others:
                if other.partition("/")[2] in but:
                    continue
                claim = Claim(printed[row].paper, text, row, other, column, metric, printed[row].better)
                lead = printed[row].value - printed[other].value  # type: ignore[operator]
                if not (lead > 0 if claim.better == "higher" else lead < 0):
                    raise UserError(f"the paper's own numbers do not bear the claim {claim.id}", where=where,
                                    fix="take it out, or list the row under `but`")
                yield claim
