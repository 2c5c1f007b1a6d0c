"""Contrastive regularisation (CR): samples -> features -> the ratio of distances.

Wu et al., "Contrastive Learning for Compact Single Image Dehazing" (AECR-Net), CVPR 2021, section 3.3, equation 4.
Legend: B pictures, P positives and N negatives of each, L layers, C, H, W of a feature map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reprolib.contrast.distributed import POOLS, all_rows, batch_means, draw_rows, pooled
from reprolib.contrast.features import VGGFeatures
from reprolib.contrast.kernels import at_least_float32, mean_distance
from reprolib.contrast.samples import Rate
from reprolib.errors import UserError, unknown

LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""omega_i of the five layers (AECR-Net, section 3.3)."""
REDUCTIONS = ("batch", "image")
GUARD = 1e-7
"""Added to denominators (the authors' code)."""


def contrastive_regularisation(
    anchors: Sequence[Tensor], positives: Sequence[Tensor], negatives: Sequence[Tensor] | None, *,
    layer_weights: Sequence[float] = LAYER_WEIGHTS, reduction: str = "batch", guard: float = GUARD,
) -> Tensor:
    """CR = sum_i omega_i D(G_i(J), G_i(phi(I))) / D(G_i(I), G_i(phi(I))), equation 4; D is the mean L1 distance.

    The restored picture phi(I) is the anchor: pulled to the clear picture J, pushed from the hazy one I.

    Args:
        anchors: G_i(phi(I)), one map a layer; the only ones that a gradient reaches.
        positives: G_i(J). D is the mean over the samples of an anchor.
        negatives: G_i(I). None gives CR*, the numerator alone (Table 2).
        layer_weights: omega_i, at least 0.
        reduction: 'batch' divides means over the batch (the authors' code), 'image' averages each picture's own
            ratio. CR* is the same in both.
        guard: added to the denominators, which vanish where a restored picture equals its hazy input.

    Shape:
        anchors B, C, H, W; positives the same or P, B, C, H, W; negatives the same or N, B, C, H, W.

    Returns:
        Scalar, at least 0, in float32 (float64 for float64 features).

    Raises:
        UserError: an unknown reduction, or layer weights that do not fit.

    Example:
        >>> clear, hazy = [torch.zeros(2, 8, 4, 4)], [torch.ones(2, 8, 4, 4)]
        >>> restored = [torch.full((2, 8, 4, 4), 0.25)]
        >>> contrastive_regularisation(restored, clear, hazy, layer_weights=[1.0])
        tensor(0.3333)
    """
    check_options(layer_weights, reduction, layers=len(anchors))
    pulls = [l1_distance(anchor, positive) for anchor, positive in zip(anchors, positives, strict=True)]
    if negatives is None:
        return weighted_sum(layer_weights, pulls)
    pushes = [l1_distance(anchor, negative) for anchor, negative in zip(anchors, negatives, strict=True)]
    if reduction == "batch":
        pulls, pushes = [pull_B.mean(0) for pull_B in pulls], [push_B.mean(0) for push_B in pushes]
    return weighted_sum(layer_weights, [pull / (push + guard) for pull, push in zip(pulls, pushes, strict=True)])


def l1_distance(anchor_BCHW: Tensor, samples_PBCHW: Tensor) -> Tensor:
    """D for each picture: the mean of |anchor - sample| over samples and elements. B or P, B maps to B numbers."""
    difference = at_least_float32(anchor_BCHW) - at_least_float32(samples_PBCHW.detach())
    return difference.abs().mean((-3, -2, -1)).reshape(-1, len(anchor_BCHW)).mean(0)


def weighted_sum(layer_weights: Sequence[float], values: Sequence[Tensor]) -> Tensor:
    """sum_i omega_i times the mean of what layer i has."""
    return torch.stack([omega * value.mean() for omega, value in zip(layer_weights, values, strict=True)]).sum()


class ContrastiveRegularisation(nn.Module):
    """`contrastive_regularisation` of pictures: samples at a rate, features of an extractor, the ratio.

    Distances come from a kernel that needs r times less memory at r samples (`kernels`); of several processes, batch
    means are those of all (`distributed`). Values and gradients are those of the function.

    Args:
        features: maps B3HW pictures, RGB in [0, 1], to a list of feature maps.
        rate: positives and negatives of each anchor; without negatives the loss is CR*.
        reduction: see `contrastive_regularisation`.
        pool: of several processes, samples come from the pictures of all ('gathered') or of this one ('local').
            A gathered side with more than one sample an anchor keeps the features of the whole batch on each process.
        layer_weights: omega_i, one for each feature map.

    Raises:
        UserError: an unknown reduction or pool, or layer weights that do not fit.

    Example:
        >>> cr = ContrastiveRegularisation(VGGFeatures("vgg19"), Rate(1, 2))  # random weights: see load_features
        >>> restored, clear, hazy = torch.rand(3, 4, 3, 32, 32)
        >>> loss, logs = cr(restored, clear, hazy)
    """

    def __init__(self, features: nn.Module, rate: Rate | None = None, reduction: str = "batch",
                 pool: str = "gathered", layer_weights: Sequence[float] = LAYER_WEIGHTS):
        super().__init__()
        check_options(layer_weights, reduction, len(features.taps) if isinstance(features, VGGFeatures) else None)
        if pool not in POOLS:
            raise unknown("pool of samples", pool, POOLS)
        self.features, self.rate, self.reduction, self.pool = features, rate or Rate(), reduction, pool
        self.layer_weights = tuple(layer_weights)

    def forward(self, restored_B3HW: Tensor, clear_B3HW: Tensor, hazy_B3HW: Tensor,
                generator: torch.Generator | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss, whose gradient reaches `restored_B3HW` only, and what `_logs` says about it.

        Raises:
            UserError: the rate asks for more samples than the pool has pictures.
        """
        rate, batch = self.rate, len(restored_B3HW)
        positive_index, negative_index = draw_rows(batch, rate, self.pool, generator)

        with torch.no_grad():  # one pass for everything that needs no gradient, whatever the rate
            fixed = self.features(torch.cat([clear_B3HW, hazy_B3HW] if rate.negatives else [clear_B3HW]))
        positives = pooled([f[:batch] for f in fixed], rate.positives, self.pool)
        negatives = pooled([f[batch:] for f in fixed], rate.negatives, self.pool)
        anchors = self.features(restored_B3HW)

        check_options(self.layer_weights, self.reduction, layers=len(anchors))
        pulls = [mean_distance(a, p, positive_index) for a, p in zip(anchors, positives, strict=True)]
        if not rate.negatives:
            return weighted_sum(self.layer_weights, pulls), self._logs(pulls)
        pushes = [mean_distance(a, n, negative_index) for a, n in zip(anchors, negatives, strict=True)]
        above, below = batch_means(pulls, pushes) if self.reduction == "batch" else (pulls, pushes)
        ratios = [pull / (push + GUARD) for pull, push in zip(above, below, strict=True)]
        return weighted_sum(self.layer_weights, ratios), self._logs(pulls, pushes, below)

    @torch.no_grad()
    def _logs(self, pulls: Sequence[Tensor], pushes: Sequence[Tensor] = (),
              denominators: Sequence[Tensor] = ()) -> dict[str, Tensor]:
        """`numerator` and `denominator`, means over the batch, weighted as the loss weights them; `denominator_min`,
        the smallest that a division used; and `guarded`, how many divisions had a denominator below 100 guards, where
        the guard itself shapes the result. CR* logs the numerator only.
        """
        logs = {"numerator": weighted_sum(self.layer_weights, pulls)}
        if not pushes:
            return logs
        used = torch.stack(list(denominators), dim=1)
        if self.reduction == "image":
            used = all_rows(used)
        return logs | {"denominator": weighted_sum(self.layer_weights, pushes), "denominator_min": used.min(),
                       "guarded": (used < 100 * GUARD).sum()}


def check_options(layer_weights: Sequence[float], reduction: str, layers: int | None = None) -> None:
    """Refuse what cannot be meant.

    Args:
        layers: how many feature maps there are, where that is known.

    Raises:
        UserError: an unknown reduction; weights that are not one for each layer, negative, not finite, or all 0.
    """
    if reduction not in REDUCTIONS:
        raise unknown("reduction", reduction, REDUCTIONS)
    given = ", ".join(f"{weight:g}" for weight in layer_weights) or "none"
    if layers is not None and len(layer_weights) != layers:
        raise UserError(f"{len(layer_weights)} layer weights ({given}) for {layers} layers of features",
                        where="layer_weights", fix=f"give {layers}")
    if not all(math.isfinite(weight) and weight >= 0 for weight in layer_weights) or not any(layer_weights):
        raise UserError(f"layer weights {given} cannot weight a loss", where="layer_weights",
                        fix="give finite numbers, none below 0 and one above")
