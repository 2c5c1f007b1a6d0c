"""What AECR-Net's deep part gives is told from what passes it by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reprolib.data.images import write_png
from reprolib.errors import UserError
from reprolib.models.dehazing.aecrnet import AECRNet
from reprolib.models.weights import Header, save_weights
from reprolib.report.deep_part import printed, reading, table
from reprolib.runs.places import Places
from reprolib.runs.profile import read_profile

PROFILE = """
systems:
  aecrnet:
    network: {width: 4, blocks: 1}
    runs:
      alive: {dataset: haze-homogeneous, contrast: null}
      closed: {dataset: haze-homogeneous, contrast: null, seed: 1}
      plain: {dataset: haze-homogeneous, contrast: null, network: {width: 4, blocks: 1, dfe: false}}
      untrained: {dataset: haze-homogeneous, contrast: null, seed: 2}
"""


def test_how_much_is_taken_in() -> None:
    raw = np.zeros((27, 6, 8), np.float32)
    outside = 2 * 3 * (6 + 8) - 4  # taps of pixels at the border, of 9 a pixel
    assert reading(raw) == pytest.approx(0.5 * (1 - outside / (9 * 6 * 8)))
    raw[18:] = -1000
    assert reading(raw) == pytest.approx(0)
    raw[18:], raw[0:18:2] = 1000, 1e9
    assert reading(raw) == 0
    raw[:18] = 0
    raw[0:18:2, 3, 4] = np.inf
    assert 0 < reading(raw) < 1


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    folder = tmp_path / "profiles" / "tiny"
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(PROFILE)
    for run in read_profile("tiny", tmp_path).runs.values():
        if run.name == "untrained":
            continue
        torch.manual_seed(0)
        network = AECRNet(**run.network)
        if run.name == "closed":
            assert network.dcn_block is not None and network.dcn_block.dcn.conv_offset_mask.bias is not None
            network.dcn_block.dcn.conv_offset_mask.bias.data[18:] = -200
        for name, values in network.named_parameters():
            if name in ("up1.0.weight", "dcn_block.dcn.weight"):
                values.data *= 10  # as drawn, hardly anything passes
        Places(run, tmp_path).checkpoint.mkdir(parents=True)
        save_weights(network, Places(run, tmp_path).weights, header=Header("aecrnet", run.network, {}, 1))
    return tmp_path


def test_a_dead_part_makes_no_difference_and_takes_nothing_in(trained: Path) -> None:
    for name in ("1", "2"):
        clear = np.random.default_rng(int(name)).integers(0, 256, (24, 32, 3), np.uint8)
        write_png(trained / "data" / "test" / "clear" / f"{name}.png", clear)
        write_png(trained / "data" / "test" / "hazy" / f"{name}.png", clear // 2 + 120)
    frame = table("tiny", "haze-homogeneous", 2, trained, trained / "data")
    found = {row.pop("network"): row for row in frame.to_dict("records")}
    assert set(found) == {"alive", "closed-seed1", "plain"}
    assert found["closed-seed1"]["application 1 takes in"] < 1e-9 and found["closed-seed1"]["difference"] == 0
    assert 0.4 < found["alive"]["application 1 takes in"] < 0.5
    assert abs(found["alive"]["difference"]) > 1e-3 and abs(found["plain"]["difference"]) > 1e-4
    text = printed(frame)
    assert "| closed-seed1 | 0.0%" in text and "+0.00" in text and "nan" not in text


def test_a_profile_without_trained_networks_is_told(trained: Path) -> None:
    for path in (trained / "checkpoints").rglob("*.safetensors"):
        path.unlink()
    with pytest.raises(UserError, match="no trained aecrnet in profile 'tiny'"):
        table("tiny", "haze-homogeneous", 2, trained)
