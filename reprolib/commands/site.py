"""`reprolib site`: everything that people read, as one folder of HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reprolib.commands.console import counted
from reprolib.commands.project import require_own_package


def site(output: Annotated[Path, typer.Option(file_okay=False, help="Folder of the site.")] = Path("site")) -> None:
    """Build the site: tables, ledger, galleries, runs, notebooks and documentation, to be opened from disk."""
    require_own_package()
    from reprolib.report.site import write

    print(f"{output / 'index.html'}: {counted(write(output), 'page')}")
