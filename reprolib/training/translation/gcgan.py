"""Training GcGAN: translating a transformed picture is transforming the translated one (Fu et al., CVPR 2019)."""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib.models.translation.gcgan import GcGAN, GcGANObjective
from reprolib.training.optimisation import take_step
from reprolib.training.translation.gan import ImagePool, adam, discriminator_loss, frozen, least_squares
from reprolib.training.translation.method import Method

CONSISTENCY, IDENTITY = 20.0, 10.0
"""Weight of the geometry-consistency terms, and the factor on the option `identity`, in the released code."""


TURNS = {"rot90": 1, "rot270": -1}
"""Quarter turns counter-clockwise of a transform; 'vflip' is none."""


class GcGANMethod(Method):
    """Generators' step, then discriminators' step on pools of fakes, for pictures x and their transforms T(x).

    Each translation is the other one's target, with its gradient stopped there: |y - T^-1(y~)| + |y~ - T(y)| with
    y = G(x) and y~ = G~(T(x)) (paper, equation 3, in the released form).
    """

    def __init__(self, networks: GcGAN, fabric: Fabric, learning_rate: float, objective: GcGANObjective):
        self.networks, self.fabric = networks, fabric
        self.turns, self.identity = TURNS.get(objective.transform), objective.identity
        n = networks
        second = getattr(n, "generator_transformed", None)
        self.second: nn.Module = n.generator if second is None else second
        self.optimisers = {
            "generators": adam(learning_rate, *([n.generator] if second is None else [n.generator, second])),
            "discriminators": adam(learning_rate, n.discriminator, n.discriminator_transformed),
        }
        self.pool, self.pool_transformed = ImagePool(), ImagePool()
        self.extras = {"pool": self.pool, "pool_transformed": self.pool_transformed}

    def step(self, real_a: Tensor, real_b: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """One step of all networks; terms are summed over pictures and transforms, before their weights."""
        n = self.networks
        turned_b = self._turn(real_b)
        with frozen(n.discriminator, n.discriminator_transformed), self.fabric.autocast():
            fake, same = self._translate(n.generator, real_a, real_b)
            turned_fake, turned_same = self._translate(self.second, self._turn(real_a), turned_b)
            logits, turned_logits = n.discriminator(fake), n.discriminator_transformed(turned_fake)
        whole, turned_whole = fake.float(), turned_fake.float()
        terms = {
            "adversarial": least_squares(logits, 1.0) + least_squares(turned_logits, 1.0),
            "consistency": F.l1_loss(whole, self._turn_back(turned_whole.detach()))
            + F.l1_loss(turned_whole, self._turn(whole.detach())),
        }
        loss = terms["adversarial"] + CONSISTENCY * terms["consistency"]
        if same is not None and turned_same is not None:
            terms["identity"] = F.l1_loss(same.float(), real_b) + F.l1_loss(turned_same.float(), turned_b)
            loss = loss + IDENTITY * self.identity * terms["identity"]
        self.optimisers["generators"].zero_grad()
        self.fabric.backward(loss)
        take_step(self.optimisers["generators"])

        terms["discriminator"] = (
            discriminator_loss(self.fabric, n.discriminator, real_b, self.pool.exchange(fake, generator))
            + discriminator_loss(self.fabric, n.discriminator_transformed, turned_b,
                    self.pool_transformed.exchange(turned_fake, generator))
        )
        self.optimisers["discriminators"].zero_grad()
        self.fabric.backward(terms["discriminator"])
        take_step(self.optimisers["discriminators"])
        return {"loss": loss.detach(), **{name: term.detach() for name, term in terms.items()}}

    def _translate(self, network: nn.Module, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor | None]:
        """Translations of A and, if there is an identity term, of B, in one pass."""
        if not self.identity:
            return network(a), None
        fake, same = network(torch.cat((a, b))).split((len(a), len(b)))
        return fake, same

    def _turn(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.flip(2) if self.turns is None else x_BCHW.rot90(self.turns, (2, 3))

    def _turn_back(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.flip(2) if self.turns is None else x_BCHW.rot90(-self.turns, (2, 3))
