"""The tiny layouts are found and opened as the real downloads would be, and no picture is in two places."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from layouts import LAYOUTS, install

from reprolib import papers
from reprolib.data.copies import copies, twins
from reprolib.data.paired import open_split
from reprolib.data.registry import datasets, get_dataset, locate
from reprolib.data.unpaired import open_domains


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROLIB_DATA", raising=False)
    return install(tmp_path, n=3)


def test_every_split_opens_through_the_registry(places: dict[str, Path]) -> None:
    for name in places:
        assert locate(name) == places[name]
        for split in get_dataset(name).splits:
            if get_dataset(name).task == "translation":
                domains = open_domains(name, split)
                shapes = {image.shape for image in (*domains.a, *domains.b)}
                assert len(domains.a) >= 1 and len(domains.b) >= 1 and len(shapes) <= 2
            else:
                pairs = open_split(name, split)
                assert len(pairs) >= 3 and {p.hazy.shape for p in pairs} == {(32, 40, 3)} == {p.clear.shape
                                                                                             for p in pairs}


def test_no_picture_is_in_two_splits_or_two_datasets(places: dict[str, Path]) -> None:
    opened = {(name, split): (open_domains if get_dataset(name).task == "translation" else open_split)(name, split)
              for name in places for split in get_dataset(name).splits}
    assert not any(map(twins, opened.values()))
    for (one, a), (other, b) in combinations(opened.items(), 2):
        found = [c for c in copies(a, b) if c.train != c.test]
        assert not found, (one, other, found)


def test_every_real_dataset_with_a_column_has_a_layout() -> None:
    behind = {name for paper in papers.papers().values() for c in paper.columns.values() for name in c.datasets}
    assert {name for name in behind if not datasets()[name].embedded} <= set(LAYOUTS)
