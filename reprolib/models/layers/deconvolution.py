"""FastDeconv: a convolution that whitens its input patches first (Ye et al., Network Deconvolution, ICLR 2020)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib import distributed


def inverse_square_root(matrix_NN: Tensor, iterations: int = 5) -> Tensor:
    """Approximate M^(-1/2) of a positive definite matrix by coupled Newton-Schulz iterations.

    Five iterations are what the network is defined with; the result is close for large eigenvalues and damped for
    small ones, which is part of the layer's behaviour.
    """
    identity = torch.eye(len(matrix_NN), dtype=matrix_NN.dtype, device=matrix_NN.device)
    norm = matrix_NN.norm()
    y, z = matrix_NN / norm, identity
    for _ in range(iterations):
        t = 0.5 * (3.0 * identity - z @ y)
        y, z = y @ t, t @ z
    return z / norm.sqrt()


class FastDeconv(nn.Module):
    """k x k convolution of stride 1 whose weight is multiplied by the whitening matrix of its input patches.

    In training the patch mean and covariance come from the batch of all processes (patches at every third pixel),
    and gradients flow through them; in evaluation from running averages. Buffers: `running_mean` (ck^2),
    `running_deconv` (ck^2 x ck^2). Computed in fp32 also under autocast: an inverse square root does not survive bf16.
    """

    running_mean: Tensor
    running_deconv: Tensor

    def __init__(self, channels: int, out: int, kernel: int = 3, *, stride: int = 3, epsilon: float = 1e-5,
                 momentum: float = 0.1):
        super().__init__()
        self.kernel, self.sampling_stride, self.epsilon, self.momentum = kernel, stride, epsilon, momentum
        self.weight = nn.Parameter(torch.empty(out, channels, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(out))
        patch = channels * kernel * kernel
        bound = 1 / math.sqrt(patch)  # as nn.Conv2d
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)
        self.register_buffer("running_mean", torch.zeros(patch))
        identity = torch.zeros(patch, patch).fill_diagonal_(1)  # torch.eye on meta loads torch._dynamo: 2 s
        self.register_buffer("running_deconv", identity)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        with torch.autocast(x_BCHW.device.type, enabled=False):
            x_BCHW = x_BCHW.to(self.weight.dtype)
            mean, deconv = self._statistics(x_BCHW) if self.training else (self.running_mean, self.running_deconv)
            weight = self.weight.flatten(1) @ deconv
            bias = self.bias - weight @ mean
            return F.conv2d(x_BCHW, weight.view_as(self.weight), bias, padding=self.kernel // 2)

    def _statistics(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        patches = F.unfold(x_BCHW, self.kernel, padding=self.kernel // 2, stride=self.sampling_stride)
        patches_NK = patches.transpose(1, 2).flatten(0, 1)
        (mean,) = distributed.means([patches_NK.mean(0)])
        centred_NK = patches_NK - mean
        (covariance,) = distributed.means([centred_NK.T @ centred_NK / len(centred_NK)])
        identity = torch.eye(len(mean), dtype=mean.dtype, device=mean.device)
        deconv = inverse_square_root(covariance + self.epsilon * identity)
        with torch.no_grad():
            self.running_mean.lerp_(mean.detach(), self.momentum)
            self.running_deconv.lerp_(deconv.detach(), self.momentum)
        return mean, deconv
