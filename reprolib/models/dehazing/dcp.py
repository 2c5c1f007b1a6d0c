"""DCP: Single Image Haze Removal Using Dark Channel Prior (He et al., CVPR 2009, TPAMI 2010). Nothing is learned.

The paper refines the transmission by soft matting; most ports use the guided filter (He et al., ECCV 2010), which is
the default here because it takes a fraction of a second where matting takes the better part of a minute. Both are
options, as are the two readings of the airlight in use.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.errors import UserError, unknown
from reprolib.models.layers.guided import grey, guided_filter
from reprolib.models.system import System

REFINEMENTS = ("guided", "matting", "none")
AIRLIGHTS = ("brightest", "mean")


def dark_channel(x_B3HW: Tensor, patch: int = 15) -> Tensor:
    """Minimum over RGB and over a patch x patch window, of the pixels inside the picture (equation 5): B1HW."""
    lowest = x_B3HW.amin(1, keepdim=True)
    return -F.max_pool2d(-lowest, patch, stride=1, padding=patch // 2)


def estimate_airlight(hazy_B3HW: Tensor, dark_B1HW: Tensor, rule: str = "brightest") -> Tensor:
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


class MattingLaplacian:
    """p -> L p for Levin's matting Laplacian of one picture over 3 x 3 windows (TPAMI 2010, equation 14).

    In each window the map that is nearest to p and affine in colour is subtracted from p, and the differences are
    summed over the windows of a pixel (He et al., CVPR 2010). The matrix, 25 entries a pixel, is never formed.
    """

    def __init__(self, picture_3HW: Tensor, epsilon: float = 1e-7):
        self.picture_3HW = picture_3HW
        self.mean_3HW = _window_mean(picture_3HW)
        products = (picture_3HW[:, None] * picture_3HW[None]).flatten(0, 1)
        covariance = _window_mean(products) - (self.mean_3HW[:, None] * self.mean_3HW[None]).flatten(0, 1)
        covariance_HW33 = covariance.permute(1, 2, 0).unflatten(2, (3, 3))
        ridge = epsilon / 9 * torch.eye(3, dtype=picture_3HW.dtype, device=picture_3HW.device)
        self.inverse_33HW = torch.linalg.inv(covariance_HW33 + ridge).permute(2, 3, 0, 1).contiguous()
        self.count_1HW = _window_spread(torch.ones_like(self.mean_3HW[:1]))

    def __call__(self, p_1HW: Tensor) -> Tensor:
        mean_1HW = _window_mean(p_1HW)
        covariance_3HW = _window_mean(self.picture_3HW * p_1HW) - self.mean_3HW * mean_1HW
        slope_3HW = (self.inverse_33HW * covariance_3HW).sum(1)
        level_1HW = mean_1HW - (slope_3HW * self.mean_3HW).sum(0, keepdim=True)
        affine_4HW = _window_spread(torch.cat((slope_3HW, level_1HW)))
        nearest_1HW = (affine_4HW[:3] * self.picture_3HW).sum(0, keepdim=True) + affine_4HW[3:]
        return self.count_1HW * p_1HW - nearest_1HW


def soft_matting(picture_3HW: Tensor, t_1HW: Tensor, strength: float = 1e-4) -> Tensor:
    """The map closest to `t` that follows the picture: (L + lambda) x = lambda t (TPAMI 2010, equation 15).

    Solved in float64 by conjugate gradients from `t` itself, to a relative error of at most 1e-3; a preconditioner
    with L's diagonal takes more steps, not fewer. A picture less than 3 pixels high or wide has no window, and its
    map is returned as it is.
    """
    if min(t_1HW.shape[1:]) < 3:
        return t_1HW
    laplacian, x = MattingLaplacian(picture_3HW.double()), t_1HW.double()
    residual = -laplacian(x)
    direction, size = residual, residual.square().sum()
    # The smallest eigenvalue is lambda, hence the error is at most the residual's norm / lambda.
    enough = (1e-3 * strength * x.norm()) ** 2
    for _ in range(5000):
        if size <= enough:
            break
        image = laplacian(direction) + strength * direction
        step = size / (direction * image).sum()
        x, residual = x + step * direction, residual - step * image
        size, before = residual.square().sum(), size
        direction = residual + size / before * direction
    return x.to(t_1HW.dtype)


def _window_mean(x_CHW: Tensor) -> Tensor:
    """Mean over each 3 x 3 window that lies inside the picture: C, H - 2, W - 2."""
    x = x_CHW[:, :-2] + x_CHW[:, 1:-1] + x_CHW[:, 2:]
    return (x[..., :-2] + x[..., 1:-1] + x[..., 2:]) / 9


def _window_spread(x_CHW: Tensor) -> Tensor:
    """Sum over the windows that hold a pixel: C, H + 2, W + 2."""
    return 9 * _window_mean(F.pad(x_CHW, (2, 2, 2, 2)))


class DCP(nn.Module):
    """J = (I - A) / max(t, t0) + A with t = 1 - omega dark(I / A) (equations 12 and 16).

    Args:
        patch: side of the dark channel's window in pixels.
        omega: share of the haze that is removed.
        t0: lower bound on the transmission.
        refine: 'guided' (radius, epsilon), 'matting' (the paper's, strength lambda) or 'none'.
        radius: of the guided filter's window, in pixels.
        epsilon: the guided filter's smoothing, for values in [0, 1].
        strength: lambda of soft matting, how closely the refined map keeps to the estimate.
        airlight: 'brightest' or 'mean', see `estimate_airlight`.
        clip: cut the result to [0, 1].

    Shape:
        B3HW in [0, 1] to B3HW in [0, 1] (beyond it without `clip`); any height and width.

    Raises:
        UserError: a name that is not known, or an even window, which has no middle.
    """

    def __init__(self, patch: int = 15, omega: float = 0.95, t0: float = 0.1, *, refine: str = "guided",
                 radius: int = 60, epsilon: float = 1e-4, strength: float = 1e-4, airlight: str = "brightest",
                 clip: bool = True):
        super().__init__()
        if refine not in REFINEMENTS:
            raise unknown("refinement of DCP", refine, REFINEMENTS)
        if airlight not in AIRLIGHTS:
            raise unknown("airlight of DCP", airlight, AIRLIGHTS)
        if patch % 2 == 0:
            raise UserError(f"DCP's window of {patch} pixels has no middle", fix="choose an odd number")
        self.patch, self.omega, self.t0, self.clip = patch, omega, t0, clip
        self.refine, self.radius, self.epsilon, self.strength = refine, radius, epsilon, strength
        self.airlight = airlight

    def transmission(self, hazy_B3HW: Tensor, airlight_B311: Tensor) -> Tensor:
        """B1HW, before the lower bound."""
        t_B1HW = 1 - self.omega * dark_channel(hazy_B3HW / airlight_B311.clamp_min(1e-6), self.patch)
        if self.refine == "guided":
            return guided_filter(grey(hazy_B3HW), t_B1HW, self.radius, self.epsilon)
        if self.refine == "matting":
            pairs = zip(hazy_B3HW, t_B1HW, strict=True)
            return torch.stack([soft_matting(picture, t, self.strength) for picture, t in pairs])
        return t_B1HW

    def forward(self, hazy_B3HW: Tensor) -> Tensor:
        airlight_B311 = estimate_airlight(hazy_B3HW, dark_channel(hazy_B3HW, self.patch), self.airlight)
        t_B1HW = self.transmission(hazy_B3HW, airlight_B311).clamp_min(self.t0)
        restored_B3HW = (hazy_B3HW - airlight_B311) / t_B1HW + airlight_B311
        return restored_B3HW.clamp(0, 1) if self.clip else restored_B3HW


SYSTEM = System(
    name="dcp",
    label="DCP",
    task="dehazing",
    build=DCP,
    source="He et al., Single Image Haze Removal Using Dark Channel Prior, TPAMI 2010; guided filter refinement",
    verified_params=0,  # nothing is learned
    trained=False,
)
