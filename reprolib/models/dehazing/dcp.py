"""DCP: Single Image Haze Removal Using Dark Channel Prior (He et al., CVPR 2009, TPAMI 2010). Nothing is learned.

The paper refines the transmission by soft matting; most ports use the guided filter (He et al., ECCV 2010), which is
the default here because it takes a fraction of a second where matting takes seven. Both are options, as are the three
readings of the airlight in use.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy.sparse import dia_array, eye_array
from scipy.sparse.linalg import cg as conjugate_gradients
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.errors import UserError, unknown
from reprolib.models.layers.guided import grey, guided_filter
from reprolib.models.system import System

REFINEMENTS = ("guided", "matting", "none")
AIRLIGHTS = ("brightest", "mean", "largest")


def dark_channel(x_B3HW: Tensor, patch: int = 15) -> Tensor:
    """Minimum over RGB and over a patch x patch window, of the pixels inside the picture (equation 5): B1HW."""
    lowest = x_B3HW.amin(1, keepdim=True)
    return -F.max_pool2d(-lowest, patch, stride=1, padding=patch // 2)


def estimate_airlight(hazy_B3HW: Tensor, dark_B1HW: Tensor, rule: str = "brightest") -> Tensor:
    """Colour of the haze, B311, from the brightest 0.1 % of the dark channel (section 4.3).

    'brightest' takes the candidate pixel of highest intensity, as the paper; 'mean' the mean of the candidates;
    'largest' looks for none of them and takes the largest value of each channel in the whole picture.
    """
    if rule == "largest":
        return hazy_B3HW.amax((2, 3), keepdim=True)
    count = max(1, int(dark_B1HW[0].numel() * 0.001))
    index_BN = dark_B1HW.flatten(1).topk(count).indices
    candidates_B3N = hazy_B3HW.flatten(2).gather(2, index_BN[:, None].expand(-1, 3, -1))
    if rule == "mean":
        return candidates_B3N.mean(2)[..., None, None]
    best_B = candidates_B3N.sum(1).argmax(1)
    return candidates_B3N.gather(2, best_B[:, None, None].expand(-1, 3, 1))[..., None]


def matting_laplacian(picture_HW3: np.ndarray, epsilon: float = 1e-7) -> dia_array:
    """Levin's matting Laplacian of one picture over 3 x 3 windows (TPAMI 2010, equation 14), (HW, HW).

    Two pixels of a window are at most two rows and two columns apart, so the matrix is 25 diagonals. It equals
    pymatting's `cf_laplacian` to 1e-14; not used, since it brings numba (210 MB), whose first import compiles for 40
    seconds of one core.
    """
    height, width = picture_HW3.shape[:2]
    windows_HW33 = sliding_window_view(picture_HW3, (3, 3), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    around_HW93 = windows_HW33.reshape(height - 2, width - 2, 9, 3)
    around_HW93 = around_HW93 - around_HW93.mean(2, keepdims=True)
    covariance_HW33 = around_HW93.swapaxes(2, 3) @ around_HW93 / 9
    weighted_HW93 = around_HW93 @ np.linalg.inv(covariance_HW33 + epsilon / 9 * np.eye(3))
    diagonals = {(down, right): np.zeros((height, width)) for down in range(-2, 3) for right in range(-2, 3)}
    places = [divmod(place, 3) for place in range(9)]
    for i, (top, left) in enumerate(places):
        for j, (below, beside) in enumerate(places):
            affinity_HW = (1 + (weighted_HW93[:, :, i] * around_HW93[:, :, j]).sum(2)) / 9
            # scipy keeps an entry of a diagonal under its column, which is pixel j of each window.
            at_j = slice(below, below + height - 2), slice(beside, beside + width - 2)
            diagonals[below - top, beside - left][at_j] += (i == j) - affinity_HW
    shape = height * width, height * width
    merged: dict[int, np.ndarray] = {}  # in a picture of less than 5 columns, different steps are one diagonal
    for (down, right), entries_HW in diagonals.items():
        offset = down * width + right
        merged[offset] = merged.get(offset, 0) + entries_HW.ravel()
    return dia_array((np.stack(list(merged.values())), list(merged)), shape=shape)


def soft_matting(picture_3HW: Tensor, t_1HW: Tensor, strength: float = 1e-4) -> Tensor:
    """The map closest to `t` that follows the picture: (L + lambda) x = lambda t (TPAMI 2010, equation 15).

    Solved in float64 on the CPU by conjugate gradients from `t` itself, to a relative error of at most 1e-3: the
    smallest eigenvalue is lambda, hence the error is at most the residual's norm / lambda. A preconditioner with L's
    diagonal takes more steps, not fewer. A picture less than 3 pixels high or wide has no window, and its map is
    returned as it is.
    """
    if min(t_1HW.shape[1:]) < 3:
        return t_1HW
    t = t_1HW.double().cpu().numpy().ravel()
    laplacian = matting_laplacian(picture_3HW.double().cpu().permute(1, 2, 0).numpy())
    system = laplacian + strength * eye_array(t.size, format="dia")
    x, _ = conjugate_gradients(system, strength * t, x0=t, rtol=1e-3, maxiter=5000)
    return torch.from_numpy(x).reshape(t_1HW.shape).to(t_1HW)


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
        airlight: 'brightest', 'mean' or 'largest', see `estimate_airlight`.
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
