"""Training DRIT with the mode-seeking loss of DRIT++ (Lee et al., ECCV 2018, section 3; IJCV 2020)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from reprolib import distributed
from reprolib.errors import UserError
from reprolib.models.layers.style import STYLE
from reprolib.models.translation.drit import DRIT, DRITObjective, Side
from reprolib.runtime import to_device
from reprolib.training.optimisation import adam, take_step
from reprolib.training.translation.method import Method

CYCLE, SAME, LATENT, KL = 10.0, 10.0, 10.0, 0.01
"""Weights of cross-cycle, self-reconstruction and latent regression, and of both priors on contents and attributes."""

EVERY = 3
"""Every third batch trains everything, the others only the content discriminator (`d_iter` of the official code)."""

CLIP = 5.0
"""Largest gradient norm of the content discriminator."""

OTHER: dict[Side, Side] = {"a": "b", "b": "a"}


@dataclass
class Cycle:
    """Where in the pattern of three the run is, and the terms of the last batch that trained everything."""

    step: int = 0
    terms: dict[str, Tensor] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step, "terms": dict(self.terms)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step, self.terms = state["step"], dict(state["terms"])


@dataclass
class Translations:
    """One domain's side of a forward pass; half a batch each."""

    attribute: Tensor
    """B8, encoded from the domain's own pictures."""
    mean: Tensor
    log_variance: Tensor | None
    encoded: Tensor
    """The other domain's pictures in this domain, in the attribute of this domain's pictures."""
    same: Tensor
    """This domain's pictures, from their own content and attribute."""
    random: Tensor
    """The other domain's pictures in this domain, in a random attribute."""
    random_2: Tensor
    """The same contents in a second random attribute."""


class DRITMethod(Method):
    """Two batches for the content discriminator alone, a third for all networks.

    The first half of a batch is translated; the second half serves the second discriminators as real pictures. In the
    authors' batch of 2 that is one each.

    The third batch: one forward pass; the four picture discriminators, the content discriminator; then encoders and
    generator (step 1), then content encoder and generator with the losses on random attributes (step 2). The released
    code differentiates step 2 through a graph whose weights step 1 has already changed, which PyTorch refuses today.
    Here both gradients are taken of the same forward pass, before either step.

    The released code also trains everything in the last two batches of each epoch; here there are no epochs.

    Raises:
        UserError: several processes, as the halves of a batch and the ratio of the mode-seeking loss would be those of
            each process; in a step, a batch of one picture.
    """

    def __init__(self, networks: DRIT, fabric: Fabric, learning_rate: float, objective: DRITObjective):
        distributed.require_one_process("DRIT halves its batches and takes a ratio over them")
        self.networks, self.translator, self.fabric = networks, networks.translator, fabric
        n, t = networks, networks.translator
        self.image_discriminators = {name: n.get_submodule(name) for name in ("dis_a", "dis_a2", "dis_b", "dis_b2")}
        parts: dict[str, nn.Module] = {**self.image_discriminators, "dis_content": n.dis_content,
                                       "content": t.content, "attributes": t.attributes, "generator": t.generator}
        self.optimisers = {
            name: adam(part.parameters(), learning_rate * (0.4 if name == "dis_content" else 1.0), (0.5, 0.999), 1e-4)
            for name, part in parts.items()
        }
        self.cycle = Cycle()
        self.extras = {"cycle": self.cycle}

    steps_each = EVERY
    """Steps of one iteration as the authors count: two that train only the content discriminator go before each."""

    def step(self, real_a: Tensor, real_b: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """One batch. A batch for the content discriminator alone repeats the other terms of the last full one."""
        half = len(real_a) // 2
        if half == 0 or len(real_b) != len(real_a):
            raise UserError("DRIT needs batches of at least two pictures a domain", fix="set batch to 2")
        real: dict[Side, Tensor] = {"a": real_a[:half], "b": real_b[:half]}
        others: dict[Side, Tensor] = {"a": real_a[half:], "b": real_b[half:]}
        self.cycle.step += 1
        if self.cycle.step % EVERY:
            with torch.no_grad(), self.fabric.autocast():
                contents = {side: self._content(image, side, generator) for side, image in real.items()}
            content = self._content_step(contents)
            return {"loss": content, **self.cycle.terms, "content_discriminator": content}
        terms = self._full_step(real, others, generator)
        self.cycle.terms = {name: term.detach() for name, term in terms.items()}
        return dict(self.cycle.terms)

    def _full_step(self, real: dict[Side, Tensor], others: dict[Side, Tensor],
                   generator: torch.Generator) -> dict[str, Tensor]:
        t = self.translator
        like = real["a"]
        first, second = (to_device(torch.randn(len(like), STYLE, generator=generator), like.device).to(like.dtype)
                         for _ in range(2))
        with self.fabric.autocast():
            contents = {side: self._content(image, side, generator) for side, image in real.items()}
            fakes = {side: self._translate(real[side], contents, side, (first, second), generator) for side in real}
            content_again = {OTHER[side]: self._content(fakes[side].encoded, side, generator) for side in real}
            attribute_again = {side: self._attribute(fakes[side].encoded, side, generator)[0] for side in real}
            back = {side: t.generator(content_again[side], attribute_again[side], side) for side in real}
            regressed = {side: t.attribute(fakes[side].random, side)[0] for side in real}

        judged = torch.stack([self._picture_step(side, real[side], others[side], fakes[side]) for side in real]).sum()
        content_discriminator = self._content_step({side: c.detach() for side, c in contents.items()})

        for discriminator in (*self.image_discriminators.values(), self.networks.dis_content):
            discriminator.requires_grad_(False)
        terms: dict[str, Tensor] = {}
        for side in real:
            own = self._encoded_terms(side, real[side], contents[side], fakes[side], back[side])
            own |= self._random_terms(side, fakes[side], regressed[side], first, second)
            terms = {name: terms[name] + term if terms else term for name, term in own.items()}
        step_2 = terms["random_adversarial"] + LATENT * terms["latent"] + terms["mode_seeking"]
        step_1 = (terms["adversarial"] + terms["content_adversarial"] + CYCLE * terms["cycle"] + SAME * terms["same"]
                  + KL * (terms["attribute_prior"] + terms["content_prior"]))
        self._generator_steps(step_1, step_2)
        for discriminator in (*self.image_discriminators.values(), self.networks.dis_content):
            discriminator.requires_grad_(True)
        return {"loss": step_1 + step_2, **terms, "discriminators": judged,
                "content_discriminator": content_discriminator}

    def _content(self, image: Tensor, side: Side, generator: torch.Generator) -> Tensor:
        """Content with noise from N(0, 1), as in training always."""
        code: Tensor = self.translator.content(image, side)
        return code + to_device(torch.randn(code.shape, generator=generator), code.device)

    def _attribute(self, image: Tensor, side: Side,
                   generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor | None]:
        """A sample of the attribute of pictures, its mean and log variance; feature-wise the mean is the sample."""
        mean, log_variance = self.translator.attribute(image, side)
        if log_variance is None:
            return mean, mean, None
        noise = to_device(torch.randn(mean.shape, generator=generator), mean.device)
        return mean + (log_variance / 2).exp() * noise, mean, log_variance

    def _translate(self, real: Tensor, contents: dict[Side, Tensor], side: Side, random: tuple[Tensor, Tensor],
                   generator: torch.Generator) -> Translations:
        """Everything that the generator of one domain makes, in one pass."""
        attribute, mean, log_variance = self._attribute(real, side, generator)
        own, other = contents[side], contents[OTHER[side]]
        made = self.translator.generator(torch.cat((other, own, other, other)),
                                         torch.cat((attribute, attribute, *random)), side)
        return Translations(attribute, mean, log_variance, *made.chunk(4))

    def _picture_step(self, side: Side, real: Tensor, others: Tensor, fakes: Translations) -> Tensor:
        """Both discriminators of a domain; the second one sees each random translation beside the real pictures."""
        losses = []
        for name, truth, made in ((f"dis_{side}", real, (fakes.encoded,)),
                                  (f"dis_{side}2", others, (fakes.random, fakes.random_2))):
            with self.fabric.autocast():
                true_logits = self.image_discriminators[name](truth)
                fake_logits = [self.image_discriminators[name](fake.detach()) for fake in made]
            loss = torch.stack([entropy(true_logits, 1.0) + entropy(fake, 0.0) for fake in fake_logits]).sum()
            self.optimisers[name].zero_grad()
            self.fabric.backward(loss)
            take_step(self.optimisers[name])
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _content_step(self, contents: dict[Side, Tensor]) -> Tensor:
        """The content discriminator: contents of A are 0, of B are 1."""
        with self.fabric.autocast():
            logits_a, logits_b = (self.networks.dis_content(contents[side]) for side in contents)
        loss = entropy([logits_b], 1.0) + entropy([logits_a], 0.0)
        self.optimisers["dis_content"].zero_grad()
        self.fabric.backward(loss)
        nn.utils.clip_grad_norm_(self.networks.dis_content.parameters(), CLIP)
        take_step(self.optimisers["dis_content"])
        return loss.detach()

    def _encoded_terms(self, side: Side, real: Tensor, content: Tensor, fakes: Translations,
                       back: Tensor) -> dict[str, Tensor]:
        """Step 1: translations in the attribute of another picture."""
        with self.fabric.autocast():
            logits = self.image_discriminators[f"dis_{side}"](fakes.encoded)
            content_logits = self.networks.dis_content(content)
        return {
            "adversarial": entropy(logits, 1.0),
            "content_adversarial": entropy([content_logits], 0.5),
            "cycle": F.l1_loss(back.float(), real),
            "same": F.l1_loss(fakes.same.float(), real),
            "attribute_prior": attribute_prior(fakes.mean, fakes.log_variance),
            "content_prior": content.float().square().mean(),
        }

    def _random_terms(self, side: Side, fakes: Translations, regressed: Tensor, first: Tensor,
                      second: Tensor) -> dict[str, Tensor]:
        """Step 2: translations in random attributes."""
        discriminator = self.image_discriminators[f"dis_{side}2"]
        with self.fabric.autocast():
            logits, logits_2 = discriminator(fakes.random), discriminator(fakes.random_2)
        return {
            "random_adversarial": entropy(logits, 1.0) + entropy(logits_2, 1.0),
            "latent": F.l1_loss(regressed.float(), first),
            "mode_seeking": mode_seeking(fakes.random, fakes.random_2, first, second),
        }

    def _generator_steps(self, step_1: Tensor, step_2: Tensor) -> None:
        """Step 1 moves encoders and generator, step 2 content encoder and generator."""
        both = [*self.translator.content.parameters(), *self.translator.generator.parameters()]
        gradients = torch.autograd.grad(step_2, both, retain_graph=True)
        for name in ("content", "attributes", "generator"):
            self.optimisers[name].zero_grad()
        self.fabric.backward(step_1)
        for name in ("content", "attributes", "generator"):
            take_step(self.optimisers[name])
        for parameter, gradient in zip(both, gradients, strict=True):
            parameter.grad = gradient
        for name in ("content", "generator"):
            take_step(self.optimisers[name])


def entropy(logits: list[Tensor], target: float) -> Tensor:
    """Binary cross-entropy with one target for all, mean within a scale, summed over scales; scalar float32."""
    losses = [F.binary_cross_entropy_with_logits(s.float(), torch.full_like(s, target, dtype=torch.float32))
              for s in logits]
    return torch.stack(losses).sum()


def attribute_prior(mean_BS: Tensor, log_variance_BS: Tensor | None) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) summed over the numbers, mean over pictures; feature-wise the mean square."""
    mean_BS = mean_BS.float()
    if log_variance_BS is None:
        return mean_BS.square().mean()
    log_variance_BS = log_variance_BS.float()
    return -0.5 * (1 + log_variance_BS - mean_BS.square() - log_variance_BS.exp()).sum(1).mean()


def mode_seeking(image_B3HW: Tensor, image_2_B3HW: Tensor, style_BS: Tensor, style_2_BS: Tensor) -> Tensor:
    """1 / (d(images) / d(styles) + 1e-5) with mean absolute differences (Mao et al., CVPR 2019, equation 3)."""
    images, styles = F.l1_loss(image_2_B3HW.float(), image_B3HW.float()), F.l1_loss(style_2_BS, style_BS)
    return 1 / (images / styles + 1e-5)
