"""DehazeNet: An End-to-End System for Single Image Haze Removal (Cai et al., IEEE TIP 2016).

The network estimates the transmission; the picture follows from the haze model. For whole pictures the authors' MATLAB
demo is followed, borders included; for training the paper, which sees patches of 16x16 pixels without borders.

Departures: t is bounded below by `t0` in the recovery (the demo divides by t as it is), and the initialisation is
PyTorch's with a last bias of 0.5. The paper starts from N(0, 0.001) and zero, where t sits on the edge of its limiter,
which passes no gradient outside [0, 1]. Nothing is said of the momentum; 0.9 is Caffe's habit.

The loss `transmission` is the paper's, on t of synthetic haze. A loss on pictures (`l1`) has gradients through the
recovery and the guided filter, but hardly trains on small crops: the airlight that a crop shows is not the picture's,
t is driven to 1, and there the limiter passes no gradient any more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.models.layers.guided import grey, guided_filter
from reprolib.models.system import System
from reprolib.models.tiling import in_tiles

HAZIEST = 0.01
"""Share of the pixels, those of lowest transmission, in which the airlight is sought."""


def pad_symmetric(x_BCHW: Tensor, before: int, after: int) -> Tensor:
    """Mirror the picture at its borders, the outermost pixel repeated (MATLAB's 'symmetric')."""
    for dim in (2, 3):
        size = x_BCHW.shape[dim]
        index = torch.arange(-before, size + after, device=x_BCHW.device) % (2 * size)
        x_BCHW = x_BCHW.index_select(dim, torch.minimum(index, 2 * size - 1 - index))
    return x_BCHW


def _largest(x_BCHW: Tensor, padding: int = 0) -> Tensor:
    """F3: maximum over 7x7 pixels; with channels last in memory it is 7 times faster on a CPU."""
    return F.max_pool2d(x_BCHW.contiguous(memory_format=torch.channels_last), 7, stride=1, padding=padding)


def airlight(hazy_B3HW: Tensor, t_B1HW: Tensor) -> Tensor:
    """Colour of the haze, B311: the brightest of the 1 % of pixels with the lowest transmission, averaged over ties."""
    t_BN, brightness_BN = t_B1HW.flatten(1), grey(hazy_B3HW).flatten(1)
    rank = max(1, int(HAZIEST * t_BN.shape[1] + 0.5))
    threshold_B1 = t_BN.kthvalue(rank, dim=1, keepdim=True).values
    candidates_BN = brightness_BN.masked_fill(t_BN > threshold_B1, -math.inf)
    chosen_B1N = (candidates_BN == candidates_BN.amax(1, keepdim=True))[:, None]
    return ((hazy_B3HW.flatten(2) * chosen_B1N).sum(2) / chosen_B1N.sum(2))[..., None, None]


class DehazeNet(nn.Module):
    """Transmission by four layers, guided refinement, recovery by J = (I - A) / t + A.

    Layers F1 to F4 of the paper: `conv1` with maxout, `conv3x3` beside `conv5x5` and `conv7x7`, a 7x7 maximum, `ip`
    with a limiter to [0, 1] (BReLU). The layout has no size to reduce.

    Args:
        radius: of the guided filter's window, in pixels.
        epsilon: the guided filter's smoothing, for values in [0, 1].
        t0: lower bound on the transmission in the recovery; 0 is the authors' demo.

    Shape:
        B3HW in [0, 1] to B3HW, unbounded; any height and width.
    """

    def __init__(self, *, radius: int = 50, epsilon: float = 1e-3, t0: float = 0.1):
        super().__init__()
        self.radius, self.epsilon, self.t0 = radius, epsilon, t0
        self.conv1 = nn.Conv2d(3, 16, 5)
        self.conv3x3 = nn.Conv2d(4, 16, 3)
        self.conv5x5 = nn.Conv2d(4, 16, 5)
        self.conv7x7 = nn.Conv2d(4, 16, 7)
        self.ip = nn.Conv2d(48, 1, 6)
        assert self.ip.bias is not None
        nn.init.constant_(self.ip.bias, 0.5)

    def forward(self, hazy_B3HW: Tensor) -> Tensor:
        return self.recovered(hazy_B3HW, self.transmission(hazy_B3HW))

    def recovered(self, hazy_B3HW: Tensor, t_B1HW: Tensor) -> Tensor:
        """The clear picture by the haze model."""
        light_B311 = airlight(hazy_B3HW, t_B1HW)
        t_B1HW = guided_filter(grey(hazy_B3HW), t_B1HW, self.radius, self.epsilon).clamp_min(self.t0)
        return (hazy_B3HW - light_B311) / t_B1HW + light_B311

    def transmission(self, hazy_B3HW: Tensor) -> Tensor:
        """Of a whole picture, B1HW in [0, 1], before refinement."""
        f1 = self._maxout(pad_symmetric(hazy_B3HW - 0.5, 2, 2))
        f2 = torch.cat([conv(pad_symmetric(f1, pad, pad)) for conv, pad in self._scales()], 1)
        f3 = _largest(f2, padding=3)  # borders by repetition, as the demo has it, add no new value
        return self.ip(pad_symmetric(f3, 2, 3)).clamp(0, 1).to(hazy_B3HW.dtype)

    def patch_transmission(self, patches_B3HW: Tensor) -> Tensor:
        """For training: B3HW to B1(H-15)(W-15), one value for a patch of 16x16; only F2 is padded, with zeros."""
        f1 = self._maxout(patches_B3HW - 0.5)
        f2 = torch.cat([F.conv2d(f1, conv.weight, conv.bias, padding=pad) for conv, pad in self._scales()], 1)
        f3 = _largest(f2)
        return self.ip(f3).clamp(0, 1).to(patches_B3HW.dtype)

    def _maxout(self, x_B3HW: Tensor) -> Tensor:
        """F1: the largest of each four consecutive channels."""
        return self.conv1(x_B3HW).unflatten(1, (4, 4)).amax(2)

    def _scales(self) -> tuple[tuple[nn.Conv2d, int], ...]:
        """F2: convolutions and the padding that keeps the size."""
        return (self.conv3x3, 1), (self.conv5x5, 2), (self.conv7x7, 3)


def in_tiles_first(network: DehazeNet, hazy_13HW: Tensor) -> Tensor:
    """`network(hazy)` with the layers in tiles, and what takes something of all pixels after them."""
    return network.recovered(hazy_13HW, in_tiles(network.transmission, hazy_13HW))


def from_official(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' .mat file to our state dict.

    `weights_LAYER` is [in, k^2, out] (without the last axis where out is 1) with each k x k kernel stored column by
    column; `biases_LAYER` is [out, 1].
    """
    state = {}
    for name, array in arrays.items():
        kind, _, layer = name.partition("_")
        if kind == "weights":
            channels, area, out = (array if array.dim() == 3 else array[..., None]).shape
            side = math.isqrt(area)
            kernels = array.reshape(channels, side, side, out)  # each column by column
            state[f"{layer}.weight"] = kernels.permute(3, 0, 2, 1).contiguous()
        elif kind == "biases":
            state[f"{layer}.bias"] = array.flatten()
        else:
            state[name] = array  # kept, so that the loader can name what it does not know
    return state


SYSTEM = System(
    name="dehazenet",
    label="DehazeNet",
    task="dehazing",
    build=DehazeNet,
    source="Cai et al., DehazeNet: An End-to-End System for Single Image Haze Removal, IEEE TIP 2016; whole pictures "
    "as in the authors' demo, except for a lower bound of 0.1 on the transmission",
    paper_params="0.01M",
    verified_params=8_305,  # released .mat
    large=in_tiles_first,
    importer=from_official,
    recipe={  # 8 crops of 64x64 are a batch of 128 patches; 500,000 iterations, the rate halved every 100,000
        "loss": {"transmission": 1.0},
        "optimiser": {"kind": "sgd", "momentum": 0.9, "weight_decay": 0.0},
        "learning_rate": 5e-3, "schedule": {"kind": "step", "every": 0.2, "factor": 0.5},
        "steps": 500_000, "batch": 8, "crop": 64, "augment": False,
    },
)
