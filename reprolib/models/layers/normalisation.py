"""Normalisations: of each channel of a picture, with statistics that a style decides, and over the whole picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-5


class InstanceNorm2d(nn.InstanceNorm2d):
    """PyTorch's, with right gradients for a single picture on a CPU (`right_gradient`)."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return right_gradient(super().forward(x_BCHW))


def right_gradient(normalised_BCHW: Tensor) -> Tensor:
    """What an instance norm gave, unchanged; the gradient that will arrive at it is put in order first.

    On a CPU, torch 2.14.1 back-propagates a single picture wrongly, and without a warning, if that gradient lies in
    memory with channels last (docs/instance-norm.md). Which operations make such gradients is nobody's choice.
    """
    if normalised_BCHW.requires_grad and len(normalised_BCHW) == 1 and normalised_BCHW.device.type == "cpu":
        normalised_BCHW.register_hook(_in_order)
    return normalised_BCHW


def _in_order(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.contiguous()


def adain(x_BCHW: Tensor, shift_BC: Tensor, scale_BC: Tensor) -> Tensor:
    """Adaptive instance normalisation (Huang and Belongie, ICCV 2017, equation 8): scale * (x - mean) / std + shift.

    Mean and (biased) standard deviation are those of each channel of each picture. The scale stands as it is, not as
    1 + scale, as in MUNIT.
    """
    return right_gradient(F.instance_norm(x_BCHW, eps=EPS)) * scale_BC[..., None, None] + shift_BC[..., None, None]


class LayerNorm(nn.Module):
    """MUNIT's: gamma * (x - mean) / (std + 1e-5) + beta with one mean and *unbiased* std a picture; BCHW to BCHW.

    It differs from `nn.GroupNorm(1, channels)`, which DRIT uses, by that std and by the place of epsilon, and gamma
    starts uniform in [0, 1). Statistics are taken in float32 under autocast.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        wide_BCHW = x_BCHW.float() if x_BCHW.dtype in (torch.bfloat16, torch.float16) else x_BCHW
        std_B111, mean_B111 = torch.std_mean(wide_BCHW, dim=(1, 2, 3), keepdim=True)
        normal_BCHW = (wide_BCHW - mean_B111) / (std_B111 + EPS)
        return normal_BCHW * self.gamma[:, None, None] + self.beta[:, None, None]
