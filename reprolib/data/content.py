"""What pictures show, as far as it gives away a mistake: pairs that are no pairs, label maps that are none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from reprolib.data.labels import share_of_no_colour
from reprolib.data.unpaired import Domains
from reprolib.errors import UserError

NO_MAP = 0.10
"""Share of pixels without a colour of the palette from which pictures are no label maps, on average over some: those of
Cityscapes in pix2pix's JPEG have 0.01 to 0.06, its photos 0.15 to 0.41."""

MAPS = 20
"""Label maps that are looked at before scores are computed from them."""

SECOND = re.compile(r"(?P<first>.+?)(?: ?\(\d+\)| - copy(?: \(\d+\))?|[ _-]copy(?:[ _-]?\d+)?)", re.IGNORECASE)
"""Names that browsers and file managers give to a second copy."""

T = TypeVar("T")


def spread(items: Sequence[T], n: int) -> list[T]:
    """At most n items, evenly spaced from the first to the last; a single one is the first."""
    if len(items) <= n:
        return list(items)
    return [items[round(i * (len(items) - 1) / max(n - 1, 1))] for i in range(n)]


def is_hazier(one_HW3: np.ndarray, other_HW3: np.ndarray) -> bool:
    """Whether a picture is brighter and flatter (mean and standard deviation) than another; some 10,000 pixels tell."""
    one, other = (image[:: max(1, image.shape[0] // 100), :: max(1, image.shape[1] // 100)]
                  for image in (one_HW3, other_HW3))
    return bool(one.mean() > other.mean() and one.std() < other.std())


def second_names(files: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Files named like a second copy of another one among them, with that one: '1400_1 (1).png' and '1400_1.png'."""
    by_stem = {path.stem: path for path in files}
    named = ((path, SECOND.fullmatch(path.stem)) for path in files)
    return [(path, by_stem[match["first"]]) for path, match in named if match and match["first"] in by_stem]


def check_label_maps(name: str, domains: Domains) -> None:
    """Look at some label maps of an aligned dataset before scores are computed from them.

    Raises:
        UserError: the dataset has no label maps; or what should be maps are none, with the share of their pixels that
            have no colour of the palette, and whether the two halves of the files look swapped.
    """
    if not domains.aligned:
        raise UserError(f"{name} has no label maps", where=domains.a.files[0].parent,
                        fix="segmentation scores need an aligned dataset such as cityscapes")
    chosen = spread(range(len(domains.a)), MAPS)
    share = float(np.mean([share_of_no_colour(domains.a.read(i)) for i in chosen]))
    if share <= NO_MAP:
        return
    photo = float(np.mean([share_of_no_colour(domains.b.read(i)) for i in chosen]))
    half = domains.a.half
    fault = f"{share:.0%} of the pixels of {name}'s label maps have no colour of Cityscapes' palette"
    fix = f"expected are painted maps in the {half} half of each file" if half else "expected are painted maps"
    if photo <= NO_MAP:
        fix = f"the two halves look swapped; the label map belongs in the {half} half"
    raise UserError(fault, where=domains.a.files[0].parent, fix=fix)
