"""Test pictures that a network has seen in training: a training leaves out those that its own run is measured on, but
its weights may be measured on any others later."""

from __future__ import annotations

from pathlib import Path

from reprolib.data.copies import Copy, Pictures, files_of
from reprolib.data.identity import LEFT_OUT, contents, dataset_identity, identify
from reprolib.data.leakage import known_copies, leaks, open_pictures, shown
from reprolib.data.registry import get_dataset
from reprolib.errors import UserError
from reprolib.models.weights import Header, read_header


def seen_in_training(weights: Path, dataset: str, pictures: Pictures) -> list[Copy]:
    """Pictures that weights of ours were trained on and that are among those to be measured.

    Known where the pictures that they were trained on lie under their dataset's name, as they were; otherwise nothing
    can be said, and the list is empty. Embedded datasets are divided by their own lists and not compared.

    Args:
        weights: of any network; those of others do not say what they were trained on.
        dataset: that of `pictures`.
    """
    header = read_header(weights)
    trained_on = str(header.run.get("dataset") or "")
    try:
        if not trained_on or (get_dataset(trained_on).embedded and get_dataset(dataset).embedded) or \
                dataset_identity(trained_on, "train").digest != header.data.get(f"{trained_on}/train"):
            return []
        gone = _left_out(header, trained_on)
        parts = [open_pictures(name, "train") for name in get_dataset(trained_on).parts or (trained_on,)]
        digests = contents(path for each in (*parts, pictures) for path in files_of(each))
        return [copy for train in parts for copy in known_copies(train, pictures, digests) if copy.train not in gone]
    except UserError:  # not here, or not readable any more
        return []


def told(found: list[Copy]) -> str:
    """'trained on 2 of these files: clear/3.png is clear/0001.png (the same bytes); ...'; empty if on none."""
    return f"trained on {len(found):,} of these files: {shown(found)}" if found else ""


def _left_out(header: Header, trained_on: str) -> set[Path]:
    """What the training left out; empty if it is not what would be left out now."""
    found = leaks(trained_on, header.run.get("test_dataset") or trained_on) if LEFT_OUT in header.data else []
    same = identify((f"{c.train.parent.name}/{c.train.name}", c.train) for c in found).digest
    return {copy.train for copy in found} if header.data.get(LEFT_OUT) == same else set()
