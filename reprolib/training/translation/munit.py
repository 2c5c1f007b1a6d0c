"""Training MUNIT: two auto-encoders that share contents and swap styles (Huang et al., ECCV 2018, section 4)."""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional as F

from reprolib import distributed
from reprolib.models.layers.style import STYLE
from reprolib.models.translation.munit import MUNIT, MUNITObjective
from reprolib.runtime import to_device
from reprolib.training.optimisation import adam, take_step
from reprolib.training.translation.method import Method

PICTURE, STYLE_WEIGHT, CONTENT_WEIGHT = 10.0, 1.0, 1.0
"""lambda_x, lambda_s and lambda_c of equation 6."""


class MUNITMethod(Method):
    """Discriminators' step, then generators' step, with fresh styles from N(0, 1) in each.

    Least squares on every scale, summed and, unlike in CycleGAN, not halved. The perceptual loss is left out: its
    weight is 0 in the authors' advice for 256 x 256.
    """

    def __init__(self, networks: MUNIT, fabric: Fabric, learning_rate: float, objective: MUNITObjective):
        self.networks, self.fabric, self.cycle = networks, fabric, objective.cycle
        n = networks
        self.optimisers = {
            name: adam([p for part in parts for p in part.parameters()], learning_rate, (0.5, 0.999), 1e-4)
            for name, parts in (("discriminators", (n.dis_a, n.dis_b)), ("generators", (n.gen_a, n.gen_b)))
        }
        self.extras = {}

    def step(self, real_a: Tensor, real_b: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """One step of both; terms are summed over both directions, before their weights."""
        discriminator = self._discriminator_step(real_a, real_b, generator)
        terms = self._generator_step(real_a, real_b, generator)
        return {**{name: term.detach() for name, term in terms.items()}, "discriminator": discriminator}

    def _discriminator_step(self, real_a: Tensor, real_b: Tensor, generator: torch.Generator) -> Tensor:
        n = self.networks
        style_a, style_b = _styles(real_b, generator), _styles(real_a, generator)
        with self.fabric.autocast():
            with torch.no_grad():
                fake_a = n.gen_a.decode(n.gen_b.enc_content(real_b), style_a)
                fake_b = n.gen_b.decode(n.gen_a.enc_content(real_a), style_b)
            judged = ((n.dis_a(fake_a), 0.0), (n.dis_a(real_a), 1.0), (n.dis_b(fake_b), 0.0), (n.dis_b(real_b), 1.0))
        loss = torch.stack([least_squares(logits, target) for logits, target in judged]).sum()
        self.optimisers["discriminators"].zero_grad()
        self.fabric.backward(loss)
        take_step(self.optimisers["discriminators"])
        return loss.detach()

    def _generator_step(self, real_a: Tensor, real_b: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        n = self.networks
        n.dis_a.requires_grad_(False)
        n.dis_b.requires_grad_(False)
        style_a, style_b = _styles(real_b, generator), _styles(real_a, generator)
        with self.fabric.autocast():
            content_a, own_style_a = n.gen_a.encode(real_a)
            content_b, own_style_b = n.gen_b.encode(real_b)
            same_a, same_b = n.gen_a.decode(content_a, own_style_a), n.gen_b.decode(content_b, own_style_b)
            fake_a, fake_b = n.gen_a.decode(content_b, style_a), n.gen_b.decode(content_a, style_b)
            content_b_again, style_a_again = n.gen_a.encode(fake_a)
            content_a_again, style_b_again = n.gen_b.encode(fake_b)
            logits_a, logits_b = n.dis_a(fake_a), n.dis_b(fake_b)
            if self.cycle:
                back_a = n.gen_a.decode(content_a_again, own_style_a)
                back_b = n.gen_b.decode(content_b_again, own_style_b)
        terms = {
            "adversarial": least_squares(logits_a, 1.0) + least_squares(logits_b, 1.0),
            "reconstruction": _l1(same_a, real_a) + _l1(same_b, real_b),
            "style": _l1(style_a_again, style_a) + _l1(style_b_again, style_b),
            "content": _l1(content_a_again, content_a) + _l1(content_b_again, content_b),
        }
        loss = (terms["adversarial"] + PICTURE * terms["reconstruction"] + STYLE_WEIGHT * terms["style"]
                + CONTENT_WEIGHT * terms["content"])
        if self.cycle:
            terms["cycle"] = _l1(back_a, real_a) + _l1(back_b, real_b)
            loss = loss + self.cycle * terms["cycle"]
        self.optimisers["generators"].zero_grad()
        self.fabric.backward(loss)
        take_step(self.optimisers["generators"])
        n.dis_a.requires_grad_(True)
        n.dis_b.requires_grad_(True)
        return {"loss": loss, **terms}


def least_squares(logits: list[Tensor], target: float) -> Tensor:
    """Mean square of logits - target within a scale, summed over scales; scalar float32."""
    return torch.stack([(scale.float() - target).square().mean() for scale in logits]).sum()


def _l1(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference; the official code stops no gradient at either side."""
    return F.l1_loss(x.float(), y.float())


def _styles(like: Tensor, generator: torch.Generator) -> Tensor:
    """A style for each picture of a batch, B8."""
    return to_device(distributed.draw(torch.randn, (len(like), STYLE), generator), like.device)
