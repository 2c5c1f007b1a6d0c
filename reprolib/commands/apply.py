"""`reprolib dehaze` and `reprolib translate`: a trained network, or a prior, on anybody's pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from reprolib.commands.shared import MINI, Profile, count

app = typer.Typer()

Input = Annotated[Path, typer.Argument(metavar="INPUT", help="A picture or a folder of pictures.")]
Output = Annotated[Path, typer.Argument(help="Where the picture (or the folder of pictures) goes.")]
Weights = Annotated[Path | None, typer.Option(help="Ours or the published ones; by default the profile's.")]
Format = Annotated[str, typer.Option("--format", help="png, jpg, or keep for the input's own.")]
Subfolders = Annotated[bool, typer.Option("--subfolders", help="Also pictures in subfolders, whose layout is kept.")]
Alpha = Annotated[bool, typer.Option("--alpha", help="Keep transparency, where the format has it.")]


@app.command()
def dehaze(
    source: Input, output: Output,
    system: Annotated[str, typer.Option(help="System name.")] = "aecrnet",
    weights: Weights = None, profile: Profile = MINI, form: Format = "png", subfolders: Subfolders = False,
    alpha: Alpha = False,
) -> None:
    """Dehaze a picture or a folder."""
    _apply(source, output, "dehazing", system, weights, profile, form, subfolders, alpha)


@app.command()
def translate(
    source: Input, output: Output,
    system: Annotated[str, typer.Option(help="System name.")] = "cut",
    weights: Weights = None, profile: Profile = MINI, form: Format = "png", subfolders: Subfolders = False,
    alpha: Alpha = False,
) -> None:
    """Translate a picture or a folder from the source to the target domain."""
    _apply(source, output, "translation", system, weights, profile, form, subfolders, alpha)


def _apply(source: Path, output: Path, task: str, system: str, weights: Path | None, profile: str, form: str,
           subfolders: bool, alpha: bool) -> None:
    from reprolib.evaluation.apply import apply

    outcome = apply(source, output, task, system, weights, profile, form=form, subfolders=subfolders, alpha=alpha)
    for note in outcome.notes:
        print(f"note: {note}", file=sys.stderr)
    for failure in outcome.failures:
        print(f"reprolib: {' '.join(str(failure).split())}", file=sys.stderr)
    failed = f", {len(outcome.failures)} failed" if outcome.failures else ""
    print(f"{count(outcome.written, 'picture')} written to {output}{failed}")
    if outcome.failures:
        raise typer.Exit(1)
