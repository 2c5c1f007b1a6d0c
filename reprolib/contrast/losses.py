"""Third axis: how anchors are pulled to positives and pushed from negatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from reprolib import distributed
from reprolib.contrast.samples import Rate, draw
from reprolib.errors import unknown

WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""omega_i of the five taps (AECR-Net, section 3.3)."""
REDUCTIONS = ("batch", "image")
POOLS = ("gathered", "local")
GUARD = 1e-7
"""Added to denominators (the authors' code)."""


class _MeanDistance(torch.autograd.Function):
    """Per image: mean over its samples of the mean absolute difference of features.

    The gradient of sum_k |a - s_k| is sum_k sign(a - s_k), a small whole number. So any number of samples needs one
    byte an element for the way back, and neither r copies of the features nor r graphs.
    """

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, samples: Tensor, index: Tensor) -> Tensor:
        batch, count = index.shape
        block = _block(anchor)
        # One byte an element; 16 bits where 127 could be exceeded.
        slope = torch.empty_like(anchor, dtype=torch.int8 if count < 128 else torch.int16)
        total = anchor.new_zeros(batch)
        difference, signs = torch.empty_like(anchor[:block]), torch.empty_like(anchor[:block])
        axes = tuple(range(1, anchor.dim()))
        for start in range(0, batch, block):
            rows = slice(start, start + block)
            signs.zero_()
            for k in range(count):
                torch.sub(anchor[rows], _take(samples, index[rows, k]), out=difference)
                total[rows] += difference.abs().sum(axes)
                signs += difference.sign_()
            slope[rows] = signs
        ctx.save_for_backward(slope)
        ctx.scale = 1 / (count * anchor[0].numel())
        return total * ctx.scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_B: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return slope * (gradient_B * ctx.scale).view(-1, *[1] * (slope.dim() - 1)), None, None


def _block(anchor: Tensor) -> int:
    """Pictures at a time: one fits a processor's cache (5 times faster at r = 10); a GPU prefers few large kernels."""
    return 1 if anchor.device.type == "cpu" else len(anchor)


def _take(samples: Tensor, rows: Tensor) -> Tensor:
    """The rows of `samples`; a single one (on a CPU) as a view."""
    if len(rows) > 1 or samples.device.type != "cpu":
        return samples.index_select(0, rows)
    row = int(rows)
    return samples[row : row + 1]


def _full(x: Tensor) -> Tensor:
    """At least float32: distances of half-precision features are still taken in full precision."""
    return x if x.dtype == torch.float64 else x.float()


def mean_distance(anchor: Tensor, samples: Tensor, index: Tensor) -> Tensor:
    """D of the slides' equation, per image: the L1 distance, as a mean over feature elements and over samples.

    Args:
        anchor: B, C, H, W features.
        samples: N, C, H, W features to choose from; no gradient flows to them.
        index: B, n; which samples belong to each anchor, n >= 1.

    Returns:
        B, in float32 (float64 for float64 features): mean over the n samples of mean |anchor - sample|.
    """
    assert anchor.shape[1:] == samples.shape[1:] and len(index) == len(anchor) and index.shape[1] > 0
    result: Tensor = _MeanDistance.apply(_full(anchor), _full(samples.detach()), index.to(anchor.device))
    return result


def contrastive_regularisation(
    anchors: Sequence[Tensor], positives: Sequence[Tensor], negatives: Sequence[Tensor] | None,
    positive_index: Tensor, negative_index: Tensor | None = None, *, weights: Sequence[float] = WEIGHTS,
    reduction: str = "batch", guard: float = GUARD,
) -> tuple[Tensor, dict[str, Tensor]]:
    """CR: sum_i omega_i D(G_i(J), G_i(phi(I))) / D(G_i(I), G_i(phi(I))) (slides; Wu et al. 2021, equation 4).

    Of several processes each has its rows as anchors; batch means are those of all.

    Args:
        anchors: features of the restored pictures, one BCHW tensor a layer; the only ones with a gradient.
        positives: features of clear pictures.
        negatives: features of hazy pictures; None gives CR*, the numerator alone.
        positive_index: B, p and `negative_index` B, n: samples of each anchor (`samples.draw`).
        weights: omega_i.
        reduction: 'batch' divides batch means (the authors' code), 'image' averages each image's own ratio. CR* is
            the same in both.
        guard: added to the denominators, which vanish if a restored picture equals its hazy input.

    Returns:
        The loss, and detached logs: `numerator` and `denominator` (batch means weighted by omega), `denominator_min`
        (the smallest one that a division used) and `guarded` (how many divisions had a denominator below 100 guards,
        where the guard itself shapes the result). CR* logs the numerator only.

    Raises:
        UserError: unknown reduction.
    """
    if reduction not in REDUCTIONS:
        raise unknown("reduction", reduction, REDUCTIONS)
    assert len(anchors) == len(positives) == len(weights)
    pulls = [mean_distance(anchor, positive, positive_index)
             for anchor, positive in zip(anchors, positives, strict=True)]
    logs = {"numerator": _weighted(weights, pulls)}
    if negatives is None:
        terms = [omega * pull_B.mean() for omega, pull_B in zip(weights, pulls, strict=True)]
    else:
        assert negative_index is not None
        pushes = [mean_distance(anchor, negative, negative_index)
                  for anchor, negative in zip(anchors, negatives, strict=True)]
        pushed = _weighted(weights, pushes)
        if reduction == "batch":
            both = distributed.means([distance_B.mean(0, keepdim=True) for distance_B in (*pulls, *pushes)])
            pulls, pushes = both[: len(pulls)], both[len(pulls) :]
        terms = [omega * (pull / (push + guard)).mean()
                 for omega, pull, push in zip(weights, pulls, pushes, strict=True)]
        used = torch.stack([push.detach() for push in pushes], dim=1)
        all_used = used if reduction == "batch" else distributed.gather(used)
        logs |= {"denominator": pushed, "denominator_min": all_used.min(),
                 "guarded": (all_used < 100 * guard).sum()}
    return torch.stack(terms).sum(), logs


def _weighted(weights: Sequence[float], distances: Sequence[Tensor]) -> Tensor:
    """Sum over layers of the weighted batch means; detached."""
    return torch.stack([w * d.detach().mean() for w, d in zip(weights, distances, strict=True)]).sum()


class ContrastiveRegularisation(nn.Module):
    """The three axes together: samples at a rate, features of an extractor, the CR loss.

    Args:
        features: maps B3HW pictures in [0, 1] to a list of feature maps.
        rate: positives and negatives of each anchor; without negatives the loss is CR*.
        reduction: see `contrastive_regularisation`.
        pool: of several processes, samples come from the pictures of all ('gathered') or of the own one ('local').
            A gathered side with more than one sample an anchor keeps the features of the whole batch on each process.

    Raises:
        UserError: unknown reduction or pool.
    """

    def __init__(self, features: nn.Module, rate: Rate | None = None, reduction: str = "batch",
                 pool: str = "gathered"):
        super().__init__()
        if reduction not in REDUCTIONS:
            raise unknown("reduction", reduction, REDUCTIONS)
        if pool not in POOLS:
            raise unknown("pool of samples", pool, POOLS)
        self.features, self.rate, self.reduction, self.pool = features, rate or Rate(), reduction, pool

    def forward(self, restored_B3HW: Tensor, clear_B3HW: Tensor, hazy_B3HW: Tensor,
                generator: torch.Generator | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and logs; gradients reach `restored_B3HW` only.

        Raises:
            UserError: the rate asks for more samples than the batch (the process's own rows of it, if the pool is
                local) has pictures.
        """
        batch = len(restored_B3HW)
        positive_index, negative_index = self._draw(batch, generator)
        with torch.no_grad():  # one pass for everything that needs no gradient, whatever the rate
            fixed = [clear_B3HW, hazy_B3HW] if self.rate.negatives else [clear_B3HW]
            fixed_features = self.features(torch.cat(fixed))
        positives = self._pooled([f[:batch] for f in fixed_features], self.rate.positives)
        negatives = [f[batch:] for f in fixed_features] if self.rate.negatives else None
        if negatives is not None:
            negatives = self._pooled(negatives, self.rate.negatives)
        return contrastive_regularisation(self.features(restored_B3HW), positives, negatives, positive_index,
                                          negative_index, reduction=self.reduction)

    def _draw(self, batch: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Samples of this process's anchors, as indices into its pools."""
        processes = distributed.count()
        if processes == 1:
            return draw(batch, self.rate, generator)
        if self.pool == "local":  # a draw for each process, so that their streams stay the same and choices differ
            return [draw(batch, self.rate, generator) for _ in range(processes)][distributed.rank()]
        own = distributed.rows(batch * processes)
        positive_index, negative_index = (index[own] for index in draw(batch * processes, self.rate, generator))
        # An only sample is the own picture, for which nothing has to be gathered.
        return (positive_index if self.rate.positives > 1 else positive_index - own.start,
                negative_index if self.rate.negatives > 1 else negative_index - own.start)

    def _pooled(self, features: list[Tensor], samples: int) -> list[Tensor]:
        """The features that samples come from."""
        return [distributed.gather(f) for f in features] if self.pool == "gathered" and samples > 1 else features
