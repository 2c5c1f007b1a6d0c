"""`reprolib dehaze` and `reprolib translate`: anybody's pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from reprolib.commands.console import counted
from reprolib.commands.failures import one_line
from reprolib.commands.options import MINI, Profile, Weights

if TYPE_CHECKING:
    from reprolib.evaluation.apply import Outcome

Source = Annotated[Path, typer.Argument(metavar="INPUT", help="A picture or a folder of pictures.")]
Output = Annotated[Path, typer.Argument(help="Where the picture, or the folder of pictures, goes.")]
Form = Annotated[Literal["png", "jpg", "keep"], typer.Option("--format", help="Of the outputs; keep: the input's.")]
Subfolders = Annotated[bool, typer.Option("--subfolders", help="Pictures in subfolders too; their layout is kept.")]
Alpha = Annotated[bool, typer.Option("--alpha", help="Keep transparency.")]
Tile = Annotated[int | None, typer.Option(
    min=0, max=2**16, help="Side of tiles in pixels, 0 for none; by default as needed.")]


def dehaze(
    source: Source,
    output: Output,
    system: Annotated[str, typer.Option(help="System name.")] = "aecrnet",
    weights: Weights = None,
    profile: Profile = MINI,
    form: Form = "png",
    subfolders: Subfolders = False,
    alpha: Alpha = False,
    tile: Tile = None,
) -> None:
    """Dehaze a picture or a folder."""
    from reprolib.evaluation.apply import apply

    _tell(apply(source, output, "dehazing", system, weights, profile, form=form, subfolders=subfolders, alpha=alpha,
                tile=tile), output)


def translate(
    source: Source,
    output: Output,
    system: Annotated[str, typer.Option(help="System name.")] = "cut",
    weights: Weights = None,
    profile: Profile = MINI,
    form: Form = "png",
    subfolders: Subfolders = False,
    alpha: Alpha = False,
    tile: Tile = None,
) -> None:
    """Translate a picture or a folder from the source to the target domain."""
    from reprolib.evaluation.apply import apply

    _tell(apply(source, output, "translation", system, weights, profile, form=form, subfolders=subfolders,
                alpha=alpha, tile=tile), output)


def _tell(outcome: Outcome, output: Path) -> None:
    """What was written, one line a failure, and exit code 1 if there is any."""
    for note in outcome.notes:
        print(f"note: {note}", file=sys.stderr)
    for failure in outcome.failures:
        print(f"reprolib: {one_line(failure)}", file=sys.stderr)
    failed = f", {len(outcome.failures)} failed" if outcome.failures else ""
    print(f"{counted(outcome.written, 'picture')} written to {output}{failed}")
    if outcome.failures:
        raise typer.Exit(1)
