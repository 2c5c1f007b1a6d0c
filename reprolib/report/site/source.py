"""What the site is drawn from: every profile's ledger, the records, and where each number of a ledger is explained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from reprolib import models
from reprolib.evaluation.record import PUBLISHED, Record, read_file
from reprolib.report import ledger
from reprolib.report.claims import rows_of_claims
from reprolib.report.site.page import anchor, href
from reprolib.results.ledger import PUBLISHED as AUTHORS
from reprolib.results.ledger import Entry, own
from reprolib.runs.places import results_folder


@dataclass(frozen=True)
class Source:
    """A project's results, whatever profiles they are of."""

    root: Path = Path()

    @cached_property
    def ledgers(self) -> dict[str, list[Entry]]:
        """What each profile measured, by profile: without the authors' weights, which are the same in all."""
        return {profile: own(entries) for profile, entries in self._all.items()}

    @cached_property
    def authors(self) -> list[Entry]:
        """What was measured of the authors' weights, once."""
        found = {(e["row"], e["dataset"], e["metric"]): e for entries in self._all.values() for e in entries
                 if e["evidence"] == AUTHORS}
        return list(found.values())

    @cached_property
    def _all(self) -> dict[str, list[Entry]]:
        return {path.parent.name: ledger.read(path.parent.name, self.root)
                for path in sorted((self.root / "results").glob("*/ledger.json"))}

    @cached_property
    def records(self) -> dict[tuple[str, str], dict[str, list[Record]]]:
        """By profile and system: the records of each run, by its file's name."""
        found: dict[tuple[str, str], dict[str, list[Record]]] = {}
        for path in sorted((self.root / "results").glob("*/records/*/*.json")):
            place = path.parts[-4], path.parts[-2]
            found.setdefault(place, {})[path.stem] = read_file(path)
        return found

    @cached_property
    def claims(self) -> list[dict[str, Any]]:
        """Every relation that the papers claim, with its verdict by the best evidence of all profiles."""
        return rows_of_claims(root=self.root)

    @cached_property
    def profiles(self) -> list[str]:
        """With records, the authors' weights last."""
        return sorted({profile for profile, _ in self.records}, key=lambda name: (name == PUBLISHED, name))

    def address(self, entry: Entry, here: str) -> str:
        """Where the record of an entry is shown, from page `here`; empty if it has none or is no longer there."""
        file, _, metric = (entry["record"] or "").partition("#")
        parts = Path(file).parts
        if len(parts) < 4 or (parts[-4], parts[-2]) not in self.records:
            return ""
        return href(here, of_system(parts[-4], parts[-2]), anchor(Path(file).stem, metric))

    def folder(self, profile: str) -> Path:
        return results_folder(profile, self.root)


def of_system(profile: str, system: str) -> str:
    """The page of a system's runs in a profile."""
    return f"runs/{profile}/{system}"


def label(system: str) -> str:
    """A system's name for people, even if it is no longer registered."""
    return models.get(system).label if system in models.names() else system


def called(profile: str) -> str:
    """A profile's name for people."""
    return AUTHORS if profile == PUBLISHED else profile
