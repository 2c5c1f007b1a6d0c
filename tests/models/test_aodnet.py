"""AOD-Net against its layer table, its equation and a published checkpoint's score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from reprolib.models import count_parameters
from reprolib.models.dehazing.aodnet import SYSTEM, AODNet


def test_count_and_keys() -> None:
    model = SYSTEM.build()
    assert count_parameters(model) == 1761
    shapes = {k: tuple(v.shape) for k, v in model.state_dict().items() if k.endswith("weight")}
    assert shapes == {"e_conv1.weight": (3, 3, 1, 1), "e_conv2.weight": (3, 3, 3, 3), "e_conv3.weight": (3, 6, 5, 5),
                      "e_conv4.weight": (3, 6, 7, 7), "e_conv5.weight": (3, 12, 3, 3)}


def test_forward_is_the_published_one() -> None:
    model = AODNet()
    s, x, features = model.state_dict(), torch.rand(2, 3, 9, 11), []
    inputs = ((-1,), (0,), (0, 1), (1, 2), (0, 1, 2, 3))
    for i, sources in enumerate(inputs, start=1):
        joined = torch.cat([x if j < 0 else features[j] for j in sources], 1)
        weight = s[f"e_conv{i}.weight"]
        features.append(F.conv2d(joined, weight, s[f"e_conv{i}.bias"], padding=weight.shape[-1] // 2).clamp_min(0))
    k = features[-1]
    torch.testing.assert_close(model(x), (k * (x - 1) + 1).clamp_min(0), rtol=1e-5, atol=1e-6)


def test_k_of_one_returns_the_input() -> None:
    model = AODNet()
    torch.nn.init.zeros_(model.e_conv5.weight)
    torch.nn.init.ones_(model.e_conv5.bias)
    x = torch.rand(1, 3, 1, 6)
    torch.testing.assert_close(model(x), x)


def test_published_weights_improve_a_sample_of_sots(shared: Path) -> None:
    """The first four pairs of the sample that the checkpoint takes from 12.79 to 19.519 dB over 120 pairs."""
    model = AODNet().eval()
    model.load_state_dict(torch.load(shared / "weights/aodnet_mayanksingal.pth", map_location="cpu", weights_only=True))
    gains = []
    for path in sorted((shared / "data/sots-indoor/hazy").glob("*.png"))[:4]:
        hazy = np.asarray(Image.open(path).convert("RGB")) / 255
        clear_path = shared / "data/sots-indoor/clear" / f"{path.stem.split('_')[0]}.png"
        clear = np.asarray(Image.open(clear_path).convert("RGB")) / 255
        border = [(c - h) // 2 for c, h in zip(clear.shape[:2], hazy.shape[:2], strict=True)]
        clear = clear[border[0] : border[0] + hazy.shape[0], border[1] : border[1] + hazy.shape[1]]
        with torch.no_grad():
            out = model(torch.from_numpy(hazy).float().permute(2, 0, 1)[None])[0].permute(1, 2, 0).clamp(0, 1).numpy()
        gains.append(10 * np.log10(((hazy - clear) ** 2).mean() / ((out - clear) ** 2).mean()))
    assert np.mean(gains) > 3
