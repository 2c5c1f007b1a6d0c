"""AOD-Net against its layer table, its equation and a published checkpoint's score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from reprolib.errors import UserError
from reprolib.models import count_parameters
from reprolib.models.dehazing.aodnet import SYSTEM, AODNet
from reprolib.models.inference import restore
from reprolib.models.weights import load_weights


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


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(460, 620), (413, 550), (461, 621)])
def test_any_picture_size_without_padding(height: int, width: int) -> None:
    hazy = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    restored = restore(AODNet(), hazy, SYSTEM.multiple)
    assert restored.shape == hazy.shape and np.isfinite(restored).all() and restored.min() >= 0


def test_one_picture_gives_the_same_alone_and_in_a_batch() -> None:
    model, x = AODNet(), torch.rand(3, 3, 12, 13)
    torch.testing.assert_close(torch.cat([model(one[None]) for one in x]), model(x))


def test_bf16_autocast_on_the_cpu() -> None:
    model, x = AODNet(), torch.rand(1, 3, 20, 24)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(x)
    torch.testing.assert_close(out.float(), model(x), rtol=0, atol=0.03)
    out.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_published_state_dict_loads_strictly_and_another_is_refused(tmp_path: Path) -> None:
    """The public checkpoint is a plain state dict; its shapes are written out here."""
    shapes = {1: (3, 3, 1, 1), 2: (3, 3, 3, 3), 3: (3, 6, 5, 5), 4: (3, 6, 7, 7), 5: (3, 12, 3, 3)}
    state = {f"e_conv{i}.weight": torch.randn(shape) for i, shape in shapes.items()}
    state |= {f"e_conv{i}.bias": torch.randn(3) for i in shapes}
    torch.save(state, tmp_path / "dehazer.pth")
    model = AODNet()
    load_weights(model, tmp_path / "dehazer.pth", SYSTEM.importer)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    other = {**state, "e_conv3.weight": torch.randn(3, 6, 3, 3), "e_conv6.bias": torch.randn(3)}
    del other["e_conv1.bias"]
    torch.save(other, tmp_path / "other.pth")
    with pytest.raises(UserError) as refused:
        load_weights(model, tmp_path / "other.pth", SYSTEM.importer)
    for words in ("1 missing: e_conv1.bias", "1 unexpected: e_conv6.bias", "e_conv3.weight 3x6x3x3 instead of 3x6x5x5"):
        assert words in str(refused.value)
    assert torch.equal(model.e_conv2.weight, state["e_conv2.weight"]), "nothing of it was loaded"


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
