"""Training CycleGAN: two generators that invert each other (Zhu et al., ICCV 2017, section 3)."""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional as F

from reprolib.models.translation.cyclegan import CycleGAN, CycleGANObjective
from reprolib.training.optimisation import take_step
from reprolib.training.translation.gan import ImagePool, adam, discriminator_loss, frozen, least_squares
from reprolib.training.translation.method import Method


class CycleGANMethod(Method):
    """Generators' step, then discriminators' step on pools of fakes (the released code's order)."""

    def __init__(self, networks: CycleGAN, fabric: Fabric, learning_rate: float, objective: CycleGANObjective):
        self.networks, self.fabric = networks, fabric
        self.cycle, self.identity = objective.cycle, objective.identity
        n = networks
        self.optimisers = {
            "generators": adam(learning_rate, n.generator_ab, n.generator_ba),
            "discriminators": adam(learning_rate, n.discriminator_a, n.discriminator_b),
        }
        self.pool_a, self.pool_b = ImagePool(), ImagePool()
        self.extras = {"pool_a": self.pool_a, "pool_b": self.pool_b}

    def step(self, real_a: Tensor, real_b: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """One step of all networks; terms are summed over both directions, before their weights."""
        n, count = self.networks, len(real_a)
        with frozen(n.discriminator_a, n.discriminator_b), self.fabric.autocast():
            if self.identity:  # a generator sees both domains in one pass
                fake_b, same_b = n.generator_ab(torch.cat((real_a, real_b))).split((count, len(real_b)))
                fake_a, same_a = n.generator_ba(torch.cat((real_b, real_a))).split((len(real_b), count))
            else:
                fake_b, fake_a = n.generator_ab(real_a), n.generator_ba(real_b)
            back_a, back_b = n.generator_ba(fake_b), n.generator_ab(fake_a)
            logits_a, logits_b = n.discriminator_a(fake_a), n.discriminator_b(fake_b)
        terms = {
            "adversarial": least_squares(logits_a, 1.0) + least_squares(logits_b, 1.0),
            "cycle": F.l1_loss(back_a.float(), real_a) + F.l1_loss(back_b.float(), real_b),
        }
        loss = terms["adversarial"] + self.cycle * terms["cycle"]
        if self.identity:
            terms["identity"] = F.l1_loss(same_a.float(), real_a) + F.l1_loss(same_b.float(), real_b)
            loss = loss + self.cycle * self.identity * terms["identity"]
        self.optimisers["generators"].zero_grad()
        self.fabric.backward(loss)
        take_step(self.optimisers["generators"])

        terms["discriminator"] = (
            discriminator_loss(self.fabric, n.discriminator_a, real_a, self.pool_a.exchange(fake_a, generator))
            + discriminator_loss(self.fabric, n.discriminator_b, real_b, self.pool_b.exchange(fake_b, generator))
        )
        self.optimisers["discriminators"].zero_grad()
        self.fabric.backward(terms["discriminator"])
        take_step(self.optimisers["discriminators"])
        return {"loss": loss.detach(), **{name: term.detach() for name, term in terms.items()}}
