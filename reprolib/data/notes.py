"""What every number that comes from a dataset must say."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from reprolib.data.held_out import VAL_EVERY, VAL_MOST
from reprolib.data.images import list_images
from reprolib.data.paired import open_split
from reprolib.data.registry import SYNTHESISED, get_dataset, locate
from reprolib.data.scenes import open_scenes
from reprolib.data.unpaired import domain_folder
from reprolib.errors import UserError


def note_of(name: str, root: Path | None = None) -> str:
    """The manifest's note; of a folder that was made here, its own; and how many scenes of how many are at hand.

    A dataset that is nowhere on this machine has the manifest's note.
    """
    dataset = get_dataset(name)
    if dataset.parts:
        return "; ".join(filter(None, map(note_of, dataset.parts)))
    try:
        if dataset.kind == "scenes" and not dataset.embedded:
            at_hand = 0
            for split in dataset.splits:
                with suppress(UserError):  # a sample may lack a split
                    at_hand += len(open_scenes(name, split, root))
            return f"{dataset.note}; {at_hand:,} of {dataset.scenes:,} scenes" if at_hand else dataset.note
        mark = locate(name, root) / SYNTHESISED
        made = json.loads(mark.read_text()) if mark.is_file() else {}
        return str(made.get("note") or dataset.note)
    except (UserError, ValueError, AttributeError):
        return dataset.note


def sample_note(name: str, split: str, n: int, n_real: int = 0) -> str:
    """What every number measured on a part of a split must say: 'sample: 3 of 5'; empty if all pictures are here.

    Of two domains: 'sample: 60 of 120 and 140 of 140', A first. More pictures than the manifest has are said too, since
    some are there twice or are no part of the split: '6 where 5 are expected'.

    Args:
        n: pairs, or pictures of A.
        n_real: pictures of B, if there are pairs of neither kind.
    """
    content = get_dataset(name).splits.get(split, {})
    if "pairs" in content:
        parts = [(n, content["pairs"])]
    else:
        parts = [(here, content[side]) for side, here in (("a", n), ("b", n_real)) if side in content]
    if over := [(here, whole) for here, whole in parts if here > whole]:
        return " and ".join(f"{here:,} where {whole:,} are expected" for here, whole in over)
    if all(here == whole for here, whole in parts):
        return ""
    return "sample: " + " and ".join(f"{here:,} of {whole:,}" for here, whole in parts)


def training_note(name: str, root: Path | None = None) -> str:
    """What a number must say if only a part of the pictures to train on is here, or who divided them, if they are own
    pictures; empty if all are here, or none.

    Of scenes, `note_of` says it.
    """
    dataset = get_dataset(name)
    if dataset.parts:
        return "; ".join(f"{part}: {told}" for part in dataset.parts if (told := training_note(part)))
    if dataset.own:
        return f"one picture in {VAL_EVERY} ({VAL_MOST} at most) held out of training for validation"
    if dataset.embedded or dataset.kind == "scenes":
        return ""
    try:
        if dataset.task == "translation":  # those that validation takes are pictures of the training split, too
            counts = [len(list_images(domain_folder(dataset, locate(name, root), "train", side))) for side in "ab"]
        else:
            counts = [len(open_split(name, "train", root))]
    except UserError:
        return ""
    part = sample_note(name, "train", *counts)
    return part and f"training {part}"
