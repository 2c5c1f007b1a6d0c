"""Training CUT and FastCUT: one generator, one discriminator, PatchNCE (Park et al., ECCV 2020, section 3)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from reprolib.contrast.memory_bank import MemoryBank
from reprolib.contrast.patchnce import PatchNCELoss, project, sample_positions
from reprolib.errors import UserError
from reprolib.models.layers.heads import FEATURES
from reprolib.models.translation.cut import CUT, CUTObjective
from reprolib.training.optimisation import take_step
from reprolib.training.translation.gan import adam, discriminator_loss, frozen, least_squares
from reprolib.training.translation.method import Method

MOMENTUM = 0.999
"""Of the moving averages that make external keys (MoCo)."""


class MomentumEncoder(nn.Module):
    """Moving averages of encoder and heads, which make the keys where negatives are external."""

    def __init__(self, networks: CUT):
        super().__init__()
        self.encoder, self.heads = copy.deepcopy(networks.generator), copy.deepcopy(networks.heads)
        self.encoder.model = self.encoder.model[: max(networks.taps) + 1]
        self.requires_grad_(False)

    @torch.no_grad()
    def follow(self, networks: CUT) -> None:
        """Move by 1 - 0.999 of the way; the encoder's copy holds a beginning of the generator's parameters."""
        pairs = [*zip(self.encoder.parameters(), networks.generator.parameters(), strict=False),
                 *zip(self.heads.parameters(), networks.heads.parameters(), strict=True)]
        for mine, theirs in pairs:
            mine.lerp_(theirs, 1 - MOMENTUM)


class CUTMethod(Method):
    """Discriminator's step, then that of generator and heads on the same fakes (the released code's order).

    The loss is L_GAN + lambda_x PatchNCE(G, H, X) + lambda_y PatchNCE(G, H, Y) (slides): (1, 1) in CUT, (10, 0) in
    FastCUT. L_GAN is least squares; the paper writes logarithms, the released code uses squares.

    Sources of A and B go through the generator in one pass. Its features on that way are the keys: no gradient goes
    through keys, so a second pass of the encoder over the sources, as in the released code, would give the same.

    External negatives were never released. Here all keys, the positives too, come from moving averages of encoder and
    heads, as in MoCo, so that positives and negatives differ in the picture and not in the age of the weights; both
    terms have a bank of their own, with keys of A and of B; a bank starts empty.

    Raises:
        UserError: another kind of negatives, no contrastive term at all; in a step, more patches than a layer has
            positions.
    """

    def __init__(self, networks: CUT, fabric: Fabric, learning_rate: float, objective: CUTObjective):
        lambda_x, lambda_y = objective.lambda_x, objective.lambda_y
        if lambda_x + lambda_y == 0:
            raise UserError("lambda_x 0 and lambda_y 0 leave nothing to contrast", fix="set one above 0")
        self.networks, self.fabric = networks, fabric
        halved = 0.5 if objective.average and lambda_x and lambda_y else 1.0
        self.lambda_x, self.lambda_y = halved * lambda_x, halved * lambda_y
        self.flip, self.patches, self.allow_fewer = objective.flip, objective.patches, objective.allow_fewer
        self.nce = PatchNCELoss(objective.tau, objective.negatives)
        self.optimisers = {
            "generator": adam(learning_rate, networks.generator),
            "heads": adam(learning_rate, networks.heads),
            "discriminator": adam(learning_rate, networks.discriminator),
        }
        self.extras = {}
        self.momentum_encoder: MomentumEncoder | None = None
        self.banks: dict[str, MemoryBank] = {}
        if objective.negatives in ("external", "both"):
            self.momentum_encoder = MomentumEncoder(networks)
            weights = {"x": lambda_x, "y": lambda_y}
            self.banks = {name: MemoryBank(len(networks.taps), objective.bank, FEATURES, fabric.device)
                          for name, weight in weights.items() if weight}
            banks = {f"bank_{name}": bank for name, bank in self.banks.items()}
            self.extras = {"momentum_encoder": self.momentum_encoder, **banks}

    def step(self, real_a: Tensor, real_b: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """One step of all networks; terms are logged before their weights."""
        n, count = self.networks, len(real_a)
        flipped = self.flip and bool(torch.rand((), generator=generator) < 0.5)
        source = torch.cat((real_a, real_b)) if self.lambda_y else real_a
        with self.fabric.autocast():
            made, features = n.generator.forward_with_taps(source.flip(3) if flipped else source, n.taps)
        keys = self._key_features(source, None if flipped else features)

        discriminator = discriminator_loss(self.fabric, n.discriminator, real_b, made[:count])
        self.optimisers["discriminator"].zero_grad()
        self.fabric.backward(discriminator)
        take_step(self.optimisers["discriminator"])

        with frozen(n.discriminator), self.fabric.autocast():
            logits = n.discriminator(made[:count])
            queries = n.generator.encode(made, n.taps)
        if flipped:
            queries = [query.flip(3) for query in queries]
        terms = {"adversarial": least_squares(logits, 1.0)}
        loss, projected = terms["adversarial"], {}
        for name, weight, part in (("x", self.lambda_x, slice(0, count)), ("y", self.lambda_y, slice(count, None))):
            if weight:
                terms[f"nce_{name}"], projected[name] = self._contrast(
                    [query[part] for query in queries], [key[part] for key in keys], self.banks.get(name), generator)
                loss = loss + weight * terms[f"nce_{name}"]
        self._descend(loss)
        if self.momentum_encoder is not None:
            self.momentum_encoder.follow(n)
            for name, bank in self.banks.items():
                bank.enqueue(projected[name])
        terms |= {"discriminator": discriminator}
        return {"loss": loss.detach(), **{name: term.detach() for name, term in terms.items()}}

    def _key_features(self, source: Tensor, seen: Sequence[Tensor] | None) -> Sequence[Tensor]:
        """Features of the sources without gradient: `seen` on the generator's way, if they are the wanted ones."""
        if self.momentum_encoder is None and seen is not None:
            return [feature.detach() for feature in seen]
        encoder: Any = self.networks.generator if self.momentum_encoder is None else self.momentum_encoder.encoder
        with torch.no_grad(), self.fabric.autocast():
            features: list[Tensor] = encoder.encode(source, self.networks.taps)
        return features

    def _contrast(self, queries: Sequence[Tensor], keys: Sequence[Tensor], bank: MemoryBank | None,
                  generator: torch.Generator) -> tuple[Tensor, list[Tensor]]:
        """One contrastive term at positions of its own, and its projected keys."""
        positions = sample_positions(keys, self.patches, generator, self.allow_fewer)
        with torch.no_grad():
            heads = self.networks.heads if self.momentum_encoder is None else self.momentum_encoder.heads
            projected = project(keys, heads, positions)
        return self.nce(project(queries, self.networks.heads, positions), projected, bank), projected

    def _descend(self, loss: Tensor) -> None:
        """One step of generator and heads."""
        for name in ("generator", "heads"):
            self.optimisers[name].zero_grad()
        self.fabric.backward(loss)
        for name in ("generator", "heads"):
            take_step(self.optimisers[name])
