"""Options that mean the same in every command, checked as they are parsed.

Names of systems, datasets or runs are looked up by the commands: that needs what takes long to load.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from reprolib.errors import UserError

if TYPE_CHECKING:
    from reprolib.models.system import System

Precision = Literal["32-true", "bf16-mixed"]
"""As in `reprolib.runs.run`."""

MINI = "mini"
"""The profile that commands mean if none is named."""

LARGEST = 2**31 - 1
"""Counts beyond this one are slips; libraries in C do not take them."""


def positive(value: float | None) -> float | None:
    """A number above 0 that is finite."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise typer.BadParameter(f"{value} is not a number above 0.")
    return value


def usable(accelerator: str) -> str:
    """An accelerator that this machine has; torch is asked only where it must be."""
    if accelerator == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise typer.BadParameter("this machine has no GPU that torch can use; leave it out, or give 'cpu'.")
    return accelerator


def known_precisions(values: list[str] | None) -> list[str] | None:
    """Each one of `Precision`; Typer takes no list of choices."""
    for value in values or ():
        if value not in get_args(Precision):
            raise typer.BadParameter(f"'{value}' is not one of {', '.join(get_args(Precision))}.")
    return values


def own_pictures(data: str | None, dataset: str | None, root: Path | None) -> str | None:
    """The dataset that is meant: a named one, or the folders of --data, made absolute.

    Raises:
        UserError: both are given, a folder of --data is not there, or it says something else.
    """
    if data is None:
        return dataset
    from reprolib.data.registry import own_dataset

    refuse("folders of own pictures", dataset=dataset, root=root)
    own = own_dataset(data)
    if own is None:
        raise UserError(f"not folders of pictures: '{data}'", where="--data",
                        fix="write hazy=DIR,clear=DIR, or a=DIR,b=DIR")
    if len({os.path.realpath(folder) for folder in own.own.values()}) == 1:
        raise UserError("both sides are one folder", where=f"--data {data}", fix="name two")
    _tell_faults(own.name)
    return own.name


def _tell_faults(name: str) -> None:
    """Say on stderr what is strange about own pictures, such as hazy and clear ones that look swapped: nobody else has
    looked at them. Of several processes of torchrun the first one speaks."""
    from reprolib.data.verify import verify
    from reprolib.progress import say

    if os.environ.get("RANK", "0") == "0":
        for problem in verify(name).problems:
            say(f"own pictures: {problem}")


def refuse(command: str, **given: object) -> None:
    """Refuse options that would be ignored.

    Args:
        command: what they are given to, in words.
        given: values by the option's name; None, False and empty lists are not given.

    Raises:
        UserError: the first that is given.
    """
    for name, value in given.items():
        if value is not None and value is not False and value != []:
            raise UserError(f"--{name.replace('_', '-')} means nothing to {command}", fix="leave it out")


def refuse_choice(system: System, weights: Path | None, **chosen: str | None) -> None:
    """Refuse ways to choose among trained weights where nothing is chosen: weights are given, or there are none.

    Args:
        chosen: the ways by their option's name.

    Raises:
        UserError: one of them is given.
    """
    if not system.trained:
        refuse(f"{system.name}, which has nothing to learn", weights=weights, **chosen)
    elif weights is not None:
        refuse("given weights", **chosen)


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Profile = Annotated[str, typer.Option(help="Profile: a folder of profiles/.")]
Jobs = Annotated[int | None, typer.Option(
    min=1, max=256, help="Concurrent runs on a CPU, one thread each; by default one more than cores, at most 4.")]
Seed = Annotated[int | None, typer.Option(min=0, max=LARGEST, help="Seed of everything random, 0 by default.")]
Steps = Annotated[int | None, typer.Option(min=1, max=LARGEST, help="Optimisation steps, instead of the profile's.")]
Limit = Annotated[int | None, typer.Option(min=1, max=LARGEST, help="Only the first N pictures.")]
Workers = Annotated[int, typer.Option(min=0, max=256, help="Processes that load batches.")]
Accelerator = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(callback=usable, help="Device to compute on.")]
Root = Annotated[Path | None, typer.Option(
    exists=True, file_okay=False, help="Folder of the dataset, instead of the registered one.")]
Data = Annotated[str | None, typer.Option(
    "--data", metavar="SIDES", help="Folders of own pictures: hazy=DIR,clear=DIR, or a=DIR,b=DIR to translate. "
    "Of those to train on, one in 20 is taken for validation.")]
Weights = Annotated[Path | None, typer.Option(
    exists=True, dir_okay=False, help="Weights, ours or published; by default those that the profile trained.")]
Direction = Annotated[Literal["ab", "ba"] | None, typer.Option(
    help="Of a translator: from A to B (default), or back.")]
Targets = Annotated[list[str], typer.Argument(
    metavar="RUN|SYSTEM...", help="Runs of the profile, or systems: with --dataset, or all their runs.")]
