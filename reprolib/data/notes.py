"""What every number that comes from a dataset must say."""

from __future__ import annotations

import json
from pathlib import Path

from reprolib.data.registry import SYNTHESISED, get_dataset, locate
from reprolib.data.scenes import open_scenes
from reprolib.errors import UserError


def note_of(name: str, root: Path | None = None) -> str:
    """The manifest's note; of a folder that was made here, its own; and how many scenes of how many are at hand.

    A dataset that is nowhere on this machine has the manifest's note.
    """
    dataset = get_dataset(name)
    try:
        if dataset.kind == "scenes":
            at_hand = len(open_scenes(name, "train", root))
            return f"{dataset.note}; {at_hand:,} of {dataset.scenes:,} scenes"
        mark = locate(name, root) / SYNTHESISED
        made = json.loads(mark.read_text()) if mark.is_file() else {}
        return str(made.get("note") or dataset.note)
    except (UserError, ValueError, AttributeError):
        return dataset.note
