"""The plain way, for comparison: what the released codes compute, from PyTorch's own pieces in their arrangement.

The contiguous layout, torchvision's deformable convolution, one pass of VGG or of the encoder for each thing that is
compared (restored, clear, hazy), torch.optim.Adam as it comes, one after another. The networks' layers are the
project's own (a released layout gives no choice there); losses and steps are written anew. The random draws are those
of the training code, so that losses and gradients can be compared (tests/bench).

Eager in float32; or what else a user would try on it: `compile` puts the networks through torch.compile, `half` runs
them in bfloat16 by autocast, losses in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.contrast.kernels import at_least_float32
from reprolib.contrast.samples import Rate, draw
from reprolib.models.layers.deformable import ModulatedDeformConv2d
from reprolib.models.translation.cut import CUT

CR_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""AECR-Net, section 3.3."""
PATCHES, TAU = 256, 0.07
"""CUT, section 3.2."""


def without_autocast(network: nn.Module) -> None:
    """Compute its deformable convolutions in float32 under autocast too: torchvision has no others on a CPU."""
    for module in network.modules():
        if isinstance(module, ModulatedDeformConv2d):
            module.forward = partial(_in_float32, module.forward)  # type: ignore[method-assign]


def _in_float32(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return forward(x.float())


class PlainDehazing:
    """L1 + beta CR (AECR-Net), a pass of VGG for every picture that is compared.

    Args:
        network: maps B3HW in [0, 1] to B3HW.
        features: frozen; maps pictures to the five maps of CR.
        rate: positives and negatives; the i-th of all anchors make one batch, and one pass.
        beta: weight of CR.
        half: run networks in bfloat16.
    """

    def __init__(self, network: nn.Module, features: nn.Module, rate: Rate, beta: float = 0.1,
                 learning_rate: float = 2e-4, half: bool = False):
        self.network, self.features, self.rate, self.beta, self.half = network, features, rate, beta, half
        self.optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)

    def compile(self) -> None:
        self.network.compile()
        self.features.compile()

    def step(self, hazy_B3HW: Tensor, clear_B3HW: Tensor, generator: torch.Generator) -> Tensor:
        self.network.train()
        with torch.autocast(hazy_B3HW.device.type, torch.bfloat16, enabled=self.half):
            restored_B3HW = self.network(hazy_B3HW)
            loss = F.l1_loss(at_least_float32(restored_B3HW), clear_B3HW)
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
            pulls = [_distance(anchors[layer], sample[layer]) for sample in positives]
            term = torch.stack(pulls).mean()
            if negatives:
                pushes = [_distance(anchors[layer], sample[layer]) for sample in negatives]
                term = term / (torch.stack(pushes).mean() + 1e-7)
            loss = loss + weight * term
        return loss


def _distance(anchor_BCHW: Tensor, sample_BCHW: Tensor) -> Tensor:
    return F.l1_loss(at_least_float32(anchor_BCHW), at_least_float32(sample_BCHW.detach()))


class PlainTranslation:
    """CUT or FastCUT in the released code's order; an encoder pass for each side of each contrastive term.

    Sources of A and B share a pass of the generator there, so they do here.

    Args:
        networks: generator, discriminator and heads.
        lambda_x, lambda_y: weights of the contrastive terms, lambda_y 0 without identity; both are halved with it.
        flip: FastCUT's mirrored sources.
        half: run networks in bfloat16.
    """

    def __init__(self, networks: CUT, *, lambda_x: float = 1.0, lambda_y: float = 1.0, flip: bool = False,
                 patches: int = PATCHES, learning_rate: float = 2e-4, half: bool = False):
        self.networks, self.flip, self.patches, self.half = networks, flip, patches, half
        share = 0.5 if lambda_y else 1.0
        self.lambda_x, self.lambda_y = share * lambda_x, share * lambda_y
        self.optimisers = {name: torch.optim.Adam(network.parameters(), lr=learning_rate, betas=(0.5, 0.999))
                           for name, network in networks.named_children()}

    def compile(self) -> None:
        n: Any = self.networks
        for module in (n.generator, n.discriminator, *n.heads):
            module.compile()
        n.generator.encode = torch.compile(n.generator.encode)

    def step(self, real_a: Tensor, real_b: Tensor, generator: torch.Generator) -> Tensor:
        n, count = self.networks, len(real_a)
        flipped = self.flip and bool(torch.rand((), generator=generator) < 0.5)
        source = torch.cat((real_a, real_b)) if self.lambda_y else real_a
        autocast = partial(torch.autocast, real_a.device.type, torch.bfloat16, enabled=self.half)
        with autocast():
            made = n.generator(source.flip(3) if flipped else source)
        fake, same = made[:count], made[count:]

        n.discriminator.requires_grad_(True)
        self.optimisers["discriminator"].zero_grad()
        with autocast():
            of_fake = at_least_float32(n.discriminator(fake.detach())).square().mean()
            of_real = (at_least_float32(n.discriminator(real_b)) - 1).square().mean()
        (0.5 * (of_fake + of_real)).backward()
        self.optimisers["discriminator"].step()

        n.discriminator.requires_grad_(False)
        self.optimisers["generator"].zero_grad()
        self.optimisers["heads"].zero_grad()
        with autocast():
            loss = (at_least_float32(n.discriminator(fake)) - 1).square().mean()
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
        z_BSC = at_least_float32(head(feature_BCHW.permute(0, 2, 3, 1).flatten(1, 2)[:, position_S]))
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


def plain_restore(network: nn.Module, hazy_HW3: np.ndarray, multiple: int, low: float = 0.0,
                  half: bool = False) -> Any:
    """A forward pass of a whole picture as the released test scripts do it: evaluation mode, no gradients, no more."""
    network.eval()
    device = next(network.parameters()).device
    hazy_13HW = torch.from_numpy(hazy_HW3).permute(2, 0, 1).contiguous()[None].to(device).float() / 255
    height, width = hazy_13HW.shape[-2:]
    padded = F.pad(hazy_13HW * (1 - low) + low, (0, -width % multiple, 0, -height % multiple), "reflect")
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=half):
        restored = network(padded)[..., :height, :width].float()
    return (restored[0].permute(1, 2, 0).cpu().numpy() - low) / (1 - low)
