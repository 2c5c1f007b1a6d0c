"""Running a dehazer on a picture of any size."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def pad_to_multiple(image_BCHW: Tensor, multiple: int) -> Tensor:
    """Pad right and bottom to multiples of `multiple`, by reflection (by repetition where the image is too small)."""
    height, width = image_BCHW.shape[-2:]
    down, right = -height % multiple, -width % multiple
    if not (down or right):
        return image_BCHW
    mode = "reflect" if down < height and right < width else "replicate"
    return F.pad(image_BCHW, (0, right, 0, down), mode=mode)


@torch.inference_mode()
def restore(network: nn.Module, hazy_HW3: np.ndarray, multiple: int = 1) -> np.ndarray:
    """Dehaze one picture.

    Args:
        network: maps B3HW in [0, 1] to B3HW.
        hazy_HW3: uint8 RGB.
        multiple: the network's `System.multiple`; the picture is padded to it and cropped back.

    Returns:
        float32 HW3, nominally in [0, 1], not clamped: clamping belongs to the metric's protocol.
    """
    network.eval()
    device = next(network.parameters(), torch.empty(0)).device
    hazy_BCHW = torch.from_numpy(np.array(hazy_HW3)).to(device).permute(2, 0, 1)[None].float() / 255
    height, width = hazy_BCHW.shape[-2:]
    restored_BCHW = network(pad_to_multiple(hazy_BCHW, multiple))[..., :height, :width]
    return restored_BCHW[0].permute(1, 2, 0).float().cpu().numpy()


def to_uint8(image_HW3: np.ndarray) -> np.ndarray:
    """Clamp to [0, 1] and round to 8 bits."""
    return (image_HW3.clip(0, 1) * 255 + 0.5).astype(np.uint8)
