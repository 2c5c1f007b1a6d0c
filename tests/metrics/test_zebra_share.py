"""The share of zebras: counted by a classifier that is made to answer, and told where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from reprolib import metrics
from reprolib.errors import UserError
from reprolib.metrics import zebra_share
from reprolib.metrics.distance import PictureSet
from reprolib.models.weights import save_weights

ZEBRA = MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"].index("zebra")


class BrightIsZebra(torch.nn.Module):
    """Says zebra of bright pictures; of others, the class before it."""

    def forward(self, x_B3HW: torch.Tensor) -> torch.Tensor:
        assert x_B3HW.shape == (1, 3, 224, 224) and x_B3HW.dtype == torch.float32
        logits = torch.zeros(1, 1000)
        logits[0, ZEBRA - int(x_B3HW.mean() < 0)] = 1
        return logits


def grey(*levels: int) -> PictureSet:
    return PictureSet([np.full((40 + level % 7, 50, 3), level, np.uint8) for level in levels], "grey")


def test_counts_pictures_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zebra_share, "WEIGHTS", tmp_path / "there")
    (tmp_path / "there").touch()
    monkeypatch.setattr(zebra_share, "_classifier", lambda *_: BrightIsZebra())
    score = metrics.get("zebra_share").function(grey(250, 240, 230, 0), grey(0, 255, 10, 20, 30))
    assert score.value == 20 and score.details == {"real": 75}


def test_loads_the_classifier_as_it_was_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = mobilenet_v2(weights=None)
    network.classifier[1].bias.data[ZEBRA] = 100.0
    save_weights(network, tmp_path / "m.safetensors")
    monkeypatch.setattr(zebra_share, "WEIGHTS", tmp_path / "m.safetensors")
    assert metrics.get("zebra_share").function(grey(1, 2), grey(3, 4)).value == 100


def test_without_a_classifier_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no classifier.*reprolib weights fetch mobilenet_v2"):
        metrics.get("zebra_share").function(grey(1, 2), grey(3, 4))


def test_is_measured_only_where_it_is_asked_for() -> None:
    assert not metrics.get("zebra_share").everywhere


def test_the_real_classifier_knows_a_cat(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = project / zebra_share.WEIGHTS
    if not weights.is_file():
        pytest.skip("no classifier: run `reprolib weights fetch mobilenet_v2`")
    from skimage import data

    published = MobileNet_V2_Weights.IMAGENET1K_V1
    network = zebra_share._classifier(weights, 0)
    picture = torch.from_numpy(data.chelsea()).permute(2, 0, 1)[None]
    assert "cat" in published.meta["categories"][int(network(published.transforms()(picture)).argmax())]
