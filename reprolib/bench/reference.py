"""The plain way, for comparison: what the released codes compute, restated step by step, without anything clever.

Eager float32 in the contiguous layout, torchvision's deformable convolution, one pass of VGG or of the encoder for
each thing that is compared, one optimiser after another and in them one tensor after another. The networks' layers are
the project's own (a released layout gives no choice there); losses and steps are written anew. The random draws are
those of the training code, so that losses and gradients can be compared (tests/bench).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.contrast.samples import Rate, draw
from reprolib.models.translation.cut import CUT

CR_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""AECR-Net, section 3.3."""
PATCHES, TAU = 256, 0.07
"""CUT, section 3.2."""


def plain_adam(parameters: Iterable[nn.Parameter], rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
    """One tensor after another."""
    return torch.optim.Adam(parameters, lr=rate, betas=betas, foreach=False, fused=False)


class PlainDehazing:
    """L1 + beta CR (AECR-Net), a pass of VGG for every picture that is compared.

    Args:
        network: maps B3HW in [0, 1] to B3HW.
        features: frozen; maps pictures to the five maps of CR.
        rate: positives and negatives; the i-th of all anchors make one batch, and one pass.
        beta: weight of CR.
    """

    def __init__(self, network: nn.Module, features: nn.Module, rate: Rate, beta: float = 0.1,
                 learning_rate: float = 2e-4):
        self.network, self.features, self.rate, self.beta = network, features, rate, beta
        self.optimiser = plain_adam(network.parameters(), learning_rate, (0.9, 0.999))

    def step(self, hazy_B3HW: Tensor, clear_B3HW: Tensor, generator: torch.Generator) -> Tensor:
        self.network.train()
        restored_B3HW = self.network(hazy_B3HW)
        loss = F.l1_loss(restored_B3HW, clear_B3HW)
        loss = loss + self.beta * self.contrast(restored_B3HW, clear_B3HW, hazy_B3HW, generator)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.detach()

    def contrast(self, restored_B3HW: Tensor, clear_B3HW: Tensor, hazy_B3HW: Tensor,
                 generator: torch.Generator) -> Tensor:
        """Equation 4; the distance of an anchor is the mean over its samples, the ratio is that of batch means."""
        positive_Bp, negative_Bn = (index.to(hazy_B3HW.device) for index in draw(len(hazy_B3HW), self.rate, generator))
        anchors = self.features(restored_B3HW)
        positives = [self.features(clear_B3HW[index_B]) for index_B in positive_Bp.T]
        negatives = [self.features(hazy_B3HW[index_B]) for index_B in negative_Bn.T]
        loss = torch.zeros((), device=hazy_B3HW.device)
        for layer, weight in enumerate(CR_WEIGHTS):
            pulls = [F.l1_loss(anchors[layer], sample[layer].detach()) for sample in positives]
            term = torch.stack(pulls).mean()
            if negatives:
                pushes = [F.l1_loss(anchors[layer], sample[layer].detach()) for sample in negatives]
                term = term / (torch.stack(pushes).mean() + 1e-7)
            loss = loss + weight * term
        return loss


class PlainTranslation:
    """CUT or FastCUT in the released code's order; an encoder pass for each side of each contrastive term.

    Sources of A and B share a pass of the generator there, so they do here.

    Args:
        networks: generator, discriminator and heads.
        lambda_x, lambda_y: weights of the contrastive terms, lambda_y 0 without identity; both are halved with it.
        flip: FastCUT's mirrored sources.
    """

    def __init__(self, networks: CUT, *, lambda_x: float = 1.0, lambda_y: float = 1.0, flip: bool = False,
                 patches: int = PATCHES, learning_rate: float = 2e-4):
        self.networks, self.flip, self.patches = networks, flip, patches
        share = 0.5 if lambda_y else 1.0
        self.lambda_x, self.lambda_y = share * lambda_x, share * lambda_y
        self.optimisers = {name: plain_adam(network.parameters(), learning_rate, (0.5, 0.999))
                           for name, network in networks.named_children()}

    def step(self, real_a: Tensor, real_b: Tensor, generator: torch.Generator) -> Tensor:
        n, count = self.networks, len(real_a)
        flipped = self.flip and bool(torch.rand((), generator=generator) < 0.5)
        source = torch.cat((real_a, real_b)) if self.lambda_y else real_a
        made = n.generator(source.flip(3) if flipped else source)
        fake, same = made[:count], made[count:]

        n.discriminator.requires_grad_(True)
        self.optimisers["discriminator"].zero_grad()
        of_fake = n.discriminator(fake.detach()).square().mean()
        of_real = (n.discriminator(real_b) - 1).square().mean()
        (0.5 * (of_fake + of_real)).backward()
        self.optimisers["discriminator"].step()

        n.discriminator.requires_grad_(False)
        self.optimisers["generator"].zero_grad()
        self.optimisers["heads"].zero_grad()
        loss = (n.discriminator(fake) - 1).square().mean()
        loss = loss + self.lambda_x * self.contrast(real_a, fake, flipped, generator)
        if self.lambda_y:
            loss = loss + self.lambda_y * self.contrast(real_b, same, flipped, generator)
        loss.backward()
        self.optimisers["generator"].step()
        self.optimisers["heads"].step()
        return loss.detach()

    def contrast(self, source: Tensor, output: Tensor, flipped: bool, generator: torch.Generator) -> Tensor:
        """PatchNCE, mean over layers; 1 positive and the other positions of the same picture."""
        n = self.networks
        queries = n.generator.encode(output, n.taps)
        if flipped:
            queries = [query.flip(3) for query in queries]
        keys = n.generator.encode(source, n.taps)
        positions = [torch.randperm(key[0, 0].numel(), generator=generator)[: self.patches].to(key.device)
                     for key in keys]
        losses = []
        for head, query, key, position in zip(n.heads, queries, keys, positions, strict=True):
            query_BSC, key_BSC = (self._project(head, feature, position) for feature in (query, key))
            losses.append(patch_loss(query_BSC, key_BSC.detach()))
        return torch.stack(losses).mean()

    @staticmethod
    def _project(head: nn.Module, feature_BCHW: Tensor, position_S: Tensor) -> Tensor:
        z_BSC = head(feature_BCHW.permute(0, 2, 3, 1).flatten(1, 2)[:, position_S])
        return z_BSC / (z_BSC.norm(dim=2, keepdim=True) + 1e-7)


def patch_loss(query_BSC: Tensor, key_BSC: Tensor) -> Tensor:
    """Positive first, then every position with the own one pushed out of the softmax; picture by picture."""
    losses = []
    for query_SC, key_SC in zip(query_BSC, key_BSC, strict=True):
        positive_S1 = (query_SC * key_SC).sum(1, keepdim=True)
        others_SS = query_SC @ key_SC.T
        own = torch.eye(len(query_SC), dtype=torch.bool, device=query_SC.device)
        logits = torch.cat((positive_S1, others_SS.masked_fill(own, -10.0)), dim=1) / TAU
        losses.append(F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device)))
    return torch.stack(losses).mean()


def plain_restore(network: nn.Module, hazy_HW3: np.ndarray, multiple: int, low: float = 0.0) -> Any:
    """A forward pass of a whole picture as the released test scripts do it: evaluation mode, no gradients, no more."""
    network.eval()
    device = next(network.parameters()).device
    hazy_13HW = torch.from_numpy(hazy_HW3).permute(2, 0, 1).contiguous()[None].to(device).float() / 255
    height, width = hazy_13HW.shape[-2:]
    padded = F.pad(hazy_13HW * (1 - low) + low, (0, -width % multiple, 0, -height % multiple), "reflect")
    with torch.no_grad():
        restored = network(padded)[..., :height, :width]
    return (restored[0].permute(1, 2, 0).cpu().numpy() - low) / (1 - low)
