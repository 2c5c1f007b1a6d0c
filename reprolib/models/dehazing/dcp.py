"""DCP: Single Image Haze Removal Using Dark Channel Prior (He et al., CVPR 2009, TPAMI 2010). Nothing is learned.

The paper refines by soft matting; most ports use the guided filter, which is the default here because it runs in
seconds. Both are options, as are the two readings of the airlight in use.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.models import System
from reprolib.models.layers.guided import grey, guided_filter

REFINEMENTS = ("guided", "none")
AIRLIGHTS = ("brightest", "mean")


def dark_channel(x_B3HW: Tensor, patch: int = 15) -> Tensor:
    """Minimum over RGB and over a patch x patch window, of the pixels inside the picture (equation 5): B1HW."""
    lowest = x_B3HW.amin(1, keepdim=True)
    return -F.max_pool2d(-lowest, patch, stride=1, padding=patch // 2)


def airlight(hazy_B3HW: Tensor, dark_B1HW: Tensor, rule: str = "brightest") -> Tensor:
    """Colour of the haze, B311, from the brightest 0.1 % of the dark channel (section 4.3).

    'brightest' takes the candidate pixel of highest intensity, as the paper; 'mean' the mean of the candidates.
    """
    count = max(1, int(dark_B1HW[0].numel() * 0.001))
    index_BN = dark_B1HW.flatten(1).topk(count).indices
    candidates_B3N = hazy_B3HW.flatten(2).gather(2, index_BN[:, None].expand(-1, 3, -1))
    if rule == "mean":
        return candidates_B3N.mean(2)[..., None, None]
    best_B = candidates_B3N.sum(1).argmax(1)
    return candidates_B3N.gather(2, best_B[:, None, None].expand(-1, 3, 1))[..., None]


class DCP(nn.Module):
    """J = (I - A) / max(t, t0) + A with t = 1 - omega dark(I / A) (equations 12 and 16), clipped to [0, 1].

    Args:
        patch: side of the dark channel's window in pixels.
        omega: share of the haze that is removed.
        t0: lower bound on the transmission.
        refine: 'guided' (radius, epsilon) or 'none'.
        light: rule for the airlight.
    """

    def __init__(self, patch: int = 15, omega: float = 0.95, t0: float = 0.1, *, refine: str = "guided",
                 radius: int = 60, epsilon: float = 1e-4, light: str = "brightest"):
        super().__init__()
        if refine not in REFINEMENTS or light not in AIRLIGHTS:
            raise ValueError(f"refine must be one of {REFINEMENTS} and light one of {AIRLIGHTS}")
        self.patch, self.omega, self.t0 = patch, omega, t0
        self.refine, self.radius, self.epsilon, self.light = refine, radius, epsilon, light

    def transmission(self, hazy_B3HW: Tensor, light_B311: Tensor) -> Tensor:
        """B1HW, before the lower bound."""
        t = 1 - self.omega * dark_channel(hazy_B3HW / light_B311.clamp_min(1e-6), self.patch)
        if self.refine == "guided":
            t = guided_filter(grey(hazy_B3HW), t, self.radius, self.epsilon)
        return t

    def forward(self, hazy_B3HW: Tensor) -> Tensor:
        light_B311 = airlight(hazy_B3HW, dark_channel(hazy_B3HW, self.patch), self.light)
        t_B1HW = self.transmission(hazy_B3HW, light_B311).clamp_min(self.t0)
        return ((hazy_B3HW - light_B311) / t_B1HW + light_B311).clamp(0, 1)


SYSTEM = System(
    name="dcp",
    label="DCP",
    task="dehazing",
    build=DCP,
    source="He et al., Single Image Haze Removal Using Dark Channel Prior, TPAMI 2010; guided filter refinement",
    trained=False,
)
