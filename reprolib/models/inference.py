"""Running a dehazer or a translator on a picture of any size."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def channels_of(network: nn.Module) -> int:
    """Channels of the pictures that a network takes and gives: 3, RGB, where it does not say it."""
    channels: int = getattr(network, "channels", 3)  # type: ignore[assignment]  # mypy takes a module's fields for tensors
    return channels


def pad_to_multiple(image_BCHW: Tensor, multiple: int) -> Tensor:
    """Pad right and bottom to multiples of `multiple`, by reflection (by repetition where the image is too small)."""
    height, width = image_BCHW.shape[-2:]
    down, right = -height % multiple, -width % multiple
    if not (down or right):
        return image_BCHW
    mode = "reflect" if down < height and right < width else "replicate"
    return F.pad(image_BCHW, (0, right, 0, down), mode=mode)


def restore(network: nn.Module, hazy_HW3: np.ndarray, multiple: int = 1) -> np.ndarray:
    """Dehaze one picture.

    Args:
        network: maps B3HW in [0, 1] to B3HW.
        hazy_HW3: uint8 RGB.
        multiple: the network's `System.multiple`; the picture is padded to it and cropped back.

    Returns:
        float32 HW3, nominally in [0, 1], not clamped: clamping belongs to the metric's protocol.
    """
    return _run(network, hazy_HW3, multiple, low=0.0)


def translate(network: nn.Module, source_HWC: np.ndarray, multiple: int = 1) -> np.ndarray:
    """Translate one picture; arguments and result as of `restore`, for a network that works in [-1, 1], and of as many
    channels as it takes (`channels_of`)."""
    return _run(network, source_HWC, multiple, low=-1.0)


@torch.inference_mode()
def _run(network: nn.Module, picture_HWC: np.ndarray, multiple: int, low: float) -> np.ndarray:
    """Pad, run and crop back; `low` is the network's value of black, 1 its value of white."""
    network.eval()
    x_BCHW = to_network(network, picture_HWC, low)
    height, width = x_BCHW.shape[-2:]
    y_BCHW = network(pad_to_multiple(x_BCHW, multiple))[..., :height, :width]
    return (y_BCHW[0].permute(1, 2, 0).float().cpu().numpy() - low) / (1 - low)


def to_network(network: nn.Module, picture_HWC: np.ndarray, low: float) -> Tensor:
    """A picture, uint8 HWC, as 1CHW in [low, 1] where the network lies."""
    device = next(network.parameters(), torch.empty(0)).device
    x_BCHW = torch.from_numpy(np.array(picture_HWC)).to(device).permute(2, 0, 1)[None].float() / 255
    return x_BCHW * (1 - low) + low


def to_uint8(image_HWC: np.ndarray, rounding: str = "nearest") -> np.ndarray:
    """Clamp to [0, 1] and round to 8 bits; 'down' cuts off what is behind the point, as CUT's released code does."""
    return (image_HWC.clip(0, 1) * 255 + (0.5 if rounding == "nearest" else 0)).astype(np.uint8)
