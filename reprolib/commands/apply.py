"""`reprolib dehaze` and `reprolib translate`: anybody's pictures."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from reprolib.commands.console import counted
from reprolib.commands.failures import one_line
from reprolib.commands.options import Direction, Seed, Weights, refuse, refuse_choice

System = Annotated[str, typer.Option("--system", help="System name.")]


@dataclass(frozen=True)
class Options:
    """What both commands take; a parameter of `reprolib.evaluation.apply.apply` each."""

    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A picture or a folder of pictures.")]
    output: Annotated[Path, typer.Argument(help="Where the picture, or the folder of pictures, goes.")]
    weights: Weights = None
    profile: Annotated[str | None, typer.Option(
        help="Take this profile's network; by default the best that is trained here or comes with the project.")] = None
    dataset: Annotated[str | None, typer.Option(
        help="Take a network that was trained or measured on this dataset, such as photos-hazy2clear.")] = None
    form: Annotated[Literal["png", "jpg", "keep"], typer.Option(
        "--format", help="Of the outputs; keep: the input's.")] = "png"
    subfolders: Annotated[bool, typer.Option(
        "--subfolders", help="Pictures in subfolders too; their layout is kept.")] = False
    alpha: Annotated[bool, typer.Option("--alpha", help="Keep transparency.")] = False
    tile: Annotated[int | None, typer.Option(
        min=0, max=2**16, help="Side of tiles in pixels, 0 for none; by default as needed.")] = None


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command that begins with `options: Options` be read by Typer as if it had their fields."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    fields = inspect.signature(Options, eval_str=True).parameters

    @wraps(command)
    def run(**given: Any) -> None:
        command(Options(**{name: given.pop(name) for name in fields}), **given)

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [parameter.replace(kind=keyword) for parameter in (*fields.values(), *own)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


@with_options
def dehaze(options: Options, system: System = "aecrnet") -> None:
    """Dehaze a picture or a folder."""
    _apply(options, "dehazing", system)


@with_options
def translate(
    options: Options,
    system: System = "cut",
    direction: Direction = None,
    styles: Annotated[int | None, typer.Option(
        min=1, max=999, help="Of munit and drit: so many translations of each picture, in random styles.")] = None,
    style_from: Annotated[Path | None, typer.Option(
        exists=True, dir_okay=False, help="Of munit and drit: translate in the style of this picture.")] = None,
    seed: Seed = None,
) -> None:
    """Translate a picture or a folder from the source to the target domain, or back."""
    from reprolib.evaluation.apply import Styles

    if style_from is not None:
        refuse("the style of a picture", styles=styles)
    if styles is None:
        refuse("a translation without --styles", seed=seed)
    chosen = Styles(styles or 1, seed or 0, style_from) if styles or style_from else None
    _apply(options, "translation", system, direction=direction or "ab", styles=chosen)


def _apply(options: Options, task: str, system: str, **how: Any) -> None:
    """Run, and tell what was written, one line a failure; exit code 1 if there is any."""
    from reprolib import models
    from reprolib.evaluation.apply import apply

    refuse_choice(models.get(system), options.weights, profile=options.profile, dataset=options.dataset)
    outcome = apply(task=task, name=system, **asdict(options), **how)
    for note in outcome.notes:
        print(f"note: {note}", file=sys.stderr)
    for failure in outcome.failures:
        print(f"reprolib: {one_line(failure)}", file=sys.stderr)
    failed = f", {len(outcome.failures)} failed" if outcome.failures else ""
    print(f"{counted(outcome.written, 'picture')} written to {options.output}{failed}")
    if outcome.failures:
        raise typer.Exit(1)
