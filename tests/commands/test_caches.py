"""A cache that was damaged costs time and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands.conftest import Reprolib
from reprolib.commands.caches import FEATURES, drop_damaged_features
from reprolib.metrics import distance


@pytest.mark.parametrize("bytes_left", [0, 500])
def test_kind_11_features_that_were_cut_short_are_computed_again(tiny: Path, bytes_left: int, reprolib: Reprolib,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    assert FEATURES == distance.KEPT
    FEATURES.mkdir(parents=True)
    for name in ("whole", "cut"):
        torch.save({"512": torch.zeros(4, 512)}, FEATURES / f"{name}.pt")
    cut = FEATURES / "cut.pt"
    cut.write_bytes(cut.read_bytes()[:bytes_left])
    answer = reprolib("train", "aodnet", "--accelerator", "cpu")
    assert answer.code == 0 and f"{cut} was damaged, and is computed again" in answer.err
    assert [path.name for path in FEATURES.iterdir()] == ["whole.pt"]
    drop_damaged_features()
    assert not capsys.readouterr().err
