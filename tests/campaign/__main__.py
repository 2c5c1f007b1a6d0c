"""`python tests/campaign`: try the faults, print the figures, and fail if anything was lost."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from reprolib import runtime

runtime.tune()
sys.path.append(str(Path(__file__).parents[1] / "data"))

from faults import Figures, Range, can_mount, full, killed, read_only, set_back, twice  # noqa: E402
from http_server import Page, serve  # noqa: E402
from project import COMMANDS, Command, archive  # noqa: E402
from report import written  # noqa: E402

Fault = Callable[[Range, Command, int], Figures]
MOMENTS: dict[Fault, int] = {killed: 25, full: 3, twice: 1, read_only: 1, set_back: 1}
"""Of each kind of fault, how many moments of each command are tried by default."""
QUICK = 10
"""Times fewer with --quick, at least one."""
MOUNTED: tuple[Fault, ...] = (full, read_only)
REPORT = Path(__file__).parents[2] / "docs" / "campaign.md"


def main() -> None:
    options = argparse.ArgumentParser(prog="python tests/campaign", description=__doc__)
    options.add_argument("--quick", action="store_true", help=f"{QUICK} times fewer moments, at least one")
    options.add_argument("--times", type=int, default=1, help="as many moments")
    options.add_argument("--seed", type=int, default=0, help="that moments are drawn from")
    options.add_argument("--only", metavar="COMMAND", choices=list(COMMANDS), help="one command; no report is written")
    chosen = options.parse_args()
    commands = [COMMANDS[chosen.only]] if chosen.only else list(COMMANDS.values())
    found: list[Figures] = []
    os.environ["NO_PROXY"] = "*"
    with tempfile.TemporaryDirectory() as folder, serve() as server:
        server.pages["/tiny.zip"] = Page(archive())
        range_ = Range(Path(folder), chosen.seed, f"{server.url}/tiny.zip")
        skipped = [] if can_mount(range_.folder / "disk") else list(MOUNTED)
        for fault, moments in MOMENTS.items():
            for command in commands if fault not in skipped else []:
                began = time.monotonic()
                figures = fault(range_, command, max(1, chosen.times * moments // (QUICK if chosen.quick else 1)))
                found.append(figures)
                print(f"{figures.fault:15} {figures.command:28} {figures.tried:4} tried {figures.survived:4} survived "
                      f"{len(figures.lost):3} lost  {time.monotonic() - began:5.0f} s", flush=True)
                for line in figures.lost:
                    print(f"    {line}", flush=True)
        if skipped:
            print("nothing can be mounted here: no full disk and no read-only project was tried (be root, or put "
                  "`unshare -Urm` before the command)")
        if not (chosen.only or skipped):
            REPORT.write_text(written(found, chosen.seed))
    lost = sum(len(figures.lost) for figures in found)
    print(f"{sum(figures.tried for figures in found)} moments tried, {lost} lost")
    sys.exit(bool(lost))


main()
