"""`reprolib data`: prepare, download, register and check datasets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reprolib.commands.console import show
from reprolib.commands.options import Json, Root, refuse
from reprolib.errors import UserError

if TYPE_CHECKING:
    from reprolib.data.verify import Report

app = typer.Typer(no_args_is_help=True, help="Prepare, download, register and check datasets.")


@app.command("list")
def data_list(as_json: Json = False) -> None:
    """List the datasets and where they are."""
    from reprolib.data.registry import data_home, datasets, locate, registered

    data_home()  # a mistyped place is told, not taken for absence
    places = registered()
    rows = []
    for d in datasets().values():
        try:
            place = str(locate(d.name))
        except UserError:
            place = f"{places[d.name]} (gone)" if d.name in places else "-"
        rows.append({"name": d.name, "title": d.title, "place": place, "note": d.note, "licence": d.licence})
    show(rows, as_json, ("name", "title", "place", "note"))


@app.command("prepare")
def data_prepare(name: str) -> None:
    """Make an embedded dataset out of pictures inside Python packages."""
    from reprolib.data.prepare import prepare

    _refuse_own(name)
    print(prepare(name))


@app.command("make")
def data_make(
    name: Annotated[str, typer.Argument(help="reside-its, reside-its-like, sots-indoor or cityscapes.")],
    source: Annotated[Path, typer.Option("--from", help="nyu_depth_v2_labeled.mat; or a folder with the pictures.")],
    output: Annotated[Path, typer.Option(help="Folder to write to, or to finish.")],
    beta: Annotated[float | None, typer.Option(help="Of all hazy pictures of ITS, instead of drawn ones.")] = None,
    light: Annotated[float | None, typer.Option(help="Airlight A of ITS in [0, 1], instead of drawn ones.")] = None,
) -> None:
    """Make RESIDE's indoor pictures again from clear pictures and depths, or pix2pix's form of Cityscapes.

    Killed, the same command goes on.
    """
    from reprolib.data.cityscapes import make_cityscapes
    from reprolib.data.make import make

    if name == "cityscapes":
        refuse(name, beta=beta, light=light)
        print(make_cityscapes(source, output))
    else:
        print(make(name, source, output, beta, light))


@app.command("download")
def data_download(
    name: str,
    output: Annotated[Path | None, typer.Option(help="Folder to be; data/NAME by default.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Accept the dataset's terms.")] = False,
) -> None:
    """Download a dataset from its public address, check and register it; stopped, the same command goes on."""
    from reprolib.data.download import download

    _refuse_own(name)
    _print(download(name, output, lambda terms: _accept(terms, yes)))


@app.command("register")
def data_register(name: str, path: Path) -> None:
    """Check a downloaded dataset and remember where it is."""
    from reprolib.data.verify import register

    _refuse_own(name)
    print(register(name, path))


@app.command("verify")
def data_verify(
    name: str,
    root: Root = None,
    full: Annotated[bool, typer.Option(help="Decode every picture, and look for copies across splits.")] = False,
) -> None:
    """Check that a dataset is whole, and that its pictures show what they should.

    Own pictures are checked as `reprolib data verify hazy=DIR,clear=DIR`, or a=DIR,b=DIR.
    """
    from reprolib.data.registry import get_dataset
    from reprolib.data.verify import verify

    if get_dataset(name).own:
        refuse("folders of own pictures", root=root)
    _print(verify(name, root, full=full))


def _print(report: Report) -> None:
    """Exit code 1 if anything is wrong."""
    print(report)
    if report.problems:
        raise typer.Exit(1)


def _refuse_own(name: str) -> None:
    """Folders of own pictures are neither made nor fetched nor registered."""
    from reprolib.data.registry import get_dataset

    if get_dataset(name).own:
        raise UserError("folders of own pictures are used as they are", where=name,
                        fix="give them with --data; `reprolib data verify` checks them")


def _accept(terms: str, yes: bool) -> bool:
    """Show a dataset's terms; ask, where somebody can answer."""
    from reprolib.progress import say

    say(terms)
    asked = sys.stdin is not None and sys.stdin.isatty()
    return yes or (asked and typer.confirm("Do you accept these terms?", err=True))
