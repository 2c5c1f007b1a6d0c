"""`reprolib ledger`, `claims`, `check`, `calibrate`: numbers held against numbers."""

from __future__ import annotations

from typing import Annotated

import typer

from reprolib.commands.shared import MINI, Jobs, Json, Profile, show

app = typer.Typer()


@app.command()
def ledger(profile: Profile = MINI, as_json: Json = False) -> None:
    """Every cell of the papers' tables: status, paper, ours, why."""
    from reprolib.results.ledger import build

    show(build(profile), as_json, ("row", "dataset", "metric", "paper_value", "value", "spread", "status"))


@app.command()
def claims(profile: Profile = MINI, as_json: Json = False) -> None:
    """What the papers claim, held against what was measured."""
    from reprolib.papers import papers
    from reprolib.results.claims import check, spreads, values
    from reprolib.results.ledger import build

    entries = build(profile)
    measured, spread = values(entries), spreads(entries)
    rows = [{"paper": paper.name, "table": claim.table, "claim": claim.id, "text": claim.text,
             "verdict": check(claim, measured, spread)} for paper in papers().values() for claim in paper.claims]
    show(rows, as_json, ("claim", "text", "verdict"))


@app.command()
def check(profile: Profile = MINI) -> None:
    """The regression gate: exit 1 if any number is missing, not finite or outside its recorded tolerance."""
    from reprolib.results import gate

    outcomes = gate.check(profile)
    for outcome in outcomes:
        print(f"{'ok  ' if outcome.ok else 'FAIL'} {outcome.id}: {outcome.why}")
    failed = sum(not o.ok for o in outcomes)
    print(f"{len(outcomes) - failed} passed, {failed} failed")
    if failed or not outcomes:
        raise typer.Exit(1)


@app.command()
def calibrate(
    profile: Profile = MINI,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, 0 included.")] = 3,
    add: Annotated[bool, typer.Option(help="Record new numbers only, those of a new metric for example.")] = False,
    jobs: Jobs = None,
) -> None:
    """Train and measure the profile with several seeds and record the expected results and their tolerances."""
    from reprolib.results.calibration import calibrate as run

    print(run(profile, seeds, jobs, add=add))
