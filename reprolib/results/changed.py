"""Whether the pictures behind a record are still those that it was trained and measured on.

Asked of pictures that are on this machine; where they are not, a committed record stands. Test pictures are compared by
their pixels, which other encoders of one picture agree on. What the pixels of some files came to is remembered by the
files' identity, so that nothing is decoded again.
"""

from __future__ import annotations

import json

from reprolib.data.identity import KEPT, dataset_identity, is_here, pictures_identity
from reprolib.data.notes import sample_note
from reprolib.data.paired import PairedFolder, open_split
from reprolib.data.registry import datasets, get_dataset
from reprolib.data.unpaired import Domains, open_domains
from reprolib.errors import UserError
from reprolib.evaluation.record import Record
from reprolib.files import write_text
from reprolib.runs.digests import code_digest, resource_digest


def changed_pictures(record: Record) -> str | None:
    """What of a record's pictures has changed since, and what to do; None if nothing has, or they are not here."""
    what = _changed(record)
    return what and f"{what}: run `dvc repro`"


def _changed(record: Record) -> str | None:
    if record.data_hash and is_here(record.dataset):
        opener = open_domains if get_dataset(record.dataset).task == "translation" else open_split
        try:
            pictures = opener(record.dataset, "test")
            if not _is_part(pictures, record) and _pixel_hash(record.dataset, pictures) != record.data_hash:
                return f"test pictures of {record.dataset} have changed since"
        except UserError as error:
            return f"the test pictures of {record.dataset} are not what they were ({error.what})"
    for name, digest in record.data.items():
        dataset, _, split = name.partition("/")
        # Embedded pictures are made out of one package: those to train on change with those to test on, whose pixels
        # are compared, while the bytes of the files depend on the encoder too.
        if split and dataset in datasets() and not get_dataset(dataset).embedded and is_here(dataset):
            try:
                if dataset_identity(dataset, split).digest != digest:
                    return f"pictures of {name} have changed since"
            except UserError as error:
                return f"the pictures of {name} are not what they were ({error.what})"
    return None


def _is_part(pictures: PairedFolder | Domains, record: Record) -> bool:
    """Whether a sample is here of a test set that was measured whole, which says nothing of the rest."""
    here = len(pictures.a) + len(pictures.b) if isinstance(pictures, Domains) else len(pictures)
    whole = not sample_note(record.dataset, "test", record.n, record.n_real)
    return whole and here < record.n + record.n_real


def _pixel_hash(dataset: str, pictures: PairedFolder | Domains) -> str:
    """As `pictures.pixel_hash()`, remembered for these files as the present code and manifest read them."""
    path, reading = KEPT / "pixels.json", code_digest("reprolib.data.paired", "reprolib.data.unpaired")
    digest = "-".join((pictures_identity(pictures).digest, resource_digest(f"data/manifests/{dataset}.yaml"), reading))
    try:
        known = {str(key): str(value) for key, value in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        known = {}
    if digest not in known:
        known[digest] = pictures.pixel_hash()
        try:
            write_text(path, json.dumps(known, sort_keys=True, indent=1) + "\n")
        except (OSError, UserError):  # a read-only or full disk costs time, not the result
            pass
    return known[digest]
