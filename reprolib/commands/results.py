"""`reprolib ledger | claims | check | calibrate`: numbers held against numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reprolib.commands.console import show
from reprolib.commands.options import MINI, Jobs, Json, Profile
from reprolib.commands.project import require_own_package

if TYPE_CHECKING:
    from reprolib.results.ledger import Entry


def ledger(profile: Profile = MINI, as_json: Json = False) -> None:
    """Every cell of the papers' tables: status, paper, ours, why."""
    show(_entries(profile), as_json, ("row", "dataset", "metric", "paper_value", "value", "n", "evidence", "status"))


def claims(
    profile: Annotated[str | None, typer.Option(help="Take evidence of this profile only; by default of all.")] = None,
    as_json: Json = False,
) -> None:
    """What the papers claim, held against the numbers measured here: difference, its 95 % interval, verdict.

    The best evidence counts: the real test set before stand-ins, full size before reduced networks, more seeds.
    """
    from reprolib.report.claims import page, rows_of_claims
    from reprolib.runs.profile import read_profile

    if profile is not None:
        read_profile(profile)
    rows = rows_of_claims(profile)
    if as_json:
        show(rows, True, ())
    else:
        print(page(rows))


def check(profile: Profile = MINI, as_json: Json = False) -> None:
    """The regression gate: exit 1 if any number is missing, not finite or outside its recorded tolerance."""
    from dataclasses import asdict

    from reprolib.results import gate
    from reprolib.runs.profile import read_profile

    read_profile(profile)
    outcomes = gate.check(profile)
    failed = sum(not outcome.ok for outcome in outcomes)
    if as_json:
        show([asdict(outcome) for outcome in outcomes], True, ())
    else:
        for outcome in outcomes:
            print(f"{'ok  ' if outcome.ok else 'FAIL'} {outcome.id}: {outcome.why}")
        for metric, n in gate.unrecorded(profile).items():
            print(f"not gated yet, added since: {metric} ({n}); `reprolib calibrate --add` records what is expected")
        print(f"{len(outcomes) - failed} passed, {failed} failed")
    if failed or not outcomes:
        raise typer.Exit(1)


def calibrate(
    profile: Profile = MINI,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="How many seeds, 0 included.")] = 3,
    add: Annotated[bool, typer.Option("--add", help="Keep what is recorded, and record only what is not.")] = False,
    jobs: Jobs = None,
) -> None:
    """Train and measure the profile with several seeds; record the expected results and their tolerances."""
    from reprolib.results.calibration import calibrate as run

    require_own_package()
    print(run(profile, seeds, jobs, add=add))


def _entries(profile: str) -> list[Entry]:
    """The ledger of a profile that there is."""
    from reprolib.results.ledger import build
    from reprolib.runs.profile import read_profile

    read_profile(profile)
    return build(profile)
