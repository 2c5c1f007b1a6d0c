"""DCP: Single Image Haze Removal Using Dark Channel Prior (He et al., CVPR 2009, TPAMI 2010). Nothing is learned.

The paper refines the transmission by soft matting; most ports use the guided filter (He et al., ECCV 2010), which is
the default here because it takes a fraction of a second where matting takes a minute. Both are options, as are the two
readings of the airlight in use.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import cg
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.models import System
from reprolib.models.layers.guided import grey, guided_filter

REFINEMENTS = ("guided", "matting", "none")
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


def matting_laplacian(picture_HW3: np.ndarray, epsilon: float = 1e-7) -> sparse.csr_array:
    """Levin's matting Laplacian over 3 x 3 windows (TPAMI 2010, equation 14), HW x HW, in float64.

    Within a window a map that is an affine function of colour costs nothing, so the smoothest map follows the
    picture's edges. Needs about 4 kB of memory a pixel while it is built.
    """
    height, width, _ = picture_HW3.shape
    index_HW = np.arange(height * width).reshape(height, width)
    index_N9 = np.lib.stride_tricks.sliding_window_view(index_HW, (3, 3)).reshape(-1, 9)
    colours_N93 = picture_HW3.reshape(-1, 3).astype(np.float64)[index_N9]
    centred_N93 = colours_N93 - colours_N93.mean(1, keepdims=True)
    covariance_N33 = np.swapaxes(centred_N93, 1, 2) @ centred_N93 / 9
    inverse_N33 = np.linalg.inv(covariance_N33 + epsilon / 9 * np.eye(3))
    affinity_N99 = (1 + centred_N93 @ inverse_N33 @ np.swapaxes(centred_N93, 1, 2)) / 9
    i, j = np.broadcast_arrays(index_N9[:, :, None], index_N9[:, None, :])
    affinity = sparse.coo_array((affinity_N99.ravel(), (i.ravel(), j.ravel())), shape=(index_HW.size,) * 2).tocsr()
    return (sparse.diags_array(affinity.sum(1)) - affinity).tocsr()


def soft_matting(picture_HW3: np.ndarray, t_HW: np.ndarray, strength: float = 1e-4) -> np.ndarray:
    """The map closest to `t` that follows the picture: (L + lambda) x = lambda t (TPAMI 2010, equation 15).

    Solved by conjugate gradients from `t` itself to a relative error of at most 1e-3. A picture less than 3 pixels
    high or wide has no window, and its map is returned as it is.
    """
    if min(t_HW.shape) < 3:
        return t_HW
    start = t_HW.ravel().astype(np.float64)
    system = matting_laplacian(picture_HW3) + strength * sparse.eye_array(start.size)
    # The smallest eigenvalue is lambda, hence the error is at most the residual's norm / lambda = rtol * |t|.
    scale = sparse.diags_array(1 / system.diagonal())
    refined, _ = cg(system.tocsr(), strength * start, x0=start, rtol=1e-3, maxiter=5000, M=scale)
    return refined.reshape(t_HW.shape)


class DCP(nn.Module):
    """J = (I - A) / max(t, t0) + A with t = 1 - omega dark(I / A) (equations 12 and 16), clipped to [0, 1].

    Args:
        patch: side of the dark channel's window in pixels.
        omega: share of the haze that is removed.
        t0: lower bound on the transmission.
        refine: 'guided' (radius, epsilon), 'matting' (the paper's; on the CPU, picture by picture) or 'none'.
        radius: of the guided filter's window, in pixels.
        epsilon: the guided filter's smoothing, for values in [0, 1].
        light: rule for the airlight, 'brightest' or 'mean'.

    Shape:
        B3HW in [0, 1] to B3HW in [0, 1].
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
        elif self.refine == "matting":
            pictures = hazy_B3HW.detach().permute(0, 2, 3, 1).cpu().double().numpy()
            maps = t.detach().cpu().double().numpy()[:, 0]
            refined = [soft_matting(picture, m) for picture, m in zip(pictures, maps, strict=True)]
            t = torch.from_numpy(np.stack(refined))[:, None].to(t)
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
